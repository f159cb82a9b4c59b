package breaker

import "time"

// late tells whether a trial has outlived its deadline. Its result no longer
// counts: the next trial may have begun elsewhere.
func (f facts) late(now time.Time) bool {
	return f.state != HalfOpen || !now.Before(f.until)
}

// succeed is the transition to closed after a good trial.
func (f facts) succeed() facts {
	f.state = Closed
	f.until = time.Time{}
	f.opens = 0
	return f
}

// fail is the transition back to open after a bad trial. If the trial was made
// early, the breaker stays open as long as it would have been, and the opening
// is not counted again: probes must not lengthen the open time.
func (f facts) fail(now, openUntil time.Time, status int, jitter float64, r *rules) facts {
	if !now.Before(openUntil) {
		return f.open(now, status, jitter, r)
	}
	f.state = Open
	f.until = openUntil
	f.lastStatus = int64(status)
	return f
}

// abandon is the transition back to open after a trial without a verdict: the
// next one is due as soon as this one was.
func (f facts) abandon(now, openUntil time.Time) facts {
	f.state = Open
	f.until = later(openUntil, wall(now))
	return f
}
