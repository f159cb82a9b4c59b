package aztable

import (
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"
)

// exchangeKey carries the *exchange of a request in its context.
type exchangeKey struct{}

// exchange notes how far one request came.
type exchange struct {
	started   atomic.Bool // It reached the transport.
	dialing   atomic.Bool // The transport looked for a connection.
	connected atomic.Bool // The transport had a connection.

	// The Date header of the answer and the local time when it came, set by the
	// goroutine that sends. Zero without an answer.
	date, received time.Time
}

// sent tells whether the request may have reached the service. A transport that
// reports no connections gives no proof that it did not.
func (e *exchange) sent() bool {
	return e.started.Load() && (e.connected.Load() || !e.dialing.Load())
}

// transport is the end of the SDK's pipeline. It follows no redirects, and it
// returns the bare error of the round trip: http.Client would put the URL into
// it, and the URL may hold a shared access signature.
type transport struct {
	next         http.RoundTripper
	onServerDate func(date, sent, received time.Time)
}

// Do implements policy.Transporter.
func (t *transport) Do(request *http.Request) (*http.Response, error) {
	progress, tracked := request.Context().Value(exchangeKey{}).(*exchange)
	if tracked {
		progress.started.Store(true)
		request = request.WithContext(httptrace.WithClientTrace(request.Context(), &httptrace.ClientTrace{
			GetConn: func(string) { progress.dialing.Store(true) },
			GotConn: func(httptrace.GotConnInfo) { progress.connected.Store(true) },
		}))
	}
	sent := time.Now()
	answer, err := t.next.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	received := time.Now()
	date, err := http.ParseTime(answer.Header.Get("Date"))
	if err != nil {
		return answer, nil // A proxy's, perhaps.
	}
	if tracked {
		progress.date, progress.received = date, received
	}
	if t.onServerDate != nil {
		t.onServerDate(date, sent, received)
	}
	return answer, nil
}

// skew is how far the local clock is ahead of the service's, as far as a Date
// header tells, which is exact to a second.
func (e *exchange) skew() time.Duration {
	return e.received.Sub(e.date).Round(10 * time.Second)
}

// defaultTransport keeps enough idle connections for the bursts of a busy
// instance, and never longer than the service keeps them.
func defaultTransport() http.RoundTripper {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout:   5 * time.Second,
		MaxIdleConns:          64,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       60 * time.Second,
		ExpectContinueTimeout: time.Second,
		ForceAttemptHTTP2:     true,
	}
}
