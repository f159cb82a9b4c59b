// Package wire sends ordinary HTTP/1.1 requests in the goroutine that asks for
// it: the request is written with one write, and the answer is read where it is
// wanted. net/http runs two goroutines for each connection and hands every
// request and every answer over to them, which costs a gateway more CPU time
// than all of its own work. Whatever is not ordinary is left to net/http.
package wire

import (
	"cmp"
	"net/http"
)

// Transport sends requests to Targets, and is an http.RoundTripper. It is safe for
// concurrent use.
//
// It answers as http.Transport does, with the same parser of answers, and
// differs from it in this:
//
//   - When Send or RoundTrip has returned an error, or the answer's body has been closed
//     or read to its end, the body of an ordinary request is not looked at any more.
//   - A connection that is dialed for a request that is then canceled is given up.
//   - A kept connection that turns out to be closed is replaced once, by a new one.
//   - The deprecated Request.Cancel is not looked at.
type Transport struct {
	settings *http.Transport
	pool     pool
}

// New makes a Transport with the settings of an http.Transport, which also
// serves the requests that are not ordinary, over connections of its own. Of
// its fields, Proxy, DialContext, TLSClientConfig, TLSHandshakeTimeout,
// MaxIdleConnsPerHost, IdleConnTimeout and MaxResponseHeaderBytes hold for all
// requests, and the others for those alone. No compressed answers are asked for.
// The settings must not be changed once a request has been sent.
func New(settings *http.Transport) *Transport {
	return &Transport{settings: settings}
}

// CloseIdleConnections closes the connections that no request uses.
func (t *Transport) CloseIdleConnections() {
	t.pool.clear()
	t.settings.CloseIdleConnections()
}

// proxied tells whether a request goes through a proxy.
func (t *Transport) proxied(req *http.Request) bool {
	if t.settings.Proxy == nil {
		return false
	}
	proxy, err := t.settings.Proxy(req)
	return proxy != nil || err != nil
}

// maxHeader is how long an answer's header may be, in bytes; 10 MiB is what
// net/http allows if nothing is set.
func (t *Transport) maxHeader() int64 {
	return cmp.Or(t.settings.MaxResponseHeaderBytes, 10<<20)
}

// keep takes back a connection whose answer has been read to its end.
func (t *Transport) keep(c *conn) {
	limit := cmp.Or(t.settings.MaxIdleConnsPerHost, http.DefaultMaxIdleConnsPerHost)
	c.home.put(c, limit, t.settings.IdleConnTimeout)
}
