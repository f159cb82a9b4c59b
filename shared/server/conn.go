package server

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"spillway/shared/rawconn"
)

// The states of a connection.
const (
	idle    = iota // between two requests, or before the first
	active         // a request is served
	retired        // to be closed
)

// conn is a connection from a client. It is served by one goroutine; abort and
// retire may be called by anybody at any time. While nothing is served, the deadlines are
// that goroutine's alone, which needs no lock for them then.
type conn struct {
	net.Conn
	stream net.Conn // the same, as it is read and written
	server *Server
	ctx    context.Context // what the contexts of its requests are made of
	left   *handover
	remote string // the client's address
	given  bool   // it has been handed over

	reader *bufio.Reader // nil while nothing is read
	kept   []byte        // what has been read and is not in the reader
	method string        // of the last request, "": there was none
	header http.Header   // of one plain request after another: to make one takes longer

	mu        sync.Mutex
	state     int       // guarded by mu
	exchange  *exchange // guarded by mu; what is served, nil: nothing is
	reads     deadline  // guarded by mu
	writes    deadline  // guarded by mu
	watch     watch     // guarded by mu
	unwatched sync.Cond // of mu: the watch has ended
	ahead     [1]byte   // what the watch reads
	requests  uint64    // guarded by mu; how many have been read to their end
	looked    uint64    // guarded by mu; how many there were when the sentry looked
	listed    bool      // guarded by mu; the sentry will look
}

func newConn(s *Server, plain net.Conn, base context.Context, left *handover) *conn {
	c := &conn{Conn: plain, stream: rawconn.New(plain), server: s, left: left, header: make(http.Header)}
	c.ctx = context.WithValue(base, http.LocalAddrContextKey, plain.LocalAddr())
	c.remote = plain.RemoteAddr().String()
	c.reads.set, c.writes.set = plain.SetReadDeadline, plain.SetWriteDeadline
	c.unwatched.L = &c.mu
	return c
}

// serve serves requests until the connection ends.
//
// At each collection Go takes half of a stack away of which less than a quarter is in use,
// and who needs it again has it copied, frame by frame. A usual request of a gateway gets
// along with 8 KiB, of which its connection, while it waits for the next one, would use a
// little less than a quarter (Go adds 800 bytes). So it gets some ballast: without it the
// first requests of all connections after a collection took more time for their stacks than
// the collection itself.
func (c *conn) serve() {
	var ballast [512]byte
	defer runtime.KeepAlive(&ballast)
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
	c.mu.Lock()
	c.endWatch()
	c.mu.Unlock()
	c.releaseReader()
	c.server.remove(c)
}

// abort closes the connection.
func (c *conn) abort() { _ = c.Conn.Close() }

// retire closes the connection if no request is served.
func (c *conn) retire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == idle {
		c.state = retired
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
		if r := readPlain(c.reader, c.header); r != nil {
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
			c.reads.want(c.server.headerEnd())
		}
		more, err := c.reader.Peek(len(header) + 1) // which may move what header shows
		if err == io.EOF && len(more) > 0 || err == bufio.ErrBufferFull {
			c.leave(more)
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
	c.reads.about(c.server.idleEnd(), c.server.settings.IdleTimeout/idleSlack)
	b, err := c.reader.Peek(4)
	if err == nil && c.method == http.MethodPost {
		_, _ = c.reader.Discard(len(b) - len(bytes.TrimLeft(b, "\r\n")))
	}
	return err == nil
}

// leave hands the connection over to net/http, with the bytes that were read.
func (c *conn) leave(read []byte) {
	if !c.begin(nil) {
		return
	}
	_ = c.Conn.SetDeadline(time.Time{})
	c.given = c.left.give(&fronted{Conn: c.Conn, front: slices.Concat(read, c.kept)})
}

// answer has a request answered, and tells whether another one may follow.
// Streams live for minutes below it: its frame is to be small.
func (c *conn) answer(r *http.Request) bool {
	c.method = r.Method
	x := &exchange{conn: c}
	if !c.begin(x) {
		return false
	}
	x.receive(r)
	c.server.handler().ServeHTTP(x, r)
	good := x.finish()
	clear(c.header)
	if r.MultipartForm != nil {
		_ = r.MultipartForm.RemoveAll()
	}
	return good && !c.server.closing.Load()
}

// begin begins to serve, with no deadlines, and tells whether that is still possible; a
// connection that is handed over has no exchange.
func (c *conn) begin(x *exchange) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != idle {
		return false
	}
	c.state, c.exchange = active, x
	c.reads.want(time.Time{})
	c.writes.want(time.Time{})
	return true
}

// finish ends what begin has begun.
func (c *conn) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endWatch()
	c.state, c.exchange = idle, nil
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
	if c.exchange == nil { // between two requests
		c.reads.apply()
		return c.stream.Read(p)
	}
	c.mu.Lock()
	c.reads.begin()
	c.mu.Unlock()
	n, err := c.stream.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reads.end()
	if err != nil {
		c.exchange.cancel()
	}
	return n, err
}

// send writes the pieces, at once. If it fails, nothing more can be written, and
// the request has lost its client.
func (c *conn) send(first []byte, more ...[]byte) (err error) {
	rawconn.Yield()
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

// idleSlack is the part of the idle time that a client may lose.
const idleSlack = 100

// lingering is how long a client may go on to send what nobody reads. If the
// connection were closed under it, it might not get to read the answer.
const lingering = 500 * time.Millisecond

// linger ends the connection gently.
func (c *conn) linger() {
	if closeWrite(c.Conn) == nil {
		_ = c.bound(c.exchange, &c.reads, after(lingering))
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
