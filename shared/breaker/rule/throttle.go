package rule

import "time"

// Throttle is what is known about the 429s of a deployment. It consists of four
// moments, and merging takes the later one of each, so that instances may merge
// in any order, twice, or with a part of the news only, and come to the same
// (a state-based replicated data type: Shapiro, Preguiça, Baquero and Zawirski,
// Conflict-free Replicated Data Types, 2011).
//
// A lift is therefore no removal but a moment: it takes the throttle away if no
// 429 has come since. A 429 that has come since proves that the lift was
// premature, or knows nothing of it; either way what the deployment had asked
// for counts again.
type Throttle struct {
	// At is when the last 429 came, Until the latest moment that any has asked
	// for.
	At, Until time.Time
	// Lifted is such that every 429 from before it is of the past.
	Lifted time.Time
	// Probed is when the last probe began.
	Probed time.Time
}

// End is when the throttle ends: zero if there is none or it was lifted.
func (t Throttle) End() time.Time {
	if t.At.Before(t.Lifted) {
		return time.Time{}
	}
	return t.Until
}

// Learn records a 429 that asks to be left alone until some moment. That is
// not believed for longer than MaxRetryAfter: a backend may ask for a day. The
// later of two moments counts.
func (t Throttle) Learn(now, until time.Time, s *Settings) Throttle {
	t.At = Later(t.At, Wall(now))
	t.Until = Later(t.Until, Sooner(Wall(until), Wall(now.Add(s.MaxRetryAfter))))
	return t
}

// Probeable tells whether probing the deployment now could change anything: the
// throttle goes on for at least the time that makes a lift worth while, its last
// 429 is so old that a success now is certainly newer, and nobody else has
// begun to probe within ProbeEvery.
func (t Throttle) Probeable(now time.Time, worth time.Duration, s *Settings) bool {
	return t.End().Sub(now) >= worth &&
		t.At.Before(liftedBy(now, s)) &&
		now.Sub(t.Probed) >= s.ProbeEvery
}

// Probe records that a probe begins.
func (t Throttle) Probe(now time.Time) Throttle {
	t.Probed = Later(t.Probed, Wall(now))
	return t
}

// Lift records that a request which was sent at some moment succeeded. It says
// nothing about a 429 that came later, on any clock.
func (t Throttle) Lift(sent time.Time, s *Settings) Throttle {
	t.Lifted = Later(t.Lifted, liftedBy(sent, s))
	return t
}

// liftedBy is the moment before which a 429 is older than a request sent, even
// if the clock of the one who saw the 429 is behind by Skew and that of the
// sender is ahead by as much.
func liftedBy(sent time.Time, s *Settings) time.Time {
	return Wall(sent.Add(-2 * s.Skew))
}

// Merge joins what two instances know. It is commutative, associative and
// idempotent.
func (t Throttle) Merge(u Throttle) Throttle {
	return Throttle{
		At:     Later(t.At, u.At),
		Until:  Later(t.Until, u.Until),
		Lifted: Later(t.Lifted, u.Lifted),
		Probed: Later(t.Probed, u.Probed),
	}
}
