package breaker

import "time"

// merge joins what this instance found out and has not published yet (local)
// with the row as it was read (shared), and tells whether something remains to
// be published.
//
// Trials number the history: after trial t the breaker is half-open, then
// closed, then open again, until trial t+1 is claimed. So the further one of two
// states of the same trial is the newer. The store alone decides who owns a
// trial; therefore, whatever this instance believes, another one's live trial
// stands, and so does the result of another trial of the same number.
func merge(local, shared facts, now time.Time) (merged facts, unpublished bool) {
	switch {
	case shared.state == HalfOpen && !shared.late(now) && shared.nonce != local.nonce,
		shared.trial > local.trial,
		shared.trial == local.trial && shared.nonce != local.nonce:
		merged = shared
	case shared.trial < local.trial:
		// The row was removed, or the store was down and this instance alone.
		merged, unpublished = local, true
	case local.state == Open && shared.state == Open:
		merged = local
		merged.until = later(local.until, shared.until)
		merged.opens = max(local.opens, shared.opens)
		unpublished = !merged.until.Equal(shared.until) || merged.opens != shared.opens
	case local.rank() > shared.rank():
		merged, unpublished = local, true
	default:
		merged = shared
	}
	merged.throttledUntil = later(local.throttledUntil, shared.throttledUntil)
	return merged, unpublished
}

// rank orders the states that follow from one trial.
func (f facts) rank() int {
	switch f.state {
	case HalfOpen:
		return 0
	case Closed:
		return 1
	}
	return 2
}
