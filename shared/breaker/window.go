package breaker

import "time"

// window counts requests over a recent span in two alternating halves: what it
// holds is never older than the span, and at least half of the span old once
// the window has run that long.
type window struct {
	start             int64 // When the current half began, in Unix nanoseconds.
	current, previous tally
}

// tally counts requests and how many of them went badly.
type tally struct {
	total, bad int64
}

// at returns the tally for now, after moving the halves on. Callers read the
// time before they take the lock, so now may lie a little before start.
func (w *window) at(now time.Time, span time.Duration) *tally {
	half := int64(span / 2)
	nano := now.UnixNano()
	switch age := nano - w.start; {
	case -half < age && age < half:
	case half <= age && age < 2*half:
		w.previous, w.current, w.start = w.current, tally{}, w.start+half
	default: // Long idle, or the clock was set back.
		*w = window{start: nano}
	}
	return &w.current
}

// sum returns the counts of the span. Call at first.
func (w *window) sum() tally {
	return tally{
		total: max(w.current.total+w.previous.total, 0),
		bad:   max(w.current.bad+w.previous.bad, 0),
	}
}
