package lease

import (
	"context"
	"sync/atomic"
	"time"

	"spillway/shared/clock"
	"spillway/shared/quota"
	"spillway/shared/store"
)

// supply is how a limit gets units: who waits for them, what the row looked like,
// and the one flight that talks to the store. A limit has one from its first
// acquisition on. Guarded by the limit's mu, except own and calling. A request that the
// lease covers does not look at it: see Limit. Pointers come first, as there.
type supply struct {
	waiters []*waiter     // First come, first served.
	landed  chan struct{} // Closed when the flight slot is free again; nil: nobody waits for that.
	own     flight        // Belongs to whoever has the flight slot.

	sight
	next    ahead          // Units taken ahead.
	sharers int64          // Instances that share the limit, when last seen; 0: never.
	peers   int64          // Those of them that share the home row.
	current clock.Deadline // Until then the rows count as they were seen: see looked.

	flying     bool   // The flight slot is taken.
	conflicted bool   // The last write met a conflict.
	probe      bool   // Call the store even if nobody waits.
	prefetch   bool   // Take a chunk before the lease is spent.
	ahead      bool   // Take units of the next window.
	conflicts  uint64 // Writes that met a conflict, ever. Only differences count.

	unusable clock.Deadline // Until then the row is not asked for.
	demand   demand

	calling atomic.Int64 // Monotonic time at which the store call in progress began; 0: none.
}

// ahead is units of a window that has not begun.
type ahead struct {
	window   quota.Window
	units    int64
	doubtful bool // The amount was cut since.
}

// waiter is a Reserve that waits. Guarded by the limit's mu, and read without once done
// is closed.
type waiter struct {
	units       int64
	conflicts   uint64        // Of the supply, when the wait began.
	done        chan struct{} // Closed when it is resolved; nil: it carries out the flight itself. See flyFor.
	resolved    bool
	reservation Reservation
	verdict     Verdict
}

func (w *waiter) resolve(r Reservation, v Verdict) {
	w.resolved, w.reservation, w.verdict = true, r, v
	if w.done != nil {
		close(w.done)
	}
}

// enter follows the limit into a new window (or a new lease of the same one).
func (s *supply) enter(l *Limit) {
	if s.next.window == l.window {
		l.granted, l.remaining = s.next.units, s.next.units
		l.low = s.next.units / 4
		l.doubtful = s.next.doubtful
	}
	if s.next.window <= l.window {
		s.next = ahead{}
	}
	s.sight, s.current = sight{}, clock.Deadline{}
	s.prefetch, s.ahead = false, false
}

// supplied returns the supply, made at its first use.
func (l *Limit) supplied() *supply {
	if l.supply == nil {
		l.supply = &supply{}
	}
	return l.supply
}

// acquire is Reserve when the lease does not cover n units. It releases mu.
func (l *Limit) acquire(ctx context.Context, n int64, now clock.Instant) (Reservation, Verdict) {
	if v, refused := l.refusal(n, now); refused {
		if now.Wall >= l.early {
			l.replenish(now) // Those who are refused now will be back after the edge.
		}
		l.mu.Unlock()
		return Reservation{}, v
	}
	if ctx.Err() != nil {
		l.mu.Unlock()
		return Reservation{}, Verdict{Outcome: Canceled}
	}
	s := l.supplied()
	ready := l.engine.gate.readiness(now)
	if !s.unusable.PassedAt(now) {
		ready = closedTo
	}
	switch ready {
	case closedTo:
		return l.decideAlone(n, now)
	case due:
		// The trial costs this request nothing. Only where it would be refused
		// without the store is waiting better.
		s.probe = true
		l.launch()
		if r, v, unmetered := l.alone(n, now); v.Outcome != Refused {
			l.mu.Unlock()
			l.unmetered(unmetered)
			return r, v
		}
	case open:
		l.look(now)
	}
	w := &waiter{units: n, conflicts: s.conflicts}
	s.waiters = append(s.waiters, w)
	l.awaited = true
	if l.engine.local != nil && !s.flying {
		f := l.takeOff()
		l.mu.Unlock()
		if f.flyFor(w) {
			return w.reservation, w.verdict
		}
		return l.wait(ctx, w)
	}
	w.done = make(chan struct{})
	l.launch()
	l.mu.Unlock()
	return l.wait(ctx, w)
}

// wait waits until the waiter is served, at most the budget, and under Allow no
// longer than the request's patience: it is not refused for having none. It takes
// mu.
func (l *Limit) wait(ctx context.Context, w *waiter) (Reservation, Verdict) {
	most := budget
	if l.engine.policy == Allow {
		most = store.Patience(ctx, budget)
	}
	began := time.Now()
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-w.done:
		l.waited(ctx, w, began)
		return w.reservation, w.verdict
	case <-timer.C:
	case <-ctx.Done():
	}
	l.waited(ctx, w, began)
	now := l.engine.clock.Read()
	l.mu.Lock()
	if !l.supply.leave(w) { // Served at the last moment.
		l.mu.Unlock()
		return w.reservation, w.verdict
	}
	if ctx.Err() != nil {
		l.mu.Unlock()
		return Reservation{}, Verdict{Outcome: Canceled}
	}
	if l.supply.conflicted {
		// The store works, others were faster: not an outage.
		l.mu.Unlock()
		return Reservation{}, Verdict{Outcome: Contended, RetryAt: now.Time().Add(100 * time.Millisecond)}
	}
	if began := l.supply.calling.Load(); began != 0 && now.Monotonic-began >= int64(callLimit) {
		// A store that does not even obey its context.
		l.mu.Unlock()
		l.engine.report(writing, false, slow, context.DeadlineExceeded, now)
		l.mu.Lock()
	}
	r, v, unmetered := l.alone(w.units, now)
	if l.remaining < 0 && l.engine.gate.readiness(now) == open {
		l.supply.probe = true // The debt is paid although nobody waits any more.
		l.launch()
	}
	l.mu.Unlock()
	l.unmetered(unmetered)
	return r, v
}

// waited takes the wait from the request's patience, unless others' writes were the
// reason: that is no fault of the store, and whoever has no patience left is granted
// what no row has granted. It takes mu.
func (l *Limit) waited(ctx context.Context, w *waiter, began time.Time) {
	l.mu.Lock()
	contended := l.supply.conflicts != w.conflicts
	l.mu.Unlock()
	if !contended {
		store.Waited(ctx, time.Since(began))
	}
}

// leave takes a waiter out of the queue; false: it is not there, so it is served.
func (s *supply) leave(w *waiter) bool {
	for i, other := range s.waiters {
		if other == w {
			s.waiters = append(s.waiters[:i], s.waiters[i+1:]...)
			return true
		}
	}
	return false
}

// decideAlone answers by the policy, without the store. It releases mu.
func (l *Limit) decideAlone(n int64, now clock.Instant) (Reservation, Verdict) {
	r, v, unmetered := l.alone(n, now)
	l.mu.Unlock()
	l.unmetered(unmetered)
	return r, v
}

// unmetered reports units that no row has granted, if there are any. The caller does
// not hold mu.
func (l *Limit) unmetered(units int64) {
	if units > 0 {
		l.engine.emit(Event{Kind: EventUnmetered, Key: l.key(), Units: units})
	}
}

// alone is the policy: what an instance grants by itself while the store is down.
// What the lease does not cover makes remaining negative, a debt that the next
// acquisition pays.
func (l *Limit) alone(n int64, now clock.Instant) (r Reservation, v Verdict, unmetered int64) {
	if l.ends.PassedAt(now) {
		l.roll(now)
	}
	if l.fits(n, now) {
		return l.take(n), Verdict{}, 0
	}
	if v, refused := l.refusal(n, now); refused {
		return Reservation{}, v, 0
	}
	if l.short(n) { // Without the store that is all there is to know.
		return Reservation{}, Verdict{Outcome: Full, RetryAt: l.period.End(l.window)}, 0
	}
	var share int64
	switch l.engine.policy {
	case Allow:
		share = l.amount()
	case FairShare:
		share = l.fairShare()
	case Deny:
	}
	if l.used()+n > share {
		retry := l.engine.gate.retryAt(now)
		if end := l.period.End(l.window); retry.After(end) {
			retry = end
		}
		return Reservation{}, Verdict{Outcome: Refused, RetryAt: retry}, 0
	}
	unmetered = n - min(max(l.remaining, 0), n)
	if unmetered > 0 {
		v.Outcome = Unmetered
	}
	r = l.take(n)
	l.watch()
	return r, v, unmetered
}

// fairShare is how much this instance may use of the window without the store: what
// its row has granted it and an even part of what that had left. In a window whose row
// it has not seen, or not since the amount was cut, an even part of the amount.
func (l *Limit) fairShare() int64 {
	switch s := l.supply; {
	case s == nil || s.sharers < 1:
		return 0
	case s.seen && !l.doubtful:
		return max(l.granted, 0) + s.near()/s.peers
	default:
		return l.amount() / s.sharers
	}
}

// refusal tells whether n units have no room in this window, whatever the store would
// say or as it has just said. They do not fit the lease.
func (l *Limit) refusal(n int64, now clock.Instant) (Verdict, bool) {
	end := l.period.End(l.window)
	switch {
	case n > l.configured.amount:
		return Verdict{Outcome: TooLarge}, true
	case l.used()+n > l.amount(), l.short(n) && !l.outdated(now):
		return Verdict{Outcome: Full, RetryAt: end}, true
	case l.capped(now) && n > l.backend.ceiling:
		return Verdict{Outcome: Full, RetryAt: l.backend.ends.Time()}, true
	default:
		return Verdict{}, false
	}
}

// serve answers every waiter that can be answered without the store.
func (l *Limit) serve(now clock.Instant) {
	if l.ends.PassedAt(now) {
		l.roll(now)
	}
	s := l.supply
	kept := s.waiters[:0]
	for _, w := range s.waiters {
		if l.fits(w.units, now) {
			w.resolve(l.take(w.units), Verdict{})
		} else if v, refused := l.refusal(w.units, now); refused {
			w.resolve(Reservation{}, v)
		} else {
			kept = append(kept, w)
		}
	}
	clear(s.waiters[len(kept):])
	if s.waiters = kept; len(kept) == 0 {
		s.waiters, l.awaited = nil, false // Most limits have nobody waiting, and nothing to keep for that.
	}
}

// reachable tells whether the store may be asked for this limit.
func (l *Limit) reachable(now clock.Instant) bool {
	return l.engine.gate.readiness(now) == open && l.supply.unusable.PassedAt(now)
}

// replenish decides, in passing, on units that no request waits for: a chunk
// before the lease is spent, and units of the next window.
func (l *Limit) replenish(now clock.Instant) {
	s := l.supplied()
	peeked := l.low == never
	early := now.Wall >= l.early
	if early {
		l.early = never
	}
	soon := l.remaining < l.low
	if soon {
		l.low = l.remaining / 2 // Look again then.
	}
	if !l.reachable(now) {
		return
	}
	if peeked && l.look(now) {
		s.probe = true
		l.launch()
	}
	if l.engine.local != nil {
		return // Who runs short takes units itself, at once: see flyFor. Nobody waits.
	}
	expected := s.demand.expect(horizon(l.period), l.offered, now)
	if expected < l.largest {
		return // So little that a write for it would not save one.
	}
	s.ahead = s.ahead || early
	rest := time.Duration(l.period.End(l.window).UnixNano() - now.Wall)
	if soon && !s.exhausted && s.demand.expect(rest, l.offered, now) > l.remaining {
		s.prefetch = true
	}
	if s.ahead || s.prefetch {
		l.launch()
	}
}
