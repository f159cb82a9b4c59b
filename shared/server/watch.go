package server

import (
	"slices"
	"sync"
	"time"
)

// watchAfter is how long a handler may take before it matters whether its client
// is still there. Most take less, and watching costs more than such a request.
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

// sentry begins the watches of a server's connections that are due. One timer serves
// them all: most are over long before, and a timer for each would be set and stopped in
// vain, and often wake a thread of the system that sleeps until a later one.
type sentry struct {
	mu      sync.Mutex
	duties  []duty      // guarded by mu; the earliest first
	timer   *time.Timer // guarded by mu; nil before the first watch
	running bool        // guarded by mu; the timer is set
}

// duty is a watch that is to begin.
type duty struct {
	conn   *conn
	number uint64 // of the connection's watch
	begins time.Time
}

// over tells whether the watch has been ended before it has begun.
func (d *duty) over() bool { return d.conn.watches.Load() != d.number }

// add has the connection's watch of the number begin when it is time for it, unless it
// has been ended by then.
func (s *sentry) add(c *conn, number uint64) {
	begins := time.Now().Add(watchAfter)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.duties = append(s.duties, duty{c, number, begins})
	if !s.running {
		s.run(watchAfter)
	}
}

// run sets the timer. It is called under mu.
func (s *sentry) run(after time.Duration) {
	s.running = true
	if s.timer == nil {
		s.timer = time.AfterFunc(after, s.begin)
	} else {
		s.timer.Reset(after)
	}
}

// begin begins the watches for which it is time, and forgets those that are over.
func (s *sentry) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, done := time.Now(), 0
	for ; done < len(s.duties); done++ {
		d := &s.duties[done]
		if d.over() {
			continue
		}
		if d.begins.After(now) {
			break
		}
		go d.conn.watchClient()
	}
	s.duties = slices.Delete(s.duties, 0, done)
	if s.running = len(s.duties) > 0; s.running {
		s.run(s.duties[0].begins.Sub(now))
	}
}

// bodyEnded is called when the request has been read to its end.
func (c *conn) bodyEnded() {
	c.releaseReader()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watch = due
	c.server.sentry.add(c, c.watches.Add(1))
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

// endWatch ends the watch, if there is one.
func (c *conn) endWatch() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watches.Add(1)
	if c.watch == watching {
		c.reads.force(past)
		for c.watch == watching {
			c.unwatched.Wait()
		}
	}
	c.watch = unwatched
}
