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
	if progress, ok := request.Context().Value(exchangeKey{}).(*exchange); ok {
		progress.started.Store(true)
		request = request.WithContext(httptrace.WithClientTrace(request.Context(), &httptrace.ClientTrace{
			GetConn: func(string) { progress.dialing.Store(true) },
			GotConn: func(httptrace.GotConnInfo) { progress.connected.Store(true) },
		}))
	}
	sent := time.Now()
	answer, err := t.next.RoundTrip(request)
	if err != nil || t.onServerDate == nil {
		return answer, err
	}
	received := time.Now()
	if date, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
		t.onServerDate(date, sent, received)
	}
	return answer, nil
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
