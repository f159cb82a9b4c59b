package sim

import (
	"math"
	"strings"
	"time"
)

// ledger is the judge's own account of one limit: what was held of it when, and
// what stayed. Where the judge cannot know an amount exactly it keeps bounds.
//
// What is held is what the gateway must reckon with: a request that was sent
// counts from its reservation until its outcome is known there, and afterwards
// by the rules of the limit. For a limit that is charged on arrival that is the
// whole charge, unless the backend refused the connection or answered 429, which
// is known to cost nothing. For a settled limit it is what the answer took.
type ledger struct {
	partition string // of its row in the store, but for the shard
	amount    int64
	period    time.Duration
	holds     []hold
}

// hold is one request's share of a limit.
type hold struct {
	owner *request
	// start is the soonest moment at which it can have been reserved, certain one
	// at which it was; the zero mark if none is known.
	start, certain mark
	// ended is the soonest, over the latest moment at which it was settled. Both
	// are the zero mark while that is unknown.
	ended, over mark
	held        bounds // until then
	settled     bounds // afterwards
}

// bounds are the least and the most that a number can be.
type bounds struct{ low, high int64 }

func exactly(n int64) bounds { return bounds{n, n} }

func (b bounds) most(c bounds) bounds  { return bounds{max(b.low, c.low), max(b.high, c.high)} }
func (b bounds) least(c bounds) bounds { return bounds{min(b.low, c.low), min(b.high, c.high)} }

func (l *ledger) add(h hold) { l.holds = append(l.holds, h) }

// window is the start of the window that a moment is in.
func (l *ledger) window(at time.Time) time.Time { return at.Truncate(l.period) }

// end is the end of the window that a moment is in.
func (l *ledger) end(at time.Time) time.Time { return l.window(at).Add(l.period) }

// room is how much of the limit was free at a moment, for a request other than
// except. Its low bound is what was free for certain: everything that could have
// been held at that instant counts, in whatever order things happened within it.
// Its high bound is what could have been free at most.
//
// Doubt is how much sooner or later than seen a reservation may have been made,
// or decided upon: the time a gateway waits for its store.
func (l *ledger) room(at mark, doubt time.Duration, except *request) bounds {
	var used bounds
	for i := range l.holds {
		h := &l.holds[i]
		if h.owner == except {
			continue
		}
		first, last := l.window(h.start.at.Add(-doubt)), l.window(h.start.at.Add(doubt))
		now := l.window(at.at)
		if first.Equal(now) || last.Equal(now) {
			used.high += l.most(h, at, doubt)
		}
		if first.Equal(now) && last.Equal(now) {
			used.low += l.surely(h, at, doubt)
		}
	}
	return bounds{l.amount - used.high, l.amount - used.low}
}

// most is the most that h can have held at a moment.
func (l *ledger) most(h *hold, at mark, doubt time.Duration) int64 {
	switch {
	case h.start.seq > at.seq && (h.start.at.After(at.at.Add(doubt)) || h.owner.entered.seq > at.seq):
		return 0 // It had not begun.
	case h.over.happened() && h.over.at.Before(at.at.Add(-doubt)):
		return h.settled.high
	default:
		return h.held.most(h.settled).high
	}
}

// surely is the least that h can have held at a moment.
func (l *ledger) surely(h *hold, at mark, doubt time.Duration) int64 {
	switch {
	case !h.certain.happened() || h.certain.seq > at.seq:
		return 0
	case h.ended.happened() && !h.ended.at.After(at.at.Add(doubt)):
		return h.held.least(h.settled).low
	default:
		return h.held.low
	}
}

// lost is how many units the store may have granted in the window without the
// gateway's knowing.
func (l *ledger) lost(h *history, at time.Time) int64 {
	var units int64
	for _, s := range h.stranded {
		if strings.HasPrefix(s.partition, l.partition) && s.window.Equal(l.window(at)) {
			units += max(0, s.units)
		}
	}
	return units
}

// contended tells whether a write to the limit's row met a conflict lately, so
// that those who waited for it were sent away to come back in a moment.
func (l *ledger) contended(h *history, at time.Time) bool {
	for _, r := range h.rebuffs {
		if strings.HasPrefix(r.partition, l.partition) && !r.at.After(at) && at.Sub(r.at) < time.Second {
			return true
		}
	}
	return false
}

const unlimited = math.MaxInt64 / 4
