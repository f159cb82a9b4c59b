package wire

import (
	"slices"
	"sync"
	"time"
)

// pool keeps the connections that nobody uses. Its zero value is empty. It is
// safe for concurrent use.
type pool struct {
	mu   sync.Mutex
	kept map[endpoint][]*conn // guarded by mu; the last one was used last
	// sweeper closes what is too old. It is guarded by mu, and nil while nothing
	// is kept.
	sweeper *time.Timer
}

// take returns a connection, nil if there is none that is not too old. The one that was
// used last has the best chances; who sends on it sees whether the backend has closed it.
func (p *pool) take(to endpoint, timeout time.Duration) *conn {
	for {
		c := p.pop(to)
		if c == nil {
			return nil
		}
		// After a machine was suspended, nothing may be left of a connection at the
		// other end, and no word of that has come. Only the wall clock shows it.
		if timeout > 0 && time.Since(c.since) >= timeout {
			c.abort()
			continue
		}
		return c
	}
}

func (p *pool) pop(to endpoint) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := p.kept[to]
	if len(kept) == 0 {
		return nil
	}
	last := len(kept) - 1
	c := kept[last]
	kept[last] = nil
	p.kept[to] = kept[:last]
	return c
}

// put keeps a connection for at most timeout (0: for ever), or closes it if
// there are limit such ones already, or if it cannot be looked at.
func (p *pool) put(c *conn, limit int, timeout time.Duration) {
	if !p.add(c, limit, timeout) {
		c.abort()
	}
}

func (p *pool) add(c *conn, limit int, timeout time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.raw == nil || len(p.kept[c.to]) >= limit {
		return false
	}
	if p.kept == nil {
		p.kept = make(map[endpoint][]*conn)
	}
	c.since = time.Now().Round(0)
	p.kept[c.to] = append(p.kept[c.to], c)
	if timeout > 0 && p.sweeper == nil {
		p.sweeper = time.AfterFunc(timeout, func() { p.sweep(timeout) })
	}
	return true
}

// sweep closes the connections that have been kept for too long.
func (p *pool) sweep(timeout time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	next := time.Duration(-1) // until the next one will be too old
	for to, kept := range p.kept {
		fresh := slices.IndexFunc(kept, func(c *conn) bool { return time.Since(c.since) < timeout })
		if fresh < 0 {
			fresh = len(kept)
		}
		for _, c := range kept[:fresh] {
			c.abort()
		}
		kept = slices.Delete(kept, 0, fresh)
		if len(kept) == 0 {
			delete(p.kept, to)
			continue
		}
		p.kept[to] = kept
		if left := timeout - time.Since(kept[0].since); next < 0 || left < next {
			next = max(left, 0)
		}
	}
	if p.sweeper = nil; next >= 0 {
		p.sweeper = time.AfterFunc(next, func() { p.sweep(timeout) })
	}
}

// clear closes all connections that are kept.
func (p *pool) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, kept := range p.kept {
		for _, c := range kept {
			c.abort()
		}
	}
	p.kept = nil
	if p.sweeper != nil {
		p.sweeper.Stop()
		p.sweeper = nil
	}
}
