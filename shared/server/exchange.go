package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"spillway/shared/http1"
	"spillway/shared/lifetime"
)

var errOver = errors.New("server: the handler has returned")

// exchange is a request and its answer. It is the handler's http.ResponseWriter.
type exchange struct {
	conn *conn
	life lifetime.Lifetime // the request's context
	body body
	head bool // only the answer's header is asked for

	mu         sync.Mutex
	header     http.Header // the handler's
	fullDuplex bool        // guarded by mu; the rest of the body is the handler's matter
	over       bool        // guarded by mu; the handler has returned
	last       bool        // guarded by mu; the connection ends with this answer
	err        error       // guarded by mu; why nothing more can be sent

	status  int     // guarded by mu; 0: not yet known
	told    told    // guarded by mu; what the header says
	begun   bool    // guarded by mu; the header is complete
	chunked bool    // guarded by mu
	length  int64   // guarded by mu; of the answer, negative: unknown
	written int64   // guarded by mu; by the handler
	unsent  *unsent // guarded by mu; nil: nothing is held back
}

// receive takes the request, and completes it.
func (x *exchange) receive(r *http.Request) {
	c := x.conn
	x.header, x.head, x.last, x.length = http1.TakeHeader(), r.Method == http.MethodHead, r.Close, -1
	x.life.Begin(c.ctx)
	*r = *r.WithContext(&x.life) // in place, for its body knows it
	r.RemoteAddr = c.remote
	x.body.conn = c
	if r.Body == http.NoBody {
		c.bodyEnded()
	} else {
		x.body.src, x.body.left = r.Body, r.ContentLength
		r.Body = &x.body
	}
}

// cancel ends the request's context.
func (x *exchange) cancel() { x.life.End(context.Canceled, nil) }

// Header is the header that is sent with the first bytes of the answer, or when
// WriteHeader is called, and the trailer after them.
func (x *exchange) Header() http.Header {
	if x.header == nil { // the handler has returned
		x.header = make(http.Header)
	}
	return x.header
}

// WriteHeader fixes the answer's status and header; one of status 1xx is sent
// before the answer.
func (x *exchange) WriteHeader(status int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case status < 100 || status > 999:
		panic(fmt.Sprintf("invalid WriteHeader code %v", status))
	case x.over:
	case x.status != 0:
		x.conn.server.logf("http: superfluous response.WriteHeader call")
	case status < 200 && status != http.StatusSwitchingProtocols:
		x.inform(status)
	default:
		x.tell(status)
	}
}

// Write writes a part of the answer's body.
func (x *exchange) Write(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		return 0, errOver
	}
	if x.status == 0 {
		x.tell(http.StatusOK)
	}
	if len(p) == 0 {
		return 0, nil
	}
	if !bodyAllowed(x.status) {
		return 0, http.ErrBodyNotAllowed
	}
	x.written += int64(len(p))
	if x.length >= 0 && x.written > x.length {
		return 0, http.ErrContentLength
	}
	return x.hold(p)
}

// Flush sends what has been written.
func (x *exchange) Flush() { _ = x.FlushError() }

// FlushError sends what has been written, and tells whether that was possible.
func (x *exchange) FlushError() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.over {
		return errOver
	}
	if x.status == 0 {
		x.tell(http.StatusOK)
	}
	x.complete()
	x.send()
	return x.err
}

// SetReadDeadline bounds the reading of the body; zero: it may take for ever.
func (x *exchange) SetReadDeadline(t time.Time) error { return x.conn.bound(x, &x.conn.reads, t) }

// SetWriteDeadline bounds the sending of the answer; zero: it may take for ever.
func (x *exchange) SetWriteDeadline(t time.Time) error { return x.conn.bound(x, &x.conn.writes, t) }

// bound changes a deadline for the exchange that is served.
func (c *conn) bound(x *exchange, d *deadline, t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.exchange != x {
		return errOver
	}
	d.want(t)
	return nil
}

// EnableFullDuplex lets the handler read the body after it has begun to answer.
func (x *exchange) EnableFullDuplex() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.fullDuplex = true
	return nil
}

// hold holds bytes of the body back until they are many, or the answer ends:
// before that nobody knows whether it is short.
func (x *exchange) hold(p []byte) (n int, err error) {
	u := x.buffers()
	for len(u.body)+len(p) > maxHeld && x.err == nil {
		if len(u.body) == 0 {
			x.emit(p)
			return n + len(p), x.err
		}
		room := maxHeld - len(u.body)
		u.body = append(u.body, p[:room]...)
		n, p = n+room, p[room:]
		x.emit(u.body)
		u.body = u.body[:0]
	}
	if x.err != nil {
		return n, x.err
	}
	u.body = append(u.body, p...)
	return n + len(p), nil
}

// complete emits what is held back.
func (x *exchange) complete() {
	u := x.buffers()
	if len(u.body) > 0 {
		x.emit(u.body)
		u.body = u.body[:0]
	}
	if !x.begun {
		x.begin(nil)
	}
}

// emit appends a part of the body to what is sent next, and sends what is too long
// for that.
func (x *exchange) emit(p []byte) {
	if !x.begun {
		x.begin(p)
	}
	if x.head || x.err != nil {
		return
	}
	u, end := x.unsent, ""
	if x.chunked {
		u.out = append(strconv.AppendInt(u.out, int64(len(p)), 16), "\r\n"...)
		end = "\r\n"
	}
	if len(u.out)+len(p)+len(end) <= cap(u.out) {
		u.out = append(append(u.out, p...), end...)
		return
	}
	x.err = x.conn.send(u.out, p, []byte(end))
	u.out = u.out[:0]
}

// finish ends the answer, and tells whether the connection can serve another
// request.
func (x *exchange) finish() bool {
	x.cancel()
	good := x.end()
	whole := x.body.shut()
	if !whole && x.err == nil {
		x.conn.linger()
	}
	x.conn.finish()
	http1.GiveHeader(x.header)
	x.header = nil
	return good && whole
}

// end sends the rest of the answer, and tells whether another one may follow it.
func (x *exchange) end() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.over = true
	if x.status == 0 {
		x.tell(http.StatusOK)
	}
	x.complete()
	if x.chunked && x.err == nil && !x.head {
		x.unsent.out = x.appendTrailer(append(x.unsent.out, "0\r\n"...))
	}
	x.send()
	short := x.length >= 0 && x.written != x.length && !x.head && bodyAllowed(x.status)
	return x.err == nil && !x.last && !short
}

// abandon ends an exchange whose handler has panicked. The client gets what the
// handler has sent so far, so that it sees that something is missing.
func (x *exchange) abandon() {
	x.cancel()
	x.mu.Lock()
	x.over = true
	if x.begun {
		x.send()
	}
	x.mu.Unlock()
	x.conn.abort() // a body that is read elsewhere ends with it
	x.body.shut()
}
