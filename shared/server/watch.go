package server

import (
	"slices"
	"sync"
	"time"
)

// watchAfter is how long a handler may take before it matters whether its client is still
// there; it may be up to twice as long. Most take less, and watching costs more than such
// a request.
const watchAfter = 5 * time.Millisecond

// A watch says who reads from a connection after a request's end.
type watch int

const (
	unwatched watch = iota // nobody: no handler is at work, or all is known
	due                    // soon watchClient
	watching               // watchClient
)

// past is a deadline that has passed.
var past = time.Unix(1, 0)

// sentry begins the watches of a server's connections. It looks at those that serve
// something every watchAfter, and where it finds the same request twice it is time for a
// watch: nearly all are over before, and have to do no more than to count. One timer
// serves all connections: one for each would be set and stopped in vain, and often wake a
// thread of the system that sleeps until a later one.
type sentry struct {
	mu    sync.Mutex
	conns []*conn     // guarded by mu; those that are looked at
	timer *time.Timer // guarded by mu; nil before the first watch; runs while there are conns
}

// add has the connection looked at.
func (s *sentry) add(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns = append(s.conns, c); len(s.conns) == 1 {
		s.run()
	}
}

// run sets the timer. It is called under mu.
func (s *sentry) run() {
	if s.timer == nil {
		s.timer = time.AfterFunc(watchAfter, s.look)
	} else {
		s.timer.Reset(watchAfter)
	}
}

// look looks at the connections, and forgets those at which it has not to look again.
func (s *sentry) look() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns = slices.DeleteFunc(s.conns, func(c *conn) bool { return !c.look() })
	if len(s.conns) > 0 {
		s.run()
	}
}

// bodyEnded is called when the request has been read to its end.
func (c *conn) bodyEnded() {
	c.releaseReader()
	c.mu.Lock()
	c.watch = due
	c.requests++
	listed := c.listed
	c.listed = true
	c.mu.Unlock()
	if !listed {
		c.server.sentry.add(c)
	}
}

// look begins the watch if it was due already when look was last called, and tells
// whether to look again.
func (c *conn) look() (again bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.looked == c.requests
	if c.watch == due && old {
		go c.watchClient()
	}
	c.looked = c.requests
	c.listed = c.watch == due && !old
	return c.listed
}

// watchClient waits for the client to leave, and then cancels its request. A
// byte that comes instead belongs to the next request.
func (c *conn) watchClient() {
	c.mu.Lock()
	if c.watch != due {
		c.mu.Unlock()
		return
	}
	c.watch = watching
	c.reads.force(time.Time{})
	c.mu.Unlock()

	n, err := c.stream.Read(c.ahead[:])

	c.mu.Lock()
	defer c.mu.Unlock()
	c.kept = append(c.kept, c.ahead[:n]...)
	if err != nil { // of the client, or of endWatch, when nothing is left to cancel
		c.exchange.cancel()
	}
	c.watch = unwatched
	c.unwatched.Signal()
}

// endWatch ends the watch, if there is one. It is called under mu.
func (c *conn) endWatch() {
	if c.watch == watching {
		c.reads.force(past)
		for c.watch == watching {
			c.unwatched.Wait()
		}
	}
	c.watch = unwatched
}
