package wire

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"spillway/shared/http1"
)

// Field is a field of a request's header: its name in canonical form, and its values.
type Field struct {
	Name   string
	Values []string
}

// Body is a request's body, which lies in memory.
type Body interface {
	// Size is its length in bytes, more than 0.
	Size() int64
	// Segments returns its bytes in their order. It is called each time that the request
	// is about to be sent; an error ends the request. The bytes are not changed, and not
	// looked at any more once Send has returned an error, or the answer's body has been
	// closed or read to its end.
	Segments() ([][]byte, error)
}

// Target is a method and a URL, with all that is found out once for the requests to them.
// It is safe for concurrent use.
type Target struct {
	transport  *Transport
	request    *http.Request // for net/http's functions; its header and body mean nothing
	shelf      *shelf        // nil: no request is sent from here
	head       []byte        // of each message
	sized      bool          // a request without a body says so
	repeatable bool          // by its method
}

// Target makes a Target, which is to be kept while there are requests to it. The settings'
// Proxy is asked now. The URL must not be changed.
func (t *Transport) Target(method string, u *url.URL) *Target {
	return t.target(&http.Request{Method: method, URL: u, Header: http.Header{}})
}

func (t *Transport) target(r *http.Request) *Target {
	to := &Target{transport: t, request: r}
	if !canPeek || !ordinary(r) || t.proxied(r) {
		return to
	}
	to.shelf = t.pool.shelf(endpointOf(r.URL))
	to.head = appendHead(nil, r)
	switch r.Method {
	case http.MethodPost, http.MethodPut, http.MethodPatch:
		to.sized = true
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		to.repeatable = true
	}
	return to
}

// ErrNotOrdinary says that a request cannot be sent by Send. RoundTrip can, or tells best
// what is wrong with it.
var ErrNotOrdinary = errors.New("wire: not an ordinary request")

// Send sends a request, now, and returns its answer when the answer's header has come.
// The names in the header must be different ones; a nil body is none. When the context
// ends, the connection is closed at once, and what goes on with it (also reading the
// answer's body) returns the cause. Closing the answer's body before its end closes the
// connection. The answer's Request is of no use, and its Header is the caller's alone.
//
// A request whose kept connection was lost before any of the answer came is sent
// again, once, if net/http would do so, too: if nothing had been sent, or if
// its method or a field named Idempotency-Key or X-Idempotency-Key says that it
// may be repeated.
func (to *Target) Send(ctx context.Context, now time.Time, header []Field, body Body) (*http.Response, error) {
	m := takeMessage()
	if to.shelf == nil || !m.begin(to, header, body) {
		m.free()
		return nil, ErrNotOrdinary
	}
	repeatable := m.repeatable
	x, err := to.send(ctx, now, m, body)
	if err != nil {
		return nil, err
	}
	response, err := x.answer(to.request)
	if err == nil || !x.conn.kept() || !x.silent || ctx.Err() != nil || !x.unsent && !repeatable {
		return response, err
	}
	x, again := to.sendAnew(ctx, header, body)
	switch {
	case again == errOnce:
		return nil, err
	case again != nil:
		return nil, again
	}
	return x.answer(to.request)
}

// send sends a message with the body on a kept connection, or else on a new one. If it finds
// that something has happened on a kept one, it takes the next one.
func (to *Target) send(ctx context.Context, now time.Time, m *message, body Body) (*exchange, error) {
	if ctx.Err() != nil {
		m.free()
		return nil, context.Cause(ctx)
	}
	c, err := to.connection(ctx, now)
	if err != nil {
		m.free()
		return nil, err
	}
	if err := m.load(body); err != nil {
		m.free()
		to.transport.keep(c)
		return nil, err
	}
	x := &exchange{transport: to.transport, ctx: ctx}
	for !x.send(c, m) {
		if c, err = to.connection(ctx, now); err != nil {
			m.free()
			return nil, err
		}
	}
	return x, nil
}

// sendAnew sends a request once more, on a new connection.
func (to *Target) sendAnew(ctx context.Context, header []Field, body Body) (*exchange, error) {
	m := takeMessage()
	m.begin(to, header, body)
	if err := m.load(body); err != nil {
		m.free()
		return nil, err
	}
	c, err := to.transport.dial(ctx, to)
	if err != nil {
		m.free()
		return nil, err
	}
	x := &exchange{transport: to.transport, ctx: ctx}
	x.send(c, m)
	return x, nil
}

// connection returns a kept connection, or else makes one.
func (to *Target) connection(ctx context.Context, now time.Time) (*conn, error) {
	if c := to.shelf.take(now, to.transport.settings.IdleConnTimeout); c != nil {
		return c, nil
	}
	return to.transport.dial(ctx, to)
}

// ordinary tells whether requests of the method to the URL are served here. What net/http
// would refuse is not: it says best what is wrong with it.
func ordinary(r *http.Request) bool {
	switch u := r.URL; {
	case u == nil, u.Scheme != "http" && u.Scheme != "https", u.Opaque != "":
		return false
	case !http1.All(u.RawQuery, http1.InQuery), !plainHost(u.Host), r.Host != "" && !plainHost(r.Host):
		return false
	}
	return r.Method != http.MethodConnect && http1.All(r.Method, http1.InToken)
}

// plainHost tells whether a host needs no conversion before it is sent.
func plainHost(host string) bool {
	return host != "" && http1.All(host, http1.InHost) && !strings.HasSuffix(host, ":")
}

// appendHead appends the first line of a message, and the field that goes with the URL.
func appendHead(b []byte, r *http.Request) []byte {
	b = append(b, cmp.Or(r.Method, http.MethodGet)...)
	b = append(b, ' ')
	b = appendPath(b, r.URL)
	b = append(b, " HTTP/1.1\r\n"...)
	return appendField(b, "Host", cmp.Or(r.Host, r.URL.Host))
}

// appendPath appends what url.URL's RequestURI returns for an ordinary request.
func appendPath(b []byte, u *url.URL) []byte {
	b = append(b, cmp.Or(u.EscapedPath(), "/")...)
	if u.ForceQuery || u.RawQuery != "" {
		b = append(append(b, '?'), u.RawQuery...)
	}
	return b
}

// endpoint is whom a connection leads to.
type endpoint struct {
	secure bool
	host   string // with the port, if the URL names one
}

func endpointOf(u *url.URL) endpoint {
	return endpoint{secure: u.Scheme == "https", host: u.Host}
}
