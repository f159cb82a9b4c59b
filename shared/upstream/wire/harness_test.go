package wire

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// backend is a listener whose connections are served by hand.
type backend struct {
	url         string
	connections atomic.Int32
	served      sync.WaitGroup
}

// listen starts a backend: serve gets each connection and its number, from 1.
// The test fails if the connections have not ended by themselves when it is over.
func listen(t testing.TB, serve func(c net.Conn, number int)) *backend {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{url: "http://" + listener.Addr().String()}
	b.served.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			number := int(b.connections.Add(1))
			b.served.Go(func() {
				defer c.Close()
				serve(c, number)
			})
		}
	})
	t.Cleanup(func() {
		listener.Close()
		ended := make(chan struct{})
		go func() {
			b.served.Wait()
			close(ended)
		}()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Error("connections are left open")
		}
	})
	return b
}

// answering serves connections that answer each request with the same text.
func answering(text string) func(net.Conn, int) {
	return func(c net.Conn, _ int) {
		r := bufio.NewReader(c)
		for readRequest(r) != nil {
			_, _ = io.WriteString(c, text)
		}
	}
}

// losingSecond answers each request, but for the second one on the first connection: that
// it reads to its end, and closes the connection.
func losingSecond(c net.Conn, number int) {
	r := bufio.NewReader(c)
	for first := true; readRequest(r) != nil && (first || number > 1); first = false {
		_, _ = io.WriteString(c, okAnswer)
	}
}

// readRequest reads a request to its end; nil: there is none.
func readRequest(r *bufio.Reader) *http.Request {
	request, err := http.ReadRequest(r)
	if err != nil {
		return nil
	}
	if _, err := io.Copy(io.Discard, request.Body); err != nil {
		return nil
	}
	return request
}

// hold waits for the other side to end a connection.
func hold(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// newTransport makes a Transport that leaves nothing behind. It is to be made
// after the backends that it uses.
func newTransport(t testing.TB, change ...func(*http.Transport)) *Transport {
	t.Helper()
	settings := &http.Transport{MaxIdleConnsPerHost: 100, IdleConnTimeout: 90 * time.Second, DisableCompression: true}
	for _, f := range change {
		f(settings)
	}
	transport := New(settings)
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		eventually(t, "no goroutine of the transport is left", func() bool { return goroutines() == "" })
	})
	return transport
}

// goroutines are those that the package has started or works in.
func goroutines() string {
	buf := make([]byte, 4<<20)
	var ours []string
	for _, stack := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		for _, of := range []string{"Transport", "Target", "exchange", "shelf"} {
			if strings.Contains(stack, "/wire.(*"+of+")") {
				ours = append(ours, stack)
				break
			}
		}
	}
	return strings.Join(ours, "\n\n")
}

// eventually polls until the condition holds: the system and other goroutines
// tell nobody when they are done.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !condition(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// request makes a request; a body that is not empty can be had once more.
func request(ctx context.Context, t testing.TB, method, url, body string) *http.Request {
	t.Helper()
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(ctx, method, url, reader)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// seen is what a caller sees of an answer.
type seen struct {
	status int
	body   string
	err    error // of RoundTrip, or of reading the body
}

// fetch sends a request and reads the answer to its end.
func fetch(transport http.RoundTripper, r *http.Request) seen {
	response, err := transport.RoundTrip(r)
	if err != nil {
		return seen{err: err}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return seen{response.StatusCode, string(body), err}
}

// get fetches a URL, and expects a good answer.
func get(t testing.TB, transport http.RoundTripper, url, want string) {
	t.Helper()
	if got := fetch(transport, request(t.Context(), t, "GET", url, "")); got.err != nil || got.status != 200 || got.body != want {
		t.Fatalf("got status %d, %q, %v; want 200, %q", got.status, got.body, got.err, want)
	}
}

const okAnswer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
