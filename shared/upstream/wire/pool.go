package wire

import (
	"slices"
	"sync"
	"time"
)

// pool keeps the connections that nobody uses. Its zero value is empty. It is
// safe for concurrent use.
type pool struct {
	mu      sync.Mutex
	shelves map[endpoint]*shelf // guarded by mu
}

// shelf returns the shelf of the connections to an endpoint. It stays for good: who
// sends requests there keeps hold of it, and few endpoints are ever named.
func (p *pool) shelf(to endpoint) *shelf {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.shelves[to]
	if s == nil {
		if p.shelves == nil {
			p.shelves = make(map[endpoint]*shelf)
		}
		s = new(shelf)
		p.shelves[to] = s
	}
	return s
}

// clear closes all connections that are kept.
func (p *pool) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.shelves {
		s.clear()
	}
}

// shelf keeps the connections to one endpoint. It is safe for concurrent use.
type shelf struct {
	mu   sync.Mutex
	kept []*conn // guarded by mu; the last one was used last
	// sweeper closes what is too old. It is guarded by mu, and nil while nothing
	// is kept.
	sweeper *time.Timer
}

// take returns a connection, nil if there is none that is not too old. The one that was
// used last has the best chances; who sends on it sees whether the backend has closed it.
func (s *shelf) take(now time.Time, timeout time.Duration) *conn {
	for {
		c := s.pop()
		if c == nil {
			return nil
		}
		// After a machine was suspended, nothing may be left of a connection at the
		// other end, and no word of that has come. Only the wall clock shows it.
		if timeout > 0 && now.Sub(c.since) >= timeout {
			c.abort()
			continue
		}
		return c
	}
}

func (s *shelf) pop() *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kept) == 0 {
		return nil
	}
	last := len(s.kept) - 1
	c := s.kept[last]
	s.kept[last] = nil
	s.kept = s.kept[:last]
	return c
}

// put keeps a connection for at most timeout (0: for ever), or closes it if
// there are limit such ones already, or if it cannot be looked at.
func (s *shelf) put(c *conn, limit int, timeout time.Duration) {
	if !s.add(c, limit, timeout) {
		c.abort()
	}
}

func (s *shelf) add(c *conn, limit int, timeout time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.raw == nil || len(s.kept) >= limit {
		return false
	}
	c.since = time.Now().Round(0)
	s.kept = append(s.kept, c)
	if timeout > 0 && s.sweeper == nil {
		s.sweeper = time.AfterFunc(timeout, func() { s.sweep(timeout) })
	}
	return true
}

// sweep closes the connections that have been kept for too long.
func (s *shelf) sweep(timeout time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fresh := slices.IndexFunc(s.kept, func(c *conn) bool { return time.Since(c.since) < timeout })
	if fresh < 0 {
		fresh = len(s.kept)
	}
	for _, c := range s.kept[:fresh] {
		c.abort()
	}
	s.kept = slices.Delete(s.kept, 0, fresh)
	if s.sweeper = nil; len(s.kept) > 0 {
		s.sweeper = time.AfterFunc(max(timeout-time.Since(s.kept[0].since), 0), func() { s.sweep(timeout) })
	}
}

// clear closes all connections that are kept.
func (s *shelf) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.kept {
		c.abort()
	}
	s.kept = nil
	if s.sweeper != nil {
		s.sweeper.Stop()
		s.sweeper = nil
	}
}
