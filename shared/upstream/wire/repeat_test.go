package wire

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// dialing changes the connections that a Transport makes.
func dialing(change func(net.Conn) net.Conn) func(*http.Transport) {
	return func(s *http.Transport) {
		s.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return change(c), nil
		}
	}
}

var keyed = http.Header{"Idempotency-Key": {"7"}}

var repeatTests = []struct {
	name   string
	method string
	header http.Header
	body   string
	once   bool   // the body can be had only once
	answer string // what comes of the answer on the kept connection
	sent   int32  // how often the backend sees the request; the second time it answers
}{
	{"GET", "GET", nil, "", false, "", 2},
	{"HEAD", "HEAD", nil, "", false, "", 2},
	{"OPTIONS", "OPTIONS", nil, "", false, "", 2},
	{"DELETE", "DELETE", nil, "", false, "", 1},
	{"POST", "POST", nil, "x", false, "", 1},
	{"POST with a key", "POST", keyed, "x", false, "", 2},
	{"POST with the other key", "POST", http.Header{"X-Idempotency-Key": {}}, "x", false, "", 2},
	{"POST with a key, without a body", "POST", keyed, "", false, "", 2},
	{"POST whose body is gone", "POST", keyed, "x", true, "", 1},
	{"GET whose answer has begun", "GET", nil, "", false, "H", 1},
	{"POST whose answer has begun", "POST", keyed, "x", false, "HTTP/1.1 200", 1},
	{"long POST", "POST", keyed, strings.Repeat("x", 60<<10), false, "", 2},
}

// A request whose kept connection ends without an answer is sent again where
// HTTP allows it.
func TestRepeat(t *testing.T) {
	for _, test := range repeatTests {
		t.Run(test.name, func(t *testing.T) {
			var sent atomic.Int32
			b := listen(t, func(c net.Conn, number int) {
				r := bufio.NewReader(c)
				if number == 1 {
					readRequest(r)
					_, _ = io.WriteString(c, okAnswer)
				}
				if request := readRequest(r); request == nil {
					return
				}
				if sent.Add(1); number == 1 {
					_, _ = io.WriteString(c, test.answer)
					return
				}
				_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
				hold(c)
			})
			transport := newTransport(t)
			get(t, transport, b.url, "ok")
			r := request(t.Context(), t, test.method, b.url, test.body)
			if test.header != nil {
				r.Header = test.header
			}
			if test.once {
				r.GetBody = nil
			}
			got := fetch(transport, r)
			if sent.Load() != test.sent || (got.status == 204) != (test.sent == 2) || (got.err == nil) != (test.sent == 2) {
				t.Errorf("sent %d times, want %d: got %+v", sent.Load(), test.sent, got)
			}
		})
	}
}

// It is sent again once, and not at all if the connection was new.
func TestRepeatIsNotRepeated(t *testing.T) {
	var sent atomic.Int32
	b := listen(t, func(c net.Conn, number int) {
		r := bufio.NewReader(c)
		for first := true; readRequest(r) != nil; first = false {
			if number != 1 || !first {
				sent.Add(1)
				return
			}
			_, _ = io.WriteString(c, okAnswer)
		}
	})
	transport := newTransport(t)
	get(t, transport, b.url, "ok")
	for _, want := range []int32{2, 3} {
		if got := fetch(transport, request(t.Context(), t, "GET", b.url, "")); !errors.Is(got.err, io.EOF) || sent.Load() != want {
			t.Errorf("sent %d times in all, want %d: got %+v", sent.Load(), want, got)
		}
	}
}

// A body that cannot be had again ends the request with the reason.
func TestBodyThatCannotBeHadAgain(t *testing.T) {
	gone := errors.New("gone")
	b := listen(t, func(c net.Conn, _ int) {
		r := bufio.NewReader(c)
		readRequest(r)
		_, _ = io.WriteString(c, okAnswer)
		readRequest(r)
	})
	transport := newTransport(t)
	get(t, transport, b.url, "ok")
	r := request(t.Context(), t, "POST", b.url, "x")
	r.Header = keyed
	r.GetBody = func() (io.ReadCloser, error) { return nil, gone }
	if got := fetch(transport, r); !errors.Is(got.err, gone) {
		t.Errorf("got %+v", got)
	}
}

// mute is a connection that can be written to once.
type mute struct {
	*net.TCPConn
	written bool
}

func (c *mute) Write(p []byte) (int, error) {
	if c.written {
		return 0, &net.OpError{Op: "write", Net: "tcp", Err: syscall.EPIPE}
	}
	c.written = true
	return c.TCPConn.Write(p)
}

// A request of which nothing was sent may be sent again whatever it is.
func TestUnsentRequest(t *testing.T) {
	for name, once := range map[string]bool{"body": false, "body that is gone": true} {
		t.Run(name, func(t *testing.T) {
			b := listen(t, answering(okAnswer))
			transport := newTransport(t, dialing(func(c net.Conn) net.Conn { return &mute{TCPConn: c.(*net.TCPConn)} }))
			get(t, transport, b.url, "ok")
			r := request(t.Context(), t, "POST", b.url, "x")
			if once {
				r.GetBody = nil
			}
			got := fetch(transport, r)
			var lost *net.OpError
			if once != (errors.As(got.err, &lost) && lost.Op == "write") || once != (got.status != 200) {
				t.Errorf("got %+v", got)
			}
		})
	}
}
