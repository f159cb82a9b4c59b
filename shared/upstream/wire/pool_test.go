package wire

import (
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// calmConn is a connection without a network; closed is closed with it.
func calmConn() (c *conn, closed chan struct{}) {
	ours, theirs := net.Pipe()
	closed = make(chan struct{})
	go func() {
		hold(theirs)
		close(closed)
	}()
	c = newConn(ours, nil)
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
			c, closed := calmConn()
			p.shelf(endpoint{host: host}).put(c, 100, timeout)
			ends = append(ends, closed)
		}
		for i, closed := range ends {
			<-closed
			if got, want := time.Since(start), timeout+time.Duration(i)*10*time.Second; got != want {
				t.Errorf("connection %d closed after %v, want %v", i, got, want)
			}
		}
		synctest.Wait()
		for to, s := range p.shelves {
			if s.sweeper != nil || len(s.kept) != 0 {
				t.Errorf("left of %v: %v, %v", to, s.sweeper, s.kept)
			}
		}
	})
}

// The connection that was used last serves first.
func TestLastUsedServesFirst(t *testing.T) {
	var s shelf
	first, _ := calmConn()
	second, _ := calmConn()
	s.put(first, 100, 0)
	s.put(second, 100, 0)
	defer first.abort()
	defer second.abort()
	for i, want := range []*conn{second, first, nil} {
		if got := s.take(time.Now(), 0); got != want {
			t.Errorf("taken %d: %p, want %p", i, got, want)
		}
	}
	if s.sweeper != nil {
		t.Error("a sweeper where nothing grows old")
	}
}

// Each endpoint has a shelf of its own, for good.
func TestShelves(t *testing.T) {
	var p pool
	endpoints := []endpoint{{host: "a"}, {host: "b"}, {host: "a", secure: true}}
	shelves := make(map[*shelf]bool)
	for range 2 {
		for _, to := range endpoints {
			shelves[p.shelf(to)] = true
		}
		p.clear()
	}
	if len(shelves) != len(endpoints) {
		t.Errorf("%d shelves, want %d", len(shelves), len(endpoints))
	}
}

// After a machine was suspended its timers are late: what is too old by the wall
// clock is not used.
func TestSuspendedMachine(t *testing.T) {
	var s shelf
	c, closed := calmConn()
	s.put(c, 100, time.Hour)
	if s.take(time.Now().Add(time.Hour), time.Hour) != nil {
		t.Error("a connection of an hour ago is used")
	}
	<-closed
	s.clear()
}
