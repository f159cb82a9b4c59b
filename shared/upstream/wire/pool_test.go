package wire

import (
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// calmConn is a connection without a network; closed is closed with it.
func calmConn(host string) (c *conn, closed chan struct{}) {
	ours, theirs := net.Pipe()
	closed = make(chan struct{})
	go func() {
		hold(theirs)
		close(closed)
	}()
	c = newConn(ours, endpoint{host: host})
	c.raw = struct{ syscall.RawConn }{} // it could be looked at
	return c, closed
}

// A connection is kept for the time allowed, and is then closed by itself, each
// in its turn. Afterwards nothing is left, no timer either.
func TestKeptConnectionsAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const timeout = 90 * time.Second
		var p pool
		var ends []chan struct{}
		start := time.Now()
		for i, host := range []string{"a", "b", "a"} {
			if i > 0 {
				<-time.After(10 * time.Second)
			}
			c, closed := calmConn(host)
			p.put(c, 100, timeout)
			ends = append(ends, closed)
		}
		for i, closed := range ends {
			<-closed
			if got, want := time.Since(start), timeout+time.Duration(i)*10*time.Second; got != want {
				t.Errorf("connection %d closed after %v, want %v", i, got, want)
			}
		}
		synctest.Wait()
		if p.sweeper != nil || len(p.kept) != 0 {
			t.Errorf("left: %v, %v", p.sweeper, p.kept)
		}
	})
}

// The connection that was used last serves first.
func TestLastUsedServesFirst(t *testing.T) {
	var p pool
	first, _ := calmConn("a")
	second, _ := calmConn("a")
	p.put(first, 100, 0)
	p.put(second, 100, 0)
	defer first.abort()
	defer second.abort()
	if got := p.take(endpoint{host: "b"}, 0); got != nil {
		t.Error("a connection to another host")
	}
	for i, want := range []*conn{second, first, nil} {
		if got := p.take(endpoint{host: "a"}, 0); got != want {
			t.Errorf("taken %d: %p, want %p", i, got, want)
		}
	}
	if p.sweeper != nil {
		t.Error("a sweeper where nothing grows old")
	}
}

// After a machine was suspended its timers are late: what is too old by the wall
// clock is not used.
func TestSuspendedMachine(t *testing.T) {
	var p pool
	c, closed := calmConn("a")
	p.put(c, 100, time.Hour)
	c.since = c.since.Add(-time.Hour)
	if p.take(endpoint{host: "a"}, time.Hour) != nil {
		t.Error("a connection of an hour ago is used")
	}
	<-closed
	p.clear()
}
