package lease

import (
	"context"
	"strings"

	"spillway/shared/quota"
)

// A limit has one flight slot: who has taken it is the one who talks to the store, and
// nobody else touches the flight meanwhile.

// launch starts a flight if none is under way.
func (l *Limit) launch() {
	if !l.supply.flying {
		go l.takeOff().fly()
	}
}

// flight returns the limit's flight, made if there is none.
func (l *Limit) flight() *flight {
	if l.own == nil {
		l.own = &flight{}
	}
	return l.own
}

// takeOff takes the flight slot, which is free or already the caller's. What it keeps of
// the home row it leaves to the flight to read anew.
func (l *Limit) takeOff() *flight {
	f := l.flight()
	l.supply.flying, f.limit, l.home = true, l, nil
	return f
}

// seize waits for the flight slot and takes it; nil: ctx has ended. It takes mu.
func (l *Limit) seize(ctx context.Context) *flight {
	for {
		l.mu.Lock()
		if !l.supply.flying {
			f := l.takeOff()
			l.mu.Unlock()
			return f
		}
		f := l.flight()
		if f.landed == nil {
			f.landed = make(chan struct{})
		}
		landed := f.landed
		l.mu.Unlock()
		select {
		case <-landed:
		case <-ctx.Done():
			return nil
		}
	}
}

// land frees the flight slot, which the caller has. Nothing that rests leads back to its
// limit: there are hundreds of thousands, and what a garbage collection costs is to follow
// pointers.
func (l *Limit) land() {
	s := &l.supply
	s.flying, s.conflicted, s.asking = false, false, false
	f := l.own
	if f == nil {
		return
	}
	f.limit, f.fresh, f.tries = nil, false, 0
	if f.landed != nil {
		close(f.landed)
		f.landed = nil
	}
	if l.engine.local != nil {
		l.stow(f)
	} else if c := &f.cached; c.row != nil && strings.Contains(c.row.Nonces, " ") {
		row := c.row.LastNonce() // It will be used only if nobody else has written it.
		c.row = &row
	}
}

// stow keeps of a flight to a store in this process what the next one cannot read there.
// As a rule that is nothing, and then there is no flight any more.
func (l *Limit) stow(f *flight) {
	if kept, ok := f.cached.record.(*quota.Kept); ok && f.cached.shard == 0 {
		l.home = kept
	}
	f.cached = stored{}
	if f.pending == nil && f.next == (ahead{}) && f.visited == 0 && f.trimmed == 0 && len(f.waiters) == 0 {
		l.own = nil
	}
}
