package lease

import (
	"context"
	"time"

	"spillway/shared/clock"
	"spillway/shared/quota"
	"spillway/shared/store"
)

// supply is how a limit gets units: what the row looked like, and what the one flight that
// talks to the store is to do. Guarded by the limit's mu. A request that the lease covers
// does not look at it: see Limit.
type supply struct {
	joined quota.Window // The last window in which this instance holds of its home shard.
	demand demand
	sight
	current  clock.Deadline // Until then the rows count as they were seen: see looked.
	unusable clock.Deadline // Until then the row is not asked for.
	sharers  int32          // Instances that share the limit, when last seen; 0: never.
	peers    int32          // Those of them that share the home row.

	conflicts  uint32 // Writes that met a conflict, ever. Only differences count.
	conflicted bool   // The last write met a conflict.
	flying     bool   // The flight slot is taken.
	probe      bool   // Call the store even if nobody waits.
	prefetch   bool   // Take a chunk before the lease is spent.
	ahead      bool   // Take units of the next window.
	begun      bool   // Units were wanted of the rows, once: there may be something to give back.
	watched    bool   // The limit is in the engine's watch.
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
	conflicts   uint32        // Of the supply, when the wait began.
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

// resupply has the supply follow into a new window (or a new lease of the same one).
func (l *Limit) resupply() {
	if f := l.own; f != nil {
		if f.next.window == l.window {
			l.granted, l.remaining = f.next.units, f.next.units
			l.low = f.next.units / 4
			l.doubtful = f.next.doubtful
		}
		if f.next.window <= l.window {
			f.next = ahead{}
		}
	}
	s := &l.supply
	s.sight, s.current = sight{}, clock.Deadline{}
	s.prefetch, s.ahead = false, false
}

// taken is the units taken ahead.
func (l *Limit) taken() ahead {
	if l.own == nil {
		return ahead{}
	}
	return l.own.next
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
	s := &l.supply
	s.begun = true
	switch l.readiness(now) {
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
	if r, ok := l.direct(n, now); ok {
		return r, Verdict{}
	}
	w := &waiter{units: n, conflicts: s.conflicts}
	l.enqueue(w)
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
	if !l.leave(w) { // Served at the last moment.
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
	if began := l.calling(); began != 0 && now.Monotonic-began >= int64(callLimit) {
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

// enqueue has a waiter wait for the flight.
func (l *Limit) enqueue(w *waiter) {
	f := l.flight()
	f.waiters = append(f.waiters, w)
	l.awaited = true
}

// leave takes a waiter out of the queue; false: it is not there, so it is served.
func (l *Limit) leave(w *waiter) bool {
	f := l.own
	if f == nil {
		return false
	}
	for i, other := range f.waiters {
		if other == w {
			f.waiters = append(f.waiters[:i], f.waiters[i+1:]...)
			return true
		}
	}
	return false
}

// waiting tells whether somebody waits for the flight.
func (l *Limit) waiting() bool {
	return l.own != nil && len(l.own.waiters) > 0
}

// calling is the monotonic time at which the store call in progress began; 0: there is
// none.
func (l *Limit) calling() int64 {
	if l.own == nil {
		return 0
	}
	return l.own.calling.Load()
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
	switch s := &l.supply; {
	case s.sharers < 1:
		return 0
	case s.seen && !l.doubtful:
		return max(l.granted, 0) + s.near()/int64(s.peers)
	default:
		return l.amount() / int64(s.sharers)
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
	f := l.own
	if f == nil {
		return // Nobody waits.
	}
	kept := f.waiters[:0]
	for _, w := range f.waiters {
		if l.fits(w.units, now) {
			w.resolve(l.take(w.units), Verdict{})
		} else if v, refused := l.refusal(w.units, now); refused {
			w.resolve(Reservation{}, v)
		} else {
			kept = append(kept, w)
		}
	}
	clear(f.waiters[len(kept):])
	if f.waiters = kept; len(kept) == 0 {
		f.waiters, l.awaited = nil, false // Most limits have nobody waiting, and nothing to keep for that.
	}
}

// readiness tells whether the store may be asked for this limit. Of a store in this
// process the gate learns nothing.
func (l *Limit) readiness(now clock.Instant) readiness {
	switch {
	case !l.supply.unusable.PassedAt(now):
		return closedTo
	case l.engine.local != nil:
		return open
	default:
		return l.engine.gate.readiness(now)
	}
}

// replenish decides, in passing, on units that no request waits for: a chunk
// before the lease is spent, and units of the next window.
func (l *Limit) replenish(now clock.Instant) {
	s := &l.supply
	s.begun = true
	peeked := l.low == never
	early := now.Wall >= l.early
	if early {
		l.early = never
	}
	soon := l.remaining < l.low
	if soon {
		l.low = l.remaining / 2 // Look again then.
	}
	local := l.engine.local != nil
	if local && !peeked || l.readiness(now) != open {
		return // Of a store in this process, who runs short takes units itself, at once: see direct.
	}
	if peeked && l.look(now) {
		s.probe = true
		l.launch()
	}
	if local {
		return
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
