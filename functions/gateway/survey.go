package gateway

import (
	"math"
	"time"

	"spillway/shared/lease"
	"spillway/shared/pool"
)

// A reason says why a member did not serve a request. The names are what
// x-spillway-spillover and the log show.
type reason string

const (
	noRoom    reason = "quota"     // its limit has no room
	throttled reason = "throttled" // the backend said to wait
	open      reason = "open"      // its breaker is open
	failed    reason = "failed"    // it was tried and failed
	tooLarge  reason = "too_large" // the request exceeds its whole limit
	capped    reason = "capped"    // the consumer's spillover is spent
	chosen    reason = "chosen"    // the client chose another
	late      reason = "late"      // it would answer after the client's deadline
)

// skip is why a member did not serve, and when it may.
type skip struct {
	reason  reason
	readyAt time.Time // zero: waiting does not help
}

// shortage sums up the members that did not serve a request.
type shortage struct {
	skips   int
	full    int       // of the skips: for want of room rather than of health
	late    int       // of the skips: for want of the client's time
	soonest time.Time // when the first of them may have room; zero: never
}

func (s *shortage) add(k skip) {
	s.skips++
	switch k.reason {
	case open, failed:
	case late:
		s.late++
	default:
		s.full++
	}
	if !k.readyAt.IsZero() && (s.soonest.IsZero() || k.readyAt.Before(s.soonest)) {
		s.soonest = k.readyAt
	}
}

// mayRetryFailed is when a member that just failed may be asked again by
// another call: its breaker did not open, so it is not known to be broken.
const mayRetryFailed = time.Second

// field is a pool as one request sees it at one moment: who could serve, and
// why the others cannot. It is empty where a member of the first priority was found to
// serve without asking the others.
type field struct {
	candidates []pool.Candidate
	skips      []skip // by member; a zero reason is a candidate
}

// survey asks of each member whether it may serve the request now. Members
// whose headroom is below SpillBelow are left out unless relaxed: the setting
// prefers other members, it does not refuse what still fits.
func (t *turn) survey(relaxed bool) field {
	if t.surveyed.skips == nil {
		t.surveyed = field{make([]pool.Candidate, 0, len(t.pool.Members)), make([]skip, len(t.pool.Members))}
	}
	f := field{candidates: t.surveyed.candidates[:0], skips: t.surveyed.skips}
	now := t.now.Time() // once: a pool may have a hundred members
	for i := range t.pool.Members {
		m := &t.pool.Members[i]
		f.skips[i] = t.consider(m, now, relaxed)
		if f.skips[i].reason != "" {
			continue
		}
		f.candidates = append(f.candidates, pool.Candidate{
			Index:    i,
			Priority: m.Priority,
			Weight:   m.Weight,
			Headroom: t.headroom(m),
			Latency:  m.Latency.Value(now),
			InFlight: m.InFlight(),
		})
	}
	return f
}

// consider returns why a member may not serve the request now; the zero skip
// says that it may. A member that is to be left alone for now and that has no
// room either is ready when both have ended.
func (t *turn) consider(m *Member, now time.Time, relaxed bool) skip {
	switch {
	case !t.req.permits(m.Backend.Name):
		return skip{reason: chosen}
	case !t.allowed(m):
		return skip{reason: capped}
	case t.req.tooLate(m, now):
		return skip{reason: late}
	}
	return t.barred(m, now).and(t.full(m, relaxed))
}

// tooLate tells whether a member, as fast as it has been, would begin its answer after
// the client's deadline.
func (r *request) tooLate(m *Member, now time.Time) bool {
	return !r.asked.deadline.IsZero() && now.Add(m.Latency.Value(now)).After(r.asked.deadline)
}

// and joins two reasons for which a member does not serve: it is ready when
// both have ended.
func (k skip) and(other skip) skip {
	switch {
	case k.reason == "", other.reason == tooLarge:
		return other
	case other.reason == "", k.readyAt.IsZero():
		return k
	}
	if other.readyAt.After(k.readyAt) {
		k.readyAt = other.readyAt
	}
	return k
}

// barred tells whether the member is to be left alone, whatever room it has.
func (t *turn) barred(m *Member, now time.Time) skip {
	if k, tried := t.trail.tried[m.Deployment]; tried {
		return k
	}
	view := m.Breaker.View()
	switch {
	case view.Usable(now):
		return skip{}
	case view.ThrottledUntil.After(now):
		return skip{throttled, view.ThrottledUntil}
	default:
		return skip{open, view.ReadyAt(now)}
	}
}

// full tells whether the request has no room in the consumer's spillover, where
// the member is that, or in the member's own limits.
func (t *turn) full(m *Member, relaxed bool) skip {
	now := t.now
	var k skip
	if most := t.consumer.Spillover; most != nil && t.spills(m) && !t.consumer.Shadow {
		if v := most.PeekAt(t.spillNeed(), now); !v.OK() {
			k = shortOf(capped, v)
		}
	}
	if m.Tokens != nil {
		need := t.charge(m.Deployment)
		if !relaxed {
			need = max(need, m.SpillBelow)
		}
		if v := m.Tokens.PeekAt(need, now); !v.OK() {
			k = k.and(shortOf(noRoom, v))
		}
	}
	if m.Requests != nil {
		if v := m.Requests.PeekAt(1, now); !v.OK() {
			k = k.and(shortOf(noRoom, v))
		}
	}
	return k
}

// shortOf is why a limit refused, and when it may not.
func shortOf(why reason, v lease.Verdict) skip {
	if v.Outcome == lease.TooLarge {
		return skip{reason: tooLarge}
	}
	return skip{why, v.RetryAt}
}

// headroom is the number of tokens that a member can still take in this window, where
// the strategy asks for it.
func (t *turn) headroom(m *Member) int64 {
	if m.Tokens == nil || t.pool.Strategy != pool.MostHeadroom {
		return math.MaxInt64
	}
	return m.Tokens.HeadroomAt(t.now)
}
