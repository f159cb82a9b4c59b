package wire

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
)

// onlyKept is the connection that a Transport keeps, nil if it keeps none.
func (t *Transport) onlyKept() *conn {
	t.pool.mu.Lock()
	defer t.pool.mu.Unlock()
	for _, s := range t.pool.shelves {
		if len(s.kept) > 0 {
			return s.kept[0]
		}
	}
	return nil
}

// One caller after the other needs one connection.
func TestConnectionsAreKept(t *testing.T) {
	b := listen(t, answering(okAnswer))
	transport := newTransport(t)
	for range 20 {
		get(t, transport, b.url, "ok")
	}
	if got := b.connections.Load(); got != 1 {
		t.Errorf("%d connections, want 1", got)
	}
	transport.CloseIdleConnections()
	get(t, transport, b.url, "ok")
	if got := b.connections.Load(); got != 2 {
		t.Errorf("%d connections after CloseIdleConnections, want 2", got)
	}
}

// A kept connection on which anything has happened is not used, so that even a
// request that must not be repeated gets its answer.
func TestKeptConnectionIsLookedAt(t *testing.T) {
	for name, disturb := range map[string]func(net.Conn){
		"closed":             func(c net.Conn) { c.Close() },
		"reset":              func(c net.Conn) { _ = c.(*net.TCPConn).SetLinger(0); c.Close() },
		"half closed":        func(c net.Conn) { _ = c.(*net.TCPConn).CloseWrite(); hold(c) },
		"408":                func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 408 Request Timeout\r\n\r\n"); hold(c) },
		"an unasked-for 200": func(c net.Conn) { _, _ = io.WriteString(c, okAnswer); hold(c) },
	} {
		t.Run(name, func(t *testing.T) {
			kept := make(chan struct{})
			b := listen(t, func(c net.Conn, number int) {
				if number > 1 {
					answering(okAnswer)(c, number)
					return
				}
				readRequest(bufio.NewReader(c))
				_, _ = io.WriteString(c, okAnswer)
				<-kept
				disturb(c)
			})
			transport := newTransport(t)
			get(t, transport, b.url, "ok")
			close(kept)
			c := transport.onlyKept()
			eventually(t, "the disturbance has come", func() bool { return !c.idle() })
			r := request(t.Context(), t, "POST", b.url, "body")
			r.GetBody = nil
			if got := fetch(transport, r); got.err != nil || got.body != "ok" {
				t.Errorf("got %+v", got)
			}
			if got := b.connections.Load(); got != 2 {
				t.Errorf("%d connections, want 2", got)
			}
		})
	}
}

// Of the connections of a busy moment as many are kept as is allowed.
func TestLimitOfKeptConnections(t *testing.T) {
	var together sync.WaitGroup
	b := listen(t, func(c net.Conn, _ int) {
		for r := bufio.NewReader(c); readRequest(r) != nil; {
			together.Done()
			together.Wait()
			_, _ = io.WriteString(c, okAnswer)
		}
	})
	transport := newTransport(t, func(s *http.Transport) { s.MaxIdleConnsPerHost = 2 })
	for _, want := range []int32{5, 8} {
		together.Add(5)
		var callers sync.WaitGroup
		for range 5 {
			callers.Go(func() {
				if got := fetch(transport, request(t.Context(), t, "GET", b.url, "")); got.err != nil {
					t.Error(got.err)
				}
			})
		}
		callers.Wait()
		if got := b.connections.Load(); got != want {
			t.Errorf("%d connections, want %d", got, want)
		}
	}
}

// Connections belong to one host.
func TestHostsShareNothing(t *testing.T) {
	backends := []*backend{listen(t, answering(okAnswer)), listen(t, answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nother"))}
	transport := newTransport(t)
	for range 3 {
		get(t, transport, backends[0].url, "ok")
		get(t, transport, backends[1].url, "other")
	}
	for i, b := range backends {
		if got := b.connections.Load(); got != 1 {
			t.Errorf("backend %d: %d connections, want 1", i, got)
		}
	}
}

// unseen is a connection that the system cannot be asked about.
type unseen struct{ net.Conn }

// Such a connection is not kept.
func TestConnectionThatCannotBeLookedAt(t *testing.T) {
	b := listen(t, answering(okAnswer))
	transport := newTransport(t, dialing(func(c net.Conn) net.Conn { return unseen{c} }))
	get(t, transport, b.url, "ok")
	get(t, transport, b.url, "ok")
	if got := b.connections.Load(); got != 2 {
		t.Errorf("%d connections, want 2", got)
	}
}
