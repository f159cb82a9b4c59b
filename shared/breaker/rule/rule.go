// Package rule holds the rules of the breaker as pure functions of the facts
// and the time: what one deployment's breaker and throttle become when
// something happens, how what one instance found out is merged with what the
// others have published, and how the facts are written into a row.
//
// Nothing here reads a clock, holds a lock or does I/O, so that the very
// functions that run in production can be searched exhaustively.
package rule

import "time"

// State is the health of a deployment.
type State uint8

// The states of a breaker.
const (
	// Closed: requests pass.
	Closed State = iota
	// Open: requests go elsewhere until the open time is over.
	Open
	// HalfOpen: one request, the trial, finds out whether the deployment has
	// recovered; all others go elsewhere.
	HalfOpen
)

// String returns "closed", "open" or "half-open".
func (s State) String() string {
	switch s {
	case Closed:
		return "closed"
	case Open:
		return "open"
	case HalfOpen:
		return "half-open"
	}
	return "unknown"
}

// Settings are what the transitions need to know besides the facts. All are
// positive.
type Settings struct {
	// OpenFor is the open time; it is multiplied by the number of openings in a
	// row.
	OpenFor time.Duration
	// MaxOpenFor bounds the open time.
	MaxOpenFor time.Duration
	// MaxRetryAfter bounds how long a throttle is believed.
	MaxRetryAfter time.Duration
	// TrialFor is how long the owner of a trial has for it, and so for how long a
	// dead owner blocks the next one.
	TrialFor time.Duration
	// Skew is the most by which the corrected clock of an instance differs from
	// the true time. Two clocks differ by at most twice as much.
	Skew time.Duration
	// ProbeEvery is how long the other instances leave a throttled deployment
	// alone after one has begun to probe it.
	ProbeEvery time.Duration
}

// Facts are all that instances share about one deployment. They are a value;
// the methods that return Facts are the transitions. Times are as Wall returns
// them.
type Facts struct {
	State State
	// Until is when an open breaker is due for a trial, and when the next trial
	// of a half-open one may be claimed; zero when closed.
	Until time.Time
	// Opens is how often in a row the breaker opened without a success between.
	Opens int64
	// Trial numbers the trials; Nonce and Owner belong to the last one. They
	// stay until the next claim: a state that follows from a trial carries its
	// number and its nonce.
	Trial int64
	Owner string
	Nonce string
	// LastStatus is the HTTP status of the last failure or throttle.
	LastStatus int64
	// Throttle is the other fact, which no breaker moves.
	Throttle Throttle
}

// Due tells whether a trial may be claimed: the open time is over, or the
// trial's owner has let its time pass.
func (f Facts) Due(now time.Time) bool {
	return f.State != Closed && !now.Before(f.Until)
}

// Late tells whether a trial has outlived its time. Its result no longer
// counts: the next trial may have begun elsewhere.
func (f Facts) Late(now time.Time) bool {
	return f.State != HalfOpen || !now.Before(f.Until)
}

// Deadline is when the request of a trial must have ended, by the clock of its
// owner. The margin before Until covers an owner whose clock is behind by Skew
// and a next owner whose clock is ahead by as much, so that two trials do not
// overlap.
func (f Facts) Deadline(s *Settings) time.Time {
	return f.Until.Add(-2 * s.Skew)
}

// SameTrial tells whether both follow from the same trial, or none has been
// made.
func (f Facts) SameTrial(g Facts) bool {
	return f.Trial == g.Trial && f.Nonce == g.Nonce
}

// Wall returns a moment as it can be kept in a row: UTC, in microseconds and
// without the monotonic reading, which stops in a frozen process and means
// nothing to others.
func Wall(t time.Time) time.Time {
	return t.UTC().Round(0).Truncate(time.Microsecond)
}

// Later returns the later of two moments.
func Later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Sooner returns the sooner of two moments.
func Sooner(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
