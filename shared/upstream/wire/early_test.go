package wire

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// stuck is a connection that takes half of what is written, and then no more
// until it is closed.
type stuck struct {
	net.Conn
	half   func() // called when half has been taken
	once   sync.Once
	closed chan struct{}
}

func newStuck(c net.Conn, half func()) *stuck {
	return &stuck{Conn: c, half: half, closed: make(chan struct{})}
}

func (c *stuck) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p[:len(p)/2])
	if err != nil {
		return n, err
	}
	c.half()
	<-c.closed
	return n, net.ErrClosed
}

func (c *stuck) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// SyscallConn lets the connection be kept.
func (c *stuck) SyscallConn() (syscall.RawConn, error) { return c.Conn.(*net.TCPConn).SyscallConn() }

// refuses answers before it has read more than the header.
func refuses(t *testing.T, c net.Conn) {
	if _, err := http.ReadRequest(bufio.NewReaderSize(c, 16)); err != nil {
		t.Error(err)
	}
	_, _ = io.WriteString(c, tooLarge)
}

const tooLarge = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig"

// An answer that comes before the request has been read counts, whatever the
// backend does then.
func TestEarlyAnswer(t *testing.T) {
	for name, size := range map[string]int{"short body": maxDirect / 2, "long body": MaxCopied} {
		for what, then := range map[string]func(net.Conn){"closes": func(net.Conn) {}, "reads the rest": hold} {
			t.Run(name+", "+what, func(t *testing.T) {
				b := listen(t, func(c net.Conn, _ int) {
					refuses(t, c)
					then(c)
				})
				got := fetch(newTransport(t), request(t.Context(), t, "POST", b.url, strings.Repeat("x", size)))
				if got.err != nil || got.status != 413 || got.body != "big" {
					t.Errorf("got %+v", got)
				}
			})
		}
	}
}

// So does one to a request that cannot be sent to its end. Its connection serves
// no other.
func TestEarlyAnswerToUnfinishedRequest(t *testing.T) {
	b := listen(t, func(c net.Conn, _ int) {
		refuses(t, c)
		hold(c)
	})
	transport := newTransport(t, dialing(func(c net.Conn) net.Conn { return newStuck(c, func() {}) }))
	got := fetch(transport, request(t.Context(), t, "POST", b.url, strings.Repeat("x", MaxCopied)))
	if got.err != nil || got.status != 413 || got.body != "big" {
		t.Errorf("got %+v", got)
	}
	if transport.onlyKept() != nil {
		t.Error("the connection is kept")
	}
}

// A connection whose long request was sent to its end is kept. Whoever writes has
// a moment to say so; now and then that may be too short.
func TestConnectionIsKeptAfterLongRequest(t *testing.T) {
	b := listen(t, answering(okAnswer))
	transport := newTransport(t)
	const requests = 20
	for range requests {
		got := fetch(transport, request(t.Context(), t, "POST", b.url, strings.Repeat("x", MaxCopied)))
		if got.body != "ok" || got.err != nil {
			t.Fatalf("got %+v", got)
		}
	}
	if got := b.connections.Load(); got == requests {
		t.Error("no connection is used again")
	}
}

// waitForEnd waits for a connection's end without reading: the other side's close
// shows in what is written.
func waitForEnd(c net.Conn) {
	for err := error(nil); err == nil; {
		_, err = c.Write([]byte{' '})
	}
}

// The longest message that is written before its answer is read fits into the
// system's buffers, even if the backend never reads it.
func TestDirectMessageNeedsNoReader(t *testing.T) {
	b := listen(t, func(c net.Conn, _ int) {
		_, _ = io.WriteString(c, tooLarge)
		waitForEnd(c)
	})
	transport := newTransport(t)
	body := strings.Repeat("x", maxDirect-500)
	r := request(t.Context(), t, "POST", b.url, body)
	if m, ok := messageOf(transport, r); !ok || !m.direct() {
		t.Fatalf("not direct: %t, a message of %d bytes", ok, len(m.bytes))
	}
	r = request(t.Context(), t, "POST", b.url, body)
	if got := fetch(transport, r); got.status != 413 || got.body != "big" || got.err != nil {
		t.Errorf("got %+v", got)
	}
}
