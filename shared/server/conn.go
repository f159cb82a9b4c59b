package server

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"spillway/shared/rawconn"
)

// The states of a connection.
const (
	idle    int32 = iota // between two requests, or before the first
	active               // a request is served
	retired              // to be closed
)

// conn is a connection from a client. It is served by one goroutine; abort and
// retire may be called by anybody at any time.
type conn struct {
	net.Conn
	stream net.Conn // the same, as it is read and written
	server *Server
	ctx    context.Context // what the contexts of its requests are made of
	left   *handover
	remote string // the client's address
	state  atomic.Int32
	given  bool // it has been handed over

	reader *bufio.Reader // nil while nothing is read
	kept   []byte        // what has been read and is not in the reader
	method string        // of the last request, "": there was none

	mu        sync.Mutex
	exchange  *exchange     // guarded by mu; what is served, nil: nothing is
	reads     deadline      // guarded by mu
	writes    deadline      // guarded by mu
	watch     watch         // guarded by mu
	unwatched sync.Cond     // of mu: the watch has ended
	ahead     [1]byte       // what the watch reads
	watches   atomic.Uint64 // changes when a watch becomes due, and when it is over
}

func newConn(s *Server, plain net.Conn, base context.Context, left *handover) *conn {
	c := &conn{Conn: plain, stream: rawconn.New(plain), server: s, left: left}
	c.ctx = context.WithValue(base, http.LocalAddrContextKey, plain.LocalAddr())
	c.remote = plain.RemoteAddr().String()
	c.reads.set, c.writes.set = plain.SetReadDeadline, plain.SetWriteDeadline
	c.unwatched.L = &c.mu
	return c
}

// serve serves requests until the connection ends.
func (c *conn) serve() {
	defer c.end()
	for {
		r := c.next()
		if r == nil || !c.answer(r) {
			return
		}
	}
}

// end closes the connection, unless it has been handed over. What has made a
// handler panic is logged.
func (c *conn) end() {
	if fault := recover(); fault != nil && fault != http.ErrAbortHandler {
		c.server.logf("http: panic serving %v: %v\n%s", c.remote, fault, debug.Stack())
	}
	if x := c.exchange; x != nil { // of a handler that has not returned
		x.abandon()
	}
	if !c.given {
		c.abort()
	}
	c.endWatch()
	c.releaseReader()
	c.server.remove(c)
}

// abort closes the connection.
func (c *conn) abort() { _ = c.Conn.Close() }

// retire closes the connection if no request is served.
func (c *conn) retire() {
	if c.state.CompareAndSwap(idle, retired) {
		c.abort()
	}
}

// next waits for a request and reads its header; nil: none comes that is to be
// served here.
func (c *conn) next() *http.Request {
	c.reader = readers.Get().(*bufio.Reader)
	c.reader.Reset(c)
	if c.method != "" && !c.begins() {
		return nil
	}
	for bounded := false; ; bounded = true {
		if r := readPlain(c.reader); r != nil {
			return r
		}
		header, _ := c.reader.Peek(c.reader.Buffered())
		switch judge(header) {
		case ordinary:
			// What is read stays in the buffer.
			if r, err := http.ReadRequest(c.reader); err == nil {
				return r
			}
			c.leave(header)
			return nil
		case odd:
			c.leave(header)
			return nil
		}
		if !bounded {
			c.readBy(c.server.headerEnd())
		}
		_, err := c.reader.Peek(len(header) + 1)
		if err == io.EOF && len(header) > 0 || err == bufio.ErrBufferFull {
			c.leave(header)
			return nil
		}
		if err != nil {
			return nil
		}
	}
}

// begins waits for the next request to begin. After a POST it may do so with an
// empty line or two, which old clients add to a body.
func (c *conn) begins() bool {
	c.readAbout(c.server.idleEnd())
	b, err := c.reader.Peek(4)
	if err == nil && c.method == http.MethodPost {
		_, _ = c.reader.Discard(len(b) - len(bytes.TrimLeft(b, "\r\n")))
	}
	return err == nil
}

// leave hands the connection over to net/http, with the bytes that were read.
func (c *conn) leave(read []byte) {
	if !c.state.CompareAndSwap(idle, active) {
		return
	}
	_ = c.Conn.SetDeadline(time.Time{})
	c.given = c.left.give(&fronted{Conn: c.Conn, front: slices.Concat(read, c.kept)})
}

// answer has a request answered, and tells whether another one may follow.
// Streams live for minutes below it: its frame is to be small.
func (c *conn) answer(r *http.Request) bool {
	if !c.state.CompareAndSwap(idle, active) {
		return false
	}
	c.method = r.Method
	x := newExchange(c, r)
	c.server.handler().ServeHTTP(x, r)
	good := x.finish()
	if r.MultipartForm != nil {
		_ = r.MultipartForm.RemoveAll()
	}
	c.state.Store(idle)
	return good && !c.server.closing.Load()
}

// begin notes the exchange that is served, nil if none is, with no deadlines.
func (c *conn) begin(x *exchange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.exchange = x
	c.reads.want(time.Time{})
	c.writes.want(time.Time{})
}

// Read reads what was read before, and then on. If it fails, the request has lost
// its client.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.kept) > 0 {
		n := copy(p, c.kept)
		if c.kept = c.kept[n:]; len(c.kept) == 0 {
			c.kept = nil
		}
		return n, nil
	}
	c.mu.Lock()
	c.reads.begin()
	c.mu.Unlock()
	n, err := c.stream.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads.end()
	if err != nil && c.exchange != nil {
		c.exchange.cancel()
	}
	return n, err
}

// send writes the pieces, at once. If it fails, nothing more can be written, and
// the request has lost its client.
func (c *conn) send(first []byte, more ...[]byte) (err error) {
	c.mu.Lock()
	c.writes.begin()
	c.mu.Unlock()
	if len(more) == 0 {
		_, err = c.stream.Write(first)
	} else {
		pieces := append(net.Buffers{first}, more...)
		_, err = pieces.WriteTo(c.Conn)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writes.end()
	if err != nil {
		c.exchange.cancel()
		c.abort()
	}
	return err
}

// readBy bounds what is read from now on; zero: it may take for ever.
func (c *conn) readBy(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads.want(t)
}

// readAbout is readBy for a time that a little less will do for as well.
func (c *conn) readAbout(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads.about(t, c.server.settings.IdleTimeout/idleSlack)
}

// idleSlack is the part of the idle time that a client may lose.
const idleSlack = 100

// lingering is how long a client may go on to send what nobody reads. If the
// connection were closed under it, it might not get to read the answer.
const lingering = 500 * time.Millisecond

// linger ends the connection gently.
func (c *conn) linger() {
	if closeWrite(c.Conn) == nil {
		c.readBy(after(lingering))
		_, _ = io.Copy(io.Discard, c)
	}
}

// readerSize holds the header of nearly every request; a longer one is left to
// net/http, and is refused there if it is too long.
const readerSize = 4 << 10

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, readerSize) }}

// releaseReader gives the reader back, and keeps what it holds.
func (c *conn) releaseReader() {
	r := c.reader
	if r == nil {
		return
	}
	if n := r.Buffered(); n > 0 {
		held, _ := r.Peek(n)
		c.kept = slices.Concat(held, c.kept)
	}
	c.reader = nil
	r.Reset(nil)
	readers.Put(r)
}
