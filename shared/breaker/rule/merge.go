package rule

import "time"

// Absorb joins what this instance holds (local) with the row as it was read
// (shared). News tells whether local holds something of the breaker that is not
// published; the result tells the same. Lost is the nonce of a claim whose
// outcome is unknown and that no request was given, or "": if the row turns out
// to hold that claim, orphan is true and the trial is given up again.
func Absorb(local, shared Facts, news bool, lost string, now time.Time) (next Facts, unpublished, orphan bool) {
	orphan = lost != "" && shared.State == HalfOpen && shared.Nonce == lost
	if orphan {
		shared = shared.Abandon(now, local.Until)
	}
	next = shared
	if news {
		next, unpublished = Merge(local, shared, now)
	}
	next.Throttle = local.Throttle.Merge(shared.Throttle)
	return next, unpublished || orphan, orphan
}

// Merge joins what this instance found out and has not published yet (local)
// with the row as it was read (shared), and tells whether something of the
// breaker remains to be published.
//
// Trials number the history: after trial t the breaker is half-open, then
// closed, then open again, until trial t+1 is claimed. So the further one of two
// states of the same trial is the newer. The store alone decides who owns a
// trial; therefore, whatever this instance believes, another one's live trial
// stands, and so does the result of another trial of the same number.
func Merge(local, shared Facts, now time.Time) (merged Facts, unpublished bool) {
	switch {
	case shared.State == HalfOpen && !shared.Late(now) && shared.Nonce != local.Nonce,
		shared.Trial > local.Trial,
		shared.Trial == local.Trial && shared.Nonce != local.Nonce:
		merged = shared
	case shared.Trial < local.Trial:
		// The row was removed, or the store was down and this instance alone.
		merged, unpublished = local, true
	case local.State == Open && shared.State == Open:
		merged = local
		merged.Until = Later(local.Until, shared.Until)
		merged.Opens = max(local.Opens, shared.Opens)
		unpublished = !merged.Until.Equal(shared.Until) || merged.Opens != shared.Opens
	case local.rank() > shared.rank():
		merged, unpublished = local, true
	default:
		merged = shared
	}
	merged.Throttle = local.Throttle.Merge(shared.Throttle)
	return merged, unpublished
}

// rank orders the states that follow from one trial.
func (f Facts) rank() int {
	switch f.State {
	case HalfOpen:
		return 0
	case Closed:
		return 1
	}
	return 2
}
