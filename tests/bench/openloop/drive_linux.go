package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"runtime/debug"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"spillway/tests/bench/openloop/seen"
)

// drive carries out a plan on one thread, which its goroutine keeps. Everything that it
// needs is there before it begins, so that there is no garbage to collect.
func drive(p plan) (seen.Seen, error) {
	runtime.LockOSThread() // for good: nobody else is to have such a thread
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	g, err := newGenerator(p)
	defer g.close()
	if err != nil {
		return seen.Seen{}, err
	}
	if err := punctual(); err != nil {
		return seen.Seen{}, err
	}
	g.began = time.Now()
	if err := g.drive(); err != nil {
		return seen.Seen{}, err
	}
	return seen.Of(g.requests, time.Since(g.began), g.why), nil
}

// punctual makes this thread wake up when it wants to. Clients have processors of their
// own; this one shares them with what it drives, and is to go before it. Only
// administrators may ask for that: for others, the lag tells whether it matters.
func punctual() error {
	_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1, Flags: unix.SCHED_FLAG_RESET_ON_FORK}, 0)
	// Timers are usually 50 µs late, so that several can be served at once.
	if err := unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("timer slack: %w", err)
	}
	return nil
}

// generator sends requests when they are due and reads answers when they come. It is
// not safe for concurrent use.
type generator struct {
	plan
	began       time.Time
	epoll       int
	connections []connection
	free        queue // indices of connections, the one that has rested longest first
	waiting     queue // indices of requests that are due and have no connection
	requests    []seen.Request
	sent, ended int // how many requests
	broken      int // how many connections
	why         string
}

// newGenerator opens the connections. The generator is to be closed even after an error.
func newGenerator(p plan) (*generator, error) {
	g := &generator{plan: p, epoll: -1, requests: make([]seen.Request, len(p.due))}
	g.free, g.waiting = newQueue(p.connections), newQueue(len(p.due))
	var err error
	if g.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return g, fmt.Errorf("epoll: %w", err)
	}
	address, err := net.ResolveTCPAddr("tcp4", p.Address)
	if err != nil {
		return g, err
	}
	g.connections = make([]connection, 0, p.connections)
	for i := range p.connections {
		c, err := open(address, p.Bytes)
		if err != nil {
			return g, err
		}
		g.connections = append(g.connections, c)
		g.free.push(i)
		// The user data of an event need not be a file. There is one event each time that
		// something new can be read.
		event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: int32(i)}
		if err := unix.EpollCtl(g.epoll, unix.EPOLL_CTL_ADD, c.socket, &event); err != nil {
			return g, fmt.Errorf("epoll: %w", err)
		}
	}
	return g, nil
}

func (g *generator) close() {
	for i := range g.connections {
		g.connections[i].close()
	}
	_ = unix.Close(g.epoll)
}

// drive runs until all requests have ended, or nothing can come any more.
func (g *generator) drive() error {
	const batch = 16 // no more, or what is due meanwhile is late
	events := make([]unix.EpollEvent, batch)
	last := g.patience
	if n := len(g.due); n > 0 {
		last += g.due[n-1]
	}
	for g.ended < len(g.due) && g.broken < len(g.connections) {
		now := g.sendDue()
		next := last
		if g.sent < len(g.due) {
			next = g.due[g.sent]
		} else if now >= last {
			g.note("there was no answer after %v", g.patience)
			return nil
		}
		n, err := wait(g.epoll, events, next-now)
		if err != nil {
			return err
		}
		for _, e := range events[:n] {
			g.read(int(e.Fd))
		}
	}
	return nil
}

// wait returns how many events there are, none after the timeout at the latest. That is
// exact, where epoll_wait counts whole milliseconds. The runtime does not know that the
// thread sleeps: to hand its processor over and to take it back, each time, would cost
// more than a request.
func wait(epoll int, events []unix.EpollEvent, timeout time.Duration) (int, error) {
	limit := unix.NsecToTimespec(max(timeout, 0).Nanoseconds())
	n, _, err := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(epoll), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), uintptr(unsafe.Pointer(&limit)), 0, 0)
	switch err {
	case 0:
		return int(n), nil
	case unix.EINTR:
		return 0, nil
	}
	return 0, fmt.Errorf("epoll: %w", err)
}

// sendDue sends what is due, and returns the time.
func (g *generator) sendDue() time.Duration {
	now := time.Since(g.began)
	for g.sent < len(g.due) && g.due[g.sent] <= now {
		request := g.sent
		g.sent++
		g.requests[request].Lag = now - g.due[request]
		if i, ok := g.rested(); ok {
			g.send(i, request)
		} else {
			g.requests[request].Waited = true
			g.waiting.push(request)
		}
		now = time.Since(g.began)
	}
	return now
}

// rested takes the free connection that has rested longest.
func (g *generator) rested() (i int, ok bool) {
	for {
		if i, ok = g.free.pop(); !ok || !g.connections[i].closed {
			return i, ok
		}
	}
}

// send sends a request on a connection.
func (g *generator) send(i, request int) {
	c := &g.connections[i]
	c.request = request
	if err := c.send(g.Bytes); err != nil {
		g.fail(c, err)
	}
}

// read reads what has come on a connection. When that is the end of an answer, the
// connection is free for the next request.
func (g *generator) read(i int) {
	c := &g.connections[i]
	if c.closed {
		return
	}
	status, err := c.read()
	switch {
	case errors.Is(err, unix.EAGAIN): // the event was of what has been read before
		return
	case err != nil:
		g.fail(c, err)
		return
	case status == 0: // there is more to come
		return
	}
	r := &g.requests[c.request]
	r.Took, r.Status = time.Since(g.began)-g.due[c.request], status
	g.end(c)
	if status != http.StatusOK {
		g.note("status %d", status)
	}
	if next, ok := g.waiting.pop(); ok {
		g.send(i, next)
	} else {
		g.free.push(i)
	}
}

// fail closes a connection. Its request, if there is one, is not answered.
func (g *generator) fail(c *connection, err error) {
	g.note("%v", err)
	c.close()
	g.broken++
	if c.request != idle {
		g.end(c)
	}
}

// end ends the request of a connection.
func (g *generator) end(c *connection) {
	c.request = idle
	g.ended++
}

// note keeps the first thing that went wrong.
func (g *generator) note(format string, args ...any) {
	if g.why == "" {
		g.why = fmt.Sprintf(format, args...)
	}
}
