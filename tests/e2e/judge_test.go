package e2e_test

import (
	"fmt"
	"slices"
	"time"
)

// limiter is a limit of the plant, as its backend counts it.
type limiter struct {
	name   string // of the backend, its deployment and the model
	key    string // what instances call it
	length time.Duration
	most   int64 // units in a window
	unit   func(charge int64) int64
}

var (
	metered = limiter{"metered", "deployment/metered/metered/tokens", time.Minute, minuteTokens, func(charge int64) int64 { return charge }}
	paced   = limiter{"paced", "deployment/paced/paced/requests", slice, sliceRequests, func(int64) int64 { return 1 }}
)

// usualEdge is how long after the start of a window a request may still have been
// reserved in the window before, though it was sent in this one: gateways learn
// the time from an emulator whose Date header may lag.
const usualEdge = 250 * time.Millisecond

// window is what a backend was sent in one window of its limiter, in units.
type window struct {
	start       time.Time
	all, surely int64 // surely: reserved in this window, and not in the one before
	refused     int64 // requests, for the limit; they are counted too
}

// told is units of a limit that an instance says to have granted though no row had.
type told struct {
	at    time.Time // in whole seconds, as logs are
	units int64
}

// span is a time from one moment to another.
type span struct{ from, to time.Time }

// meets tells whether a part of the span lies between two moments.
func (s span) meets(from, to time.Time) bool { return s.from.Before(to) && s.to.After(from) }

// history is what is known of one limit when it is judged: what its backend was
// sent, and what instances told of the table meanwhile.
type history struct {
	limiter
	windows   []window // in order
	unmetered []told   // in order
	troubles  []span   // in which the table failed an instance
	rows      []grants // in order; nil: nobody has watched the rows, for all clocks are right
	rowsAhead time.Duration
	edge      time.Duration
}

// verdict is what was sent beyond a limit in a window, and what explains it, in units:
// what instances said at the time to have granted without the table, and what the rows
// have granted of an older window since this one began.
type verdict struct {
	window
	excess, unmetered, late int64
}

// explained tells whether what was sent beyond the limit is accounted for, to the unit.
func (v verdict) explained() bool { return v.excess == v.unmetered+v.late }

func (v verdict) String() string {
	return fmt.Sprintf("%d in the window at %s, and %d more that may belong to the one before; it refused %d requests; "+
		"of %d units beyond the limit %d are explained by units told as unmetered, and %d were of an older window by the rows",
		v.surely, v.start.UTC().Format("15:04:05"), v.all-v.surely, v.refused, v.excess, v.unmetered, v.late)
}

// verdicts are those on all windows. Each unit told explains one unit.
func (h history) verdicts() []verdict {
	var all []verdict
	left := slices.Clone(h.unmetered)
	for _, w := range h.windows {
		v := verdict{window: w, excess: max(0, w.surely-h.most)}
		v.late = min(v.excess, h.late(w.start))
		v.unmetered = take(left, w.start, w.start.Add(h.length), v.excess-v.late)
		all = append(all, v)
	}
	return all
}

// complaints are what is not as promised in the windows that judged is true of.
func (h history) complaints(judged func(start, end time.Time) bool) []string {
	var all []string
	for _, v := range h.verdicts() {
		switch {
		case !judged(v.start, v.start.Add(h.length)):
		case !v.explained():
			all = append(all, fmt.Sprintf("of %d %s was sent %s", h.most, h.name, v))
		case v.refused > 0 && v.all == v.surely && v.excess == 0:
			all = append(all, fmt.Sprintf("void: %s has refused requests although it had room for them: %s", h.name, v))
		}
	}
	for _, r := range h.rows {
		if r.granted > h.most || r.next > h.most {
			all = append(all, fmt.Sprintf("the row of %s has granted %d and %d of %d at %s", h.name, r.granted, r.next, h.most, r.at.UTC().Format("15:04:05.000")))
		}
	}
	return all
}

// take uses up to so many of the units that were told in a window, the oldest first.
// A line of the last second of a window may be logged when the next one has begun.
func take(from []told, start, end time.Time, units int64) int64 {
	var taken int64
	for i := range from {
		if t := &from[i]; !t.at.Before(start) && !t.at.After(end) {
			n := min(t.units, units-taken)
			t.units -= n
			taken += n
		}
	}
	return taken
}

// tests counts the windows, of those that judged is true of, that put the limit to the
// test: they were used up, and nothing would have explained an excess.
func (h history) tests(judged func(start, end time.Time) bool) int {
	n := 0
	for _, w := range h.windows {
		end := w.start.Add(h.length)
		toldOf := take(slices.Clone(h.unmetered), w.start, end, h.most)
		if judged(w.start, end) && h.full(w.all) && toldOf+h.late(w.start) == 0 {
			n++
		}
	}
	return n
}

// full tells whether so many units use a window up. A twentieth may be left: an instance
// whose row had no room for a request asks it no more for a while, and so does not see
// at once what another, that fell idle, has given back.
func (h history) full(units int64) bool { return units*20 >= h.most*19 }

// disturbed tells whether a window may be left unused between two moments: the table has
// failed an instance, or those whose clocks are behind wait for one that is ahead.
func (h history) disturbed(start, end time.Time) bool {
	for _, s := range h.troubles {
		if s.meets(start, end) {
			return true
		}
	}
	return h.rowsAhead != 0
}

// grants is what a row has granted when it was written.
type grants struct {
	at            time.Time
	window        time.Time // of the row, by the clock of whoever is ahead
	granted, next int64     // of this window, and ahead of the next
}

// late is what the rows have granted, of windows before the one that begins at a
// moment, after that: it was spent in this one. A window is the row's, and moves on when
// an instance writes it that knows of the next one: those whose clocks are behind
// follow, and those who are ahead may have nothing to ask for, or no table to ask.
func (h history) late(start time.Time) int64 {
	before, after := make(map[time.Time]int64), make(map[time.Time]int64)
	for _, r := range h.rows {
		if !r.at.After(start.Add(-h.edge)) {
			before[r.window] = max(before[r.window], r.granted)
			before[r.window.Add(h.length)] = max(before[r.window.Add(h.length)], r.next)
		} else if r.at.Before(start.Add(h.length)) && r.window.Before(start.Add(h.rowsAhead)) {
			after[r.window] = max(after[r.window], r.granted)
		}
	}
	var units int64
	for w, granted := range after {
		units += max(0, granted-before[w])
	}
	return units
}
