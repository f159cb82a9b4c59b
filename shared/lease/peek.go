package lease

import "spillway/shared/clock"

// Peek tells what Reserve of n units would say, as far as it is known without
// asking the store: Granted, which another instance may yet refute, or a refusal
// and when it ends. That the rows had no room is known for a while only: then one Reserve
// asks them again. It reserves nothing and does no I/O.
func (l *Limit) Peek(n int64) Verdict { return l.PeekAt(n, l.engine.clock.Read()) }

// PeekAt is Peek at an instant that the engine's clock has just read, for who asks many
// limits in a row.
func (l *Limit) PeekAt(n int64, now clock.Instant) Verdict {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ends.PassedAt(now) {
		l.roll(now)
	}
	if l.fits(n, now) {
		return Verdict{}
	}
	if v, refused := l.refusal(n, now); refused {
		return v
	}
	switch {
	case n <= l.headroom(now):
		return Verdict{}
	case l.outdated(now) && l.readiness(now) == open:
		l.low = never // Whoever comes has the rows asked, even if the lease covers it.
		return Verdict{}
	default:
		return Verdict{Outcome: Full, RetryAt: l.period.End(l.window)}
	}
}

// Current tells whether the window that the reservation was made in still runs, at an
// instant that the engine's clock has just read. What a backend said of an earlier
// window is no news of this one.
func (r *Reservation) Current(now clock.Instant) bool {
	l := r.limit
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ends.PassedAt(now) {
		l.roll(now)
	}
	return r.generation == l.generation
}
