package azureopenai

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// RoundTripper returns a transport that reaches the server in memory, without
// sockets: goroutines and channels only, so it works in a testing/synctest
// bubble. It behaves like an HTTP/1.1 connection: the handler starts when the
// request is sent, the answer is streamed through a buffer of 16 KiB, ending
// the context or closing the body cancels the handler's context, and a handler
// that aborts gives io.ErrUnexpectedEOF.
func (s *Server) RoundTripper() http.RoundTripper { return inMemory{s} }

// Hosts returns a transport that reaches several servers in memory, by the
// host (with port, if any) of the request's URL. Other hosts give a dial error.
func Hosts(servers map[string]*Server) http.RoundTripper { return hosts(maps.Clone(servers)) }

type hosts map[string]*Server

func (h hosts) RoundTrip(r *http.Request) (*http.Response, error) {
	s, ok := h[r.URL.Host]
	if !ok {
		closeBody(r)
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: r.URL.Hostname(), IsNotFound: true}}
	}
	return inMemory{s}.RoundTrip(r)
}

type inMemory struct{ server *Server }

// RoundTrip runs the handler in a goroutine and returns when it has sent the
// headers, or when the context ends.
func (t inMemory) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		closeBody(r)
		return nil, err
	}
	refused, r := t.server.refuses(r)
	if refused {
		closeBody(r)
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	ctx, cancel := context.WithCancel(r.Context())
	in := r.Clone(ctx)
	in.RequestURI = r.URL.RequestURI()
	in.RemoteAddr = "127.0.0.1:1"
	in.Proto, in.ProtoMajor, in.ProtoMinor = "HTTP/1.1", 1, 1
	if in.Host == "" {
		in.Host = r.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	conn := &connection{ctx: ctx, header: http.Header{}, started: make(chan struct{}), pipe: newPipe()}
	go func() {
		defer cancel()
		defer in.Body.Close()
		conn.finish(serve(t.server, conn, in))
	}()
	select {
	case <-conn.started:
	case <-r.Context().Done():
		cancel()
		conn.pipe.stop(r.Context().Err())
		return nil, r.Context().Err()
	}
	if conn.status == 0 { // Aborted before the headers.
		return nil, fmt.Errorf("in-memory connection: %w", io.EOF)
	}
	return conn.response(r, cancel), nil
}

// refuses decides, for the in-memory transport, whether the connection is
// refused. It reads the body only if such a fault is active.
func (s *Server) refuses(r *http.Request) (refused bool, replaced *http.Request) {
	if !s.faults.any(FaultRefuse) {
		return false, r
	}
	body, err := readAll(r)
	rt, ok := parseRoute(r.Method, r.URL)
	ok = ok && rt.endpoint != nil
	replaced = r.WithContext(context.WithValue(r.Context(), refusalChecked{}, true))
	replaced.Body = bodyOf(body, err)
	if !ok {
		return false, replaced
	}
	in, _ := parseInput(rt, r.Header.Get("Content-Type"), body)
	name, _ := in.deployment(rt)
	stream, _ := in.boolean("stream")
	picked := s.faults.pick(subject{deployment: name, operation: rt.operation, stream: stream, header: r.Header},
		time.Now(), func(kind FaultKind) bool { return kind == FaultRefuse })
	if picked.fault == nil {
		return false, replaced
	}
	if d := s.find(rt, name); d != nil {
		d.countFault(FaultRefuse)
	}
	s.journal.add(Event{Time: time.Now(), Kind: EventBroken, Deployment: name, Fault: FaultRefuse})
	return true, replaced
}

// readAll reads and closes a request's body.
func readAll(r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	defer r.Body.Close()
	return io.ReadAll(r.Body)
}

// bodyOf is a body of these bytes that ends with err, if not nil.
func bodyOf(body []byte, err error) io.ReadCloser {
	if err == nil {
		err = io.EOF
	}
	return io.NopCloser(io.MultiReader(bytes.NewReader(body), failing{err}))
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func closeBody(r *http.Request) {
	if r.Body != nil {
		r.Body.Close()
	}
}

// serve runs the handler and says whether it aborted the connection.
func serve(h http.Handler, w http.ResponseWriter, r *http.Request) (aborted bool) {
	defer func() {
		if v := recover(); v != nil {
			if err, ok := v.(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
				panic(v)
			}
			aborted = true
		}
	}()
	h.ServeHTTP(w, r)
	return false
}

// connection is the server's end: an http.ResponseWriter over a pipe.
type connection struct {
	ctx     context.Context // ends when the client leaves
	header  http.Header
	once    sync.Once
	started chan struct{} // closed when the headers are sent (or never will be)
	status  int           // 0: aborted before the headers; read after started
	sent    http.Header   // snapshot at WriteHeader
	length  int64         // Content-Length, or -1
	written int64
	pipe    *pipe
}

func (c *connection) Header() http.Header { return c.header }

func (c *connection) WriteHeader(status int) {
	c.once.Do(func() {
		c.status, c.length = status, -1
		if n, err := strconv.ParseInt(c.header.Get("Content-Length"), 10, 64); err == nil {
			c.length = n
		}
		c.sent = c.header.Clone()
		c.sent.Set("Date", time.Now().UTC().Format(http.TimeFormat))
		close(c.started)
	})
}

func (c *connection) Write(p []byte) (int, error) {
	c.WriteHeader(http.StatusOK)
	n, err := c.pipe.write(c.ctx, p)
	c.written += int64(n)
	return n, err
}

// Flush sends the headers; body bytes are never held back.
func (c *connection) Flush() { c.WriteHeader(http.StatusOK) }

// finish ends the answer after the handler returned.
func (c *connection) finish(aborted bool) {
	if aborted {
		c.once.Do(func() { close(c.started) })
		c.pipe.end(io.ErrUnexpectedEOF)
		return
	}
	c.WriteHeader(http.StatusOK)
	if c.length >= 0 && c.written < c.length {
		c.pipe.end(io.ErrUnexpectedEOF)
		return
	}
	c.pipe.end(io.EOF)
}

// response is the client's end.
func (c *connection) response(r *http.Request, cancel context.CancelFunc) *http.Response {
	resp := &http.Response{
		Status: fmt.Sprintf("%d %s", c.status, http.StatusText(c.status)), StatusCode: c.status,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: c.sent, ContentLength: c.length, Request: r,
		Body: &responseBody{pipe: c.pipe, ctx: r.Context(), cancel: cancel},
	}
	if c.length < 0 {
		resp.TransferEncoding = []string{"chunked"}
	}
	return resp
}

// responseBody reads the pipe and tells the server when the client leaves.
type responseBody struct {
	pipe   *pipe
	ctx    context.Context
	cancel context.CancelFunc
}

func (b *responseBody) Read(p []byte) (int, error) { return b.pipe.read(b.ctx, p) }

func (b *responseBody) Close() error {
	b.cancel()
	b.pipe.stop(errBodyClosed)
	return nil
}

var errBodyClosed = errors.New("read on closed response body")

// pipeBuffer stands for the buffers of a socket, in bytes.
const pipeBuffer = 16 << 10

// pipe is a bounded buffer between one writer and one reader.
type pipe struct {
	mu       sync.Mutex
	buffer   []byte // guarded by mu
	ended    error  // guarded by mu; what the reader gets after the buffer
	stopped  error  // guarded by mu; the reader is gone
	readable chan struct{}
	writable chan struct{}
}

func newPipe() *pipe {
	return &pipe{readable: make(chan struct{}, 1), writable: make(chan struct{}, 1)}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// write blocks while the buffer is full; it fails when the reader is gone.
func (p *pipe) write(ctx context.Context, b []byte) (n int, err error) {
	for {
		p.mu.Lock()
		if p.stopped != nil {
			p.mu.Unlock()
			return n, p.stopped
		}
		room := min(pipeBuffer-len(p.buffer), len(b)-n)
		p.buffer = append(p.buffer, b[n:n+room]...)
		n += room
		p.mu.Unlock()
		if room > 0 {
			signal(p.readable)
		}
		if n == len(b) {
			return n, nil
		}
		select {
		case <-p.writable:
		case <-ctx.Done():
			return n, ctx.Err()
		}
	}
}

// read returns what is buffered, then the end. It prefers the context's error:
// a real transport gives nothing more after a cancel.
func (p *pipe) read(ctx context.Context, b []byte) (int, error) {
	for {
		if err := ctx.Err(); err != nil {
			p.stop(err)
			return 0, err
		}
		p.mu.Lock()
		if p.stopped != nil {
			p.mu.Unlock()
			return 0, p.stopped
		}
		if len(p.buffer) > 0 || len(b) == 0 {
			n := copy(b, p.buffer)
			p.buffer = p.buffer[:copy(p.buffer, p.buffer[n:])]
			p.mu.Unlock()
			signal(p.writable)
			return n, nil
		}
		if p.ended != nil {
			p.mu.Unlock()
			return 0, p.ended
		}
		p.mu.Unlock()
		select {
		case <-p.readable:
		case <-ctx.Done():
		}
	}
}

// end is called by the writer, once.
func (p *pipe) end(err error) {
	p.mu.Lock()
	p.ended = err
	p.mu.Unlock()
	signal(p.readable)
}

// stop is called by the reader when it leaves; the first reason stays.
func (p *pipe) stop(err error) {
	p.mu.Lock()
	if p.stopped == nil {
		p.stopped = err
	}
	p.mu.Unlock()
	signal(p.writable)
}

var (
	_ http.RoundTripper   = inMemory{}
	_ http.RoundTripper   = hosts(nil)
	_ http.ResponseWriter = (*connection)(nil)
	_ http.Flusher        = (*connection)(nil)
)
