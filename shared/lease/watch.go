package lease

import (
	"slices"
	"sync"
	"time"

	"spillway/shared/clock"
)

// watch is the limits of an engine of which others may miss something, or that owe. There
// may be hundreds of thousands of limits, and to look at them all every few seconds took
// longer than anything else that is done beside the requests; most never hold more than
// nobody misses. It is safe for concurrent use; its mu is taken last.
type watch struct {
	mu     sync.Mutex
	limits []*Limit // Those that are watched. Guarded by mu.
}

// watch has the engine look whether the limit is to give something back, if it may have
// to. Whoever adds to what was granted, lowers what nobody misses or runs into debt calls
// it.
func (l *Limit) watch() {
	if l.supply.watched || !l.noteworthy() {
		return
	}
	l.supply.watched = true
	w := &l.engine.watch
	w.mu.Lock()
	w.limits = append(w.limits, l)
	w.mu.Unlock()
}

// noteworthy tells whether the limit owes, or may hold what others miss: not more than it
// was granted.
func (l *Limit) noteworthy() bool {
	return l.supply.begun && (l.remaining < 0 || l.granted+l.taken().units > l.missed())
}

// missed is how many units nobody misses.
func (l *Limit) missed() int64 {
	return l.amount() / int64(max(l.supply.sharers, 1)) / idleShares
}

// holders returns the limits that may have something to give back: given a time those
// that are watched or forgotten, else all. It watches no more those that have not.
func (e *Engine) holders(idle time.Duration, now clock.Instant) []*Limit {
	if idle == 0 {
		e.mu.RLock()
		defer e.mu.RUnlock()
		return slices.AppendSeq(make([]*Limit, 0, len(e.limits.all)), e.limits.each)
	}
	w := &e.watch
	w.mu.Lock()
	watched := w.limits
	w.limits = nil
	w.mu.Unlock()
	for _, l := range watched {
		l.rewatch(now)
	}
	w.mu.Lock()
	all := slices.Clone(w.limits)
	w.mu.Unlock()

	e.mu.RLock()
	defer e.mu.RUnlock()
	for _, l := range e.forgotten {
		if !l.isWatched() {
			all = append(all, l)
		}
	}
	return all
}

// rewatch has a limit that is on the watch no more watched further, if it is to be. It
// takes mu.
func (l *Limit) rewatch(now clock.Instant) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.supply.watched = false
	if !l.over(now) {
		l.watch()
	}
}

// over tells whether the lease has ended, and leaves nothing to the next window.
func (l *Limit) over(now clock.Instant) bool {
	return l.ends.PassedAt(now) && l.remaining >= 0 && l.taken().units == 0
}

// isWatched takes mu.
func (l *Limit) isWatched() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.supply.watched
}
