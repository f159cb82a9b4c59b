package wire

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// A short request on a kept connection is sent within the wait for its answer: when
// nothing has come it is waited for at once, without a buffer. The backend answers only
// then, so an answer cannot be missed however early it comes.
func TestRequestIsSentWithinTheWaitForItsAnswer(t *testing.T) {
	answer := make(chan struct{})
	b := listen(t, func(c net.Conn, _ int) {
		for r := bufio.NewReader(c); readRequest(r) != nil; {
			<-answer
			_, _ = io.WriteString(c, okAnswer)
		}
	})
	transport := newTransport(t)
	go func() { answer <- struct{}{} }()
	get(t, transport, b.url, "ok")
	for range 100 {
		c, waits := transport.onlyKept(), 0
		raw := c.raw
		c.raw = &seeing{raw, func() {
			if c.reader != nil || c.socket.ahead != nil {
				t.Error("a buffer is held")
			}
			waits++
			answer <- struct{}{}
		}}
		get(t, transport, b.url, "ok")
		if waits != 1 || transport.onlyKept() != c {
			t.Fatalf("waited %d times, want once; kept: %t", waits, transport.onlyKept() == c)
		}
		c.raw = raw
	}
	if got := b.connections.Load(); got != 1 {
		t.Errorf("%d connections, want 1", got)
	}
}

// The system may take less than a whole message at once, or nothing: the rest is written
// as it can be.
func TestMessageThatIsTakenInParts(t *testing.T) {
	b := listen(t, func(c net.Conn, _ int) {
		for r := bufio.NewReader(c); ; {
			request, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			body, _ := io.ReadAll(request.Body)
			_, _ = fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body)+1, "="+string(body))
		}
	})
	transport := newTransport(t)
	get(t, transport, b.url, "=")
	c := transport.onlyKept()
	for _, part := range []int{0, 1, 100} {
		c.talk = func(fd uintptr) bool {
			c.peek(fd)
			if part > 0 {
				c.sent, _ = c.socket.Write(c.said.bytes[:part])
			}
			return true
		}
		body := strings.Repeat("x", 1000)
		if got := fetch(transport, request(t.Context(), t, "POST", b.url, body)); got.err != nil || got.body != "="+body {
			t.Errorf("after %d bytes: got %+v", part, got)
		}
		if transport.onlyKept() != c {
			t.Errorf("after %d bytes: the connection is not kept", part)
		}
	}
}
