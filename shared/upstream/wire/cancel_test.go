package wire

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// cancelTest is a phase of a request in which its context ends.
type cancelTest struct {
	name string
	// serve is the backend's side; it calls now when the phase has begun, unless
	// that is seen on this side.
	serve func(c net.Conn, now func())
	dial  func(now func()) func(*http.Transport)
	body  int  // the length of the request's
	tls   bool // the request is for https
	read  bool // an answer begins
}

var cancelTests = []cancelTest{
	{name: "dialing", dial: func(now func()) func(*http.Transport) {
		return func(s *http.Transport) {
			s.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
				now()
				<-ctx.Done()
				return nil, ctx.Err()
			}
		}
	}},
	{name: "TLS handshake", tls: true, serve: func(c net.Conn, now func()) {
		_, _ = io.ReadFull(c, make([]byte, 10))
		now()
		hold(c)
	}},
	{name: "writing a short request", serve: silent, dial: whenWriting, body: maxDirect - 1000},
	{name: "writing a long request", serve: silent, dial: whenWriting, body: MaxCopied},
	{name: "writing a request from memory", serve: silent, dial: whenWriting, body: 1 << 20},
	{name: "waiting for the answer", serve: func(c net.Conn, now func()) {
		readRequest(bufio.NewReader(c))
		now()
		hold(c)
	}},
	{name: "in the header", serve: func(c net.Conn, now func()) {
		readRequest(bufio.NewReader(c))
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-")
		now()
		hold(c)
	}},
	{name: "after an informational answer", serve: func(c net.Conn, now func()) {
		readRequest(bufio.NewReader(c))
		_, _ = io.WriteString(c, "HTTP/1.1 103 Early Hints\r\n\r\n")
		now()
		hold(c)
	}},
	{name: "reading", read: true, serve: func(c net.Conn, now func()) {
		readRequest(bufio.NewReader(c))
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n")
		now()
		hold(c)
	}},
}

// silent is a backend that only waits.
func silent(c net.Conn, _ func()) { hold(c) }

// whenWriting begins the phase in the middle of writing.
func whenWriting(now func()) func(*http.Transport) {
	return dialing(func(c net.Conn) net.Conn { return newStuck(c, now) })
}

// Whenever a request's context ends, the request ends with the cause, and so
// does its connection: the backend sees it.
func TestCancel(t *testing.T) {
	gone := errors.New("the client is gone")
	for _, test := range cancelTests {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			now := func() { cancel(gone) }
			url := "http://contoso.test"
			if test.serve != nil {
				url = listen(t, func(c net.Conn, _ int) { test.serve(c, now) }).url
			}
			if test.tls {
				url = strings.Replace(url, "http:", "https:", 1)
			}
			var settings []func(*http.Transport)
			if test.dial != nil {
				settings = append(settings, test.dial(now))
			}
			transport := newTransport(t, settings...)
			var body Body
			if test.body > 0 {
				body = fromMemory(strings.Repeat("x", test.body))
			}
			got := post(ctx, targetOf(t, transport, url), nil, body)
			if !errors.Is(got.err, gone) || (got.status != 0 && !test.read) {
				t.Errorf("got status %d, %v", got.status, got.err)
			}
			if transport.onlyKept() != nil {
				t.Error("the connection is kept")
			}
		})
	}
}

// A context that ends while nobody reads ends the connection all the same.
func TestCancelBetweenReads(t *testing.T) {
	ended := make(chan struct{})
	b := listen(t, func(c net.Conn, _ int) {
		readRequest(bufio.NewReader(c))
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegin")
		hold(c)
		close(ended)
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	response, err := newTransport(t).RoundTrip(request(ctx, t, "GET", b.url, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	cancel()
	<-ended
	if body, err := io.ReadAll(response.Body); !errors.Is(err, context.Canceled) {
		t.Errorf("read %q, %v", body, err)
	}
}

// A deadline ends a request as a cancellation does.
func TestDeadline(t *testing.T) {
	b := listen(t, func(c net.Conn, _ int) { hold(c) })
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if got := fetch(newTransport(t), request(ctx, t, "GET", b.url, "")); !errors.Is(got.err, context.DeadlineExceeded) {
		t.Errorf("got %+v", got)
	}
}

// A context that ends after the answer does not concern the connection any more.
func TestCancelAfterTheEnd(t *testing.T) {
	b := listen(t, answering(okAnswer))
	transport := newTransport(t)
	for range 10 {
		ctx, cancel := context.WithCancel(t.Context())
		got := fetch(transport, request(ctx, t, "GET", b.url, ""))
		cancel()
		if got.body != "ok" || got.err != nil {
			t.Errorf("got %+v", got)
		}
	}
	if got := b.connections.Load(); got != 1 {
		t.Errorf("%d connections, want 1", got)
	}
}

// A request whose context has ended is not sent, not even on a kept connection.
func TestCanceledBefore(t *testing.T) {
	b := listen(t, answering(okAnswer))
	transport := newTransport(t)
	get(t, transport, b.url, "ok")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := fetch(transport, request(ctx, t, "GET", b.url, "")); !errors.Is(got.err, context.Canceled) {
		t.Errorf("got %+v", got)
	}
	if transport.onlyKept() == nil {
		t.Error("the kept connection is lost")
	}
}
