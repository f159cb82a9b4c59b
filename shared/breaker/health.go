package breaker

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"spillway/shared/store"
)

const (
	// outdatedAfter is the age from which on a view is worth waiting for.
	outdatedAfter = 30 * time.Second
	// failuresToDegrade is how many operations in a row must fail for the store
	// to be taken as down; one that does not answer in time is enough.
	failuresToDegrade = 3
	// The store is left alone after a failure for a time that doubles from
	// firstRest to longestRest.
	firstRest   = time.Second
	longestRest = 5 * time.Second
)

// health is what is known about the store itself, and when to ask it next.
// Times are Unix nanoseconds of the wall clock, which goes on while a process
// is frozen.
type health struct {
	degraded atomic.Bool
	next     atomic.Int64 // When the view becomes stale, or the rest ends.
	answered atomic.Int64 // When the last query was answered; 0: never.

	mu       sync.Mutex
	failures [accesses]int // In a row, of each access. Guarded by mu.
}

// access is a way to use the store. A store that can be read may still refuse
// writes, so an answer to the one says nothing about the other.
type access uint8

const (
	reading access = iota
	writing

	accesses
)

// age tells whether the view is stale, and whether it is so old that it is
// worth waiting for. A clock that was set back must not make it fresh for long.
func (h *health) age(now time.Time) (stale, outdated bool) {
	nano := now.UnixNano()
	next, answered := h.next.Load(), h.answered.Load()
	stale = nano >= next || next-nano > int64(time.Minute)
	outdated = answered != 0 && nano-answered > int64(outdatedAfter)
	return stale, outdated
}

// resting tells whether the store is down and is to be left alone for a while.
func (h *health) resting(now time.Time) bool {
	stale, _ := h.age(now)
	return h.degraded.Load() && !stale
}

// refreshed notes that a query was answered.
func (h *health) refreshed(now time.Time, every time.Duration) {
	h.answered.Store(now.UnixNano())
	h.next.Store(now.Add(every).UnixNano())
}

// succeeded notes an answer, and tells whether it ends a bad time.
func (h *health) succeeded(how access) (recovered bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failures[how] = 0
	return h.failures == [accesses]int{} && h.degraded.Swap(false)
}

// failed notes that there was no answer, and tells whether a bad time begins.
func (h *health) failed(how access, slow bool) (rest time.Duration, degraded bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failures[how]++
	n := h.failures[how]
	rest = min(firstRest<<min(n-1, 8), longestRest)
	if slow || n >= failuresToDegrade {
		degraded = !h.degraded.Swap(true)
	}
	return rest, degraded
}

// heard judges the outcome of an operation. An operation that was cut short by
// the request it belongs to says nothing about the store.
func (b *Board) heard(ctx context.Context, how access, err error) {
	switch {
	case err == nil, errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrInvalid):
		b.answered(how)
		return
	}
	slow := errors.Is(context.Cause(ctx), errSlow)
	if ctx.Err() != nil && !slow {
		return
	}
	rest, degraded := b.health.failed(how, slow)
	b.health.next.Store(b.clock.Now().Add(b.spread(rest)).UnixNano())
	if !degraded {
		return
	}
	why := ReasonUnavailable
	if slow {
		why = ReasonTimeout
	}
	b.tell(Event{Kind: EventDegraded, Reason: why})
}

// answered notes that the store can be used in a way.
func (b *Board) answered(how access) {
	if b.health.succeeded(how) {
		b.tell(Event{Kind: EventRecovered, Reason: ReasonAnswered})
	}
}

// spread varies a duration by ±20 %, so that instances do not ask in step.
func (b *Board) spread(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.8 + 0.4*b.fraction()))
}
