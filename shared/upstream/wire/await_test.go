package wire

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
)

// awaiting reads a body as one that comes slowly is read.
type awaiting struct{ io.ReadCloser }

func (b awaiting) Read(p []byte) (int, error) {
	b.ReadCloser.(*exchange).Await()
	return b.ReadCloser.Read(p)
}

// Awaiting changes nothing of what is read, nor whether the connection is kept: in
// clear and under TLS, in records of many sizes, however little is read at a time.
func TestAwaitChangesNothing(t *testing.T) {
	text := strings.Repeat("0123456789", 2000)
	for name, start := range starts {
		server := start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for rest, n := text, 1; rest != ""; n = 3*n%5003 + 1 {
				n = min(n, len(rest))
				_, _ = io.WriteString(w, rest[:n])
				w.(http.Flusher).Flush()
				rest = rest[n:]
			}
		}))
		t.Cleanup(server.Close)
		transport := newTransport(t, func(s *http.Transport) {
			if server.TLS != nil {
				trusting(server)(s)
			}
		})
		var kept *conn
		for _, size := range []int{1, 7, 100, readerSize, 10 * readerSize} {
			t.Run(fmt.Sprintf("%s, %d bytes at a time", name, size), func(t *testing.T) {
				response, err := transport.RoundTrip(request(t.Context(), t, "GET", server.URL, ""))
				if err != nil {
					t.Fatal(err)
				}
				var got strings.Builder
				_, err = io.CopyBuffer(struct{ io.Writer }{&got}, awaiting{response.Body}, make([]byte, size))
				if err != nil || got.String() != text {
					t.Errorf("%d bytes came, want %d: %v", got.Len(), len(text), err)
				}
				if now := transport.onlyKept(); now == nil || kept != nil && now != kept {
					t.Error("the connection is not used again")
				}
				kept = transport.onlyKept()
			})
		}
	}
}

// seeing is a connection that is looked at when nothing is there to read.
type seeing struct {
	syscall.RawConn
	empty func()
}

func (c *seeing) Read(look func(uintptr) bool) error {
	return c.RawConn.Read(func(fd uintptr) bool {
		done := look(fd)
		if !done {
			c.empty()
		}
		return done
	})
}

// While an answer is awaited its connection holds no buffer, and afterwards it is
// read on as if nothing had been.
func TestNoBufferIsHeldWhileAwaiting(t *testing.T) {
	more := make(chan struct{})
	b := listen(t, func(c net.Conn, _ int) {
		readRequest(bufio.NewReader(c))
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for range more {
			_, _ = io.WriteString(c, "2\r\nok\r\n")
		}
		_, _ = io.WriteString(c, "0\r\n\r\n")
	})
	response, err := newTransport(t).RoundTrip(request(t.Context(), t, "GET", b.url, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	x := response.Body.(*exchange)
	p := make([]byte, 10)
	for range 3 {
		waits := 0
		x.conn.raw = &seeing{x.conn.raw, func() {
			if waits++; waits > 1 {
				return
			}
			if size := x.conn.reader.Size(); size > 0 || x.conn.socket.ahead != nil {
				t.Errorf("a reader of %d bytes is held, and a buffer: %t", size, x.conn.socket.ahead != nil)
			}
			more <- struct{}{}
		}}
		x.Await()
		n, err := x.Read(p)
		if string(p[:n]) != "ok" || err != nil || waits == 0 {
			t.Errorf("read %q, %v, after %d waits", p[:n], err, waits)
		}
	}
	close(more)
	x.Await()
	if n, err := x.Read(p); n != 0 || err != io.EOF {
		t.Errorf("at the end: read %d, %v", n, err)
	}
}

// Whatever ends a connection ends the waiting, and Read says what it was.
func TestWhatEndsAwaiting(t *testing.T) {
	gone := errors.New("the client is gone")
	for name, test := range map[string]struct {
		backend func(net.Conn)
		caller  func(b io.Closer, cancel func())
		want    error
	}{
		"the backend closes":     {backend: func(c net.Conn) { c.Close() }, want: io.ErrUnexpectedEOF},
		"the backend resets":     {backend: func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0); c.Close() }, want: syscall.ECONNRESET},
		"the request's ends":     {caller: func(_ io.Closer, cancel func()) { cancel() }, want: gone},
		"the answer is closed":   {caller: func(b io.Closer, _ func()) { _ = b.Close() }, want: errBodyClosed},
		"it has ended before":    {caller: func(b io.Closer, cancel func()) { cancel(); _ = b.Close() }, want: errBodyClosed},
		"its end comes in bytes": {backend: func(c net.Conn) { _, _ = io.WriteString(c, "x\r\n0\r\n\r\n") }, want: errors.New("malformed chunked encoding")},
	} {
		t.Run(name, func(t *testing.T) {
			waiting := make(chan struct{})
			b := listen(t, func(c net.Conn, _ int) {
				readRequest(bufio.NewReader(c))
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok")
				if <-waiting; test.backend != nil {
					test.backend(c)
				}
				hold(c)
			})
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			response, err := newTransport(t).RoundTrip(request(ctx, t, "GET", b.url, ""))
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if _, err := io.ReadFull(response.Body, make([]byte, 2)); err != nil {
				t.Fatal(err)
			}
			x := response.Body.(*exchange)
			x.conn.raw = &seeing{x.conn.raw, func() {
				select {
				case <-waiting:
				default:
					close(waiting)
				}
			}}
			if test.caller != nil {
				go func() {
					<-waiting
					test.caller(x, func() { cancel(gone) })
				}()
			}
			x.Await()
			_, err = io.Copy(io.Discard, awaiting{x})
			if !errors.Is(err, test.want) && (err == nil || err.Error() != test.want.Error()) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}
