package lease

import (
	"context"
	"strings"
)

// A limit has one flight slot: who has taken it is the one who talks to the store, and
// nobody else touches the flight meanwhile.

// launch starts a flight if none is under way.
func (l *Limit) launch() {
	if !l.supply.flying {
		go l.takeOff().fly()
	}
}

// takeOff takes the flight slot, which is free.
func (l *Limit) takeOff() *flight {
	s := l.supply
	s.flying, s.own.limit = true, l
	return &s.own
}

// seize waits for the flight slot and takes it. It takes mu.
func (l *Limit) seize(ctx context.Context) bool {
	for {
		l.mu.Lock()
		s := l.supply
		if !s.flying {
			l.takeOff()
			l.mu.Unlock()
			return true
		}
		if s.landed == nil {
			s.landed = make(chan struct{})
		}
		landed := s.landed
		l.mu.Unlock()
		select {
		case <-landed:
		case <-ctx.Done():
			return false
		}
	}
}

// land frees the flight slot. Nothing that rests leads back to its limit: there are
// hundreds of thousands, and what a garbage collection costs is to follow pointers.
func (l *Limit) land() {
	s := l.supply
	s.flying, s.conflicted, s.asking = false, false, false
	s.own.limit, s.own.fresh, s.own.tries = nil, false, 0
	if c := &s.own.cached; l.engine.local == nil && c.row != nil && strings.Contains(c.row.Nonces, " ") {
		row := c.row.LastNonce() // It will be used only if nobody else has written it.
		c.row = &row
	}
	if s.landed != nil {
		close(s.landed)
		s.landed = nil
	}
}
