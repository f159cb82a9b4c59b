// Package wire sends ordinary HTTP/1.1 requests in the goroutine that asks for
// it: the request is written with one write, and the answer is read where it is
// wanted. net/http runs two goroutines for each connection and hands every
// request and every answer over to them, which costs a gateway more CPU time
// than all of its own work. Whatever is not ordinary is left to net/http.
package wire

import (
	"cmp"
	"context"
	"io"
	"net/http"
)

// Transport is an http.RoundTripper. It is safe for concurrent use.
//
// It answers as http.Transport does, with the same parser of answers, and
// differs from it in this:
//
//   - A request's body of up to 64 KiB is read before anything is sent, in the
//     caller's goroutine: its Read should not block. A longer one that is Segmented
//     is written from where it lies.
//   - When RoundTrip has returned an error, or the answer's body has been closed or
//     read to its end, the request's body is not looked at any more.
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

// RoundTrip sends the request and returns its answer when the answer's header
// has come. When the request's context ends, the connection is closed at once,
// and what goes on with it (also reading the answer's body) returns the cause.
// Closing the body before its end closes the connection.
//
// A request whose kept connection was lost before any of the answer came is sent
// again, once, if net/http would do so, too: if nothing had been sent, or if
// its method or a field named Idempotency-Key or X-Idempotency-Key says that it
// may be repeated; a body must have a GetBody.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if !canPeek || !ordinary(req) || t.proxied(req) {
		return t.settings.RoundTrip(req)
	}
	if ctx := req.Context(); ctx.Err() != nil {
		closeBody(req.Body)
		return nil, context.Cause(ctx)
	}
	c, err := t.connection(req)
	if err != nil {
		closeBody(req.Body)
		return nil, err
	}
	x, err := t.send(req, req.Body, c)
	if err != nil {
		return nil, err
	}
	response, err := x.answer(req)
	if err == nil || !x.conn.kept() || !x.repeatable(req) {
		return response, err
	}
	return t.sendAnew(req)
}

// sendAnew sends a request once more, on a new connection.
func (t *Transport) sendAnew(req *http.Request) (*http.Response, error) {
	body := req.Body
	if hasBody(req) {
		var err error
		if body, err = req.GetBody(); err != nil {
			return nil, err
		}
	}
	c, err := t.dial(req.Context(), req.URL)
	if err != nil {
		closeBody(body)
		return nil, err
	}
	x, err := t.send(req, body, c)
	if err != nil {
		return nil, err
	}
	return x.answer(req)
}

// connection returns a kept connection for a request, or else makes one.
func (t *Transport) connection(req *http.Request) (*conn, error) {
	if c := t.pool.take(endpointOf(req.URL), t.settings.IdleConnTimeout); c != nil {
		return c, nil
	}
	return t.dial(req.Context(), req.URL)
}

// send sends a request with the body on a connection, or on the next one if it finds that
// something has happened on that.
func (t *Transport) send(req *http.Request, body io.ReadCloser, c *conn) (*exchange, error) {
	m, err := newMessage(req, body)
	if err != nil {
		t.keep(c)
		return nil, err
	}
	x := &exchange{transport: t, ctx: req.Context()}
	for !x.send(c, m) {
		if c, err = t.connection(req); err != nil {
			m.free()
			return nil, err
		}
	}
	return x, nil
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
	t.pool.put(c, limit, t.settings.IdleConnTimeout)
}
