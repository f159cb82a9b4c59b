// Package judge decides, from what was recorded of a replay, whether each
// request that was served elsewhere would still have fit on the PTU.
//
// A gateway's decision cannot be seen from outside, but it can be bracketed:
// it was made after the gateway had read the whole request and before the
// request left it. Two requests whose brackets overlap may have been decided in
// either order. The judge therefore weighs each spilled request twice, once
// with the most that can have been spoken for at the moment of its decision and
// once with the least, and gives a verdict only where both agree. A request
// that fits even in the first case fits in every possible order of decisions:
// this is the definition of linearizability (Herlihy and Wing, 1990), applied
// to an object that may say "full" only when it is.
package judge

import (
	"fmt"
	"time"
)

// Moment is a point in the life of a request.
type Moment struct {
	// Order is its place among all moments of a recording. Clocks are too coarse
	// to tell which of two came first; Order is not.
	Order int64
	At    time.Time
}

// Departure is a request leaving the gateway for a backend.
type Departure struct {
	Backend string
	Moment
}

// Journey is one request as the client and the gateway's surroundings saw it.
type Journey struct {
	ID     string
	Charge int64 // in tokens, what the PTU's limiter books for it
	// Started is when the client sent it, Ended when it had its answer.
	Started, Ended time.Time
	// Status is the answer's; 0: there was none.
	Status int
	// Read is when the gateway had the whole request: it decided later.
	Read Moment
	// Sent are the attempts, in order: each was decided earlier.
	Sent []Departure
}

// Booking is one request in the PTU's own books.
type Booking struct {
	ID     string
	Charge int64
	// The limiter decided between Arrived and Noted.
	Arrived, Noted time.Time
	Accepted       bool
}

// Evidence is all that was recorded of one gateway in one scenario.
type Evidence struct {
	PTU   string // the name of the PTU in Departure.Backend
	Limit int64  // of the PTU, tokens per window
	// Reserve is what the gateway is told to leave unused in each window: it may
	// spill while less than that is left.
	Reserve  int64
	Start    time.Time // of the first window, a full minute
	Windows  int
	Journeys []Journey
	Bookings []Booking
	// Charged is what the PTU's limiter says it booked, by the Unix second at
	// which the minute began. The bookings must add up to it.
	Charged map[int64]int64
	// Rejected429 is how many 429s all backends gave.
	Rejected429 int64
}

// Window is one minute of the PTU.
type Window struct {
	Start   time.Time
	Charged int64 // tokens booked
	Sent    int64 // tokens of all requests that arrived, refused ones included
	Wanted  int64 // tokens of all requests that clients started, wherever they went
}

// Result is what came out of one replay.
type Result struct {
	Requests    int
	Client429   int
	Backend429  int
	OtherErrors int // answers other than 200 and 429, and none at all
	Windows     []Window
	// Spilled is how many requests were sent to a backend other than the PTU.
	// Each is one of the five below.
	Spilled int
	// Full: did not fit on the PTU, whatever the order of decisions.
	Full int
	// Refused: the PTU itself had refused it before.
	Refused int
	// Kept: may have fit, but into the reserve that the gateway was told to leave.
	Kept int
	// Fitted: would have fit beside the reserve, whatever the order of decisions.
	Fitted int
	// Undecided: the order of concurrent decisions, which is not known, decides.
	Undecided int
	// Overshoot is the most tokens that were sent to the PTU in a window beyond
	// its limit.
	Overshoot int64
}

// Fill is the share of the limit that was charged in each window, 1 being all.
func (r Result) Fill(limit int64) []float64 {
	fill := make([]float64, len(r.Windows))
	for i, w := range r.Windows {
		fill[i] = float64(w.Charged) / float64(limit)
	}
	return fill
}

// Weigh judges the evidence. An error says that it contradicts itself, so that
// nothing can be concluded from it.
func Weigh(e Evidence) (Result, error) {
	if err := e.check(); err != nil {
		return Result{}, err
	}
	r := Result{Requests: len(e.Journeys), Backend429: int(e.Rejected429), Windows: e.windows()}
	for _, w := range r.Windows {
		r.Overshoot = max(r.Overshoot, w.Sent-e.Limit)
	}
	claims := e.claims()
	for _, j := range e.Journeys {
		switch j.Status {
		case 200:
		case 429:
			r.Client429++
		default:
			r.OtherErrors++
		}
		departure, refusedBefore, ok := e.spill(j)
		if !ok {
			continue
		}
		r.Spilled++
		if refusedBefore {
			r.Refused++
			continue
		}
		switch e.verdict(j, departure, claims) {
		case full:
			r.Full++
		case kept:
			r.Kept++
		case fitted:
			r.Fitted++
		default:
			r.Undecided++
		}
	}
	return r, nil
}

// check compares the books with the journeys, and with their own sums.
func (e Evidence) check() error {
	known := make(map[string]bool, len(e.Journeys))
	for _, j := range e.Journeys {
		if known[j.ID] {
			return fmt.Errorf("judge: two requests are called %q", j.ID)
		}
		known[j.ID] = true
		if j.Read.Order == 0 && len(j.Sent) > 0 {
			return fmt.Errorf("judge: request %q was sent on before it was read", j.ID)
		}
	}
	var booked, charged int64
	for _, b := range e.Bookings {
		if !known[b.ID] {
			return fmt.Errorf("judge: the PTU got a request %q that nobody has sent", b.ID)
		}
		if b.Accepted {
			booked += b.Charge
		}
	}
	for _, n := range e.Charged {
		charged += n
	}
	if booked != charged {
		return fmt.Errorf("judge: the PTU charged %d tokens, the requests it accepted add up to %d", charged, booked)
	}
	return nil
}

// window is the number of the window that t lies in, counted from Start.
func (e Evidence) window(t time.Time) int {
	d := t.Sub(e.Start)
	if d < 0 {
		return -1
	}
	return int(d / time.Minute)
}

// windows sums up each minute. Charged is the PTU's own figure.
func (e Evidence) windows() []Window {
	all := make([]Window, e.Windows)
	for i := range all {
		all[i].Start = e.Start.Add(time.Duration(i) * time.Minute)
		all[i].Charged = e.Charged[all[i].Start.Unix()]
		all[i].Sent = all[i].Charged
	}
	for _, j := range e.Journeys {
		if w := e.window(j.Started); 0 <= w && w < e.Windows {
			all[w].Wanted += j.Charge
		}
	}
	for _, b := range e.Bookings {
		if w := e.window(b.Noted); !b.Accepted && 0 <= w && w < e.Windows {
			all[w].Sent += b.Charge
		}
	}
	return all
}

// spill finds the first departure to another backend than the PTU, and whether
// the request had been to the PTU before.
func (e Evidence) spill(j Journey) (d Departure, refusedBefore, ok bool) {
	for i, d := range j.Sent {
		if d.Backend != e.PTU {
			return d, i > 0, true
		}
	}
	return Departure{}, false, false
}

// claim is the room that a request took on the PTU. The gateway took it for
// itself after read, and it was on its way from left on.
type claim struct {
	charge     int64
	read, left int64 // orders
	// The PTU charged it in the window first or last; which of the two is not
	// known where they differ. The gateway may have meant it for any window since
	// meant.
	meant, first, last int
}

// claims are the requests that the PTU has accepted.
func (e Evidence) claims() []claim {
	journeys := make(map[string]*Journey, len(e.Journeys))
	for i := range e.Journeys {
		journeys[e.Journeys[i].ID] = &e.Journeys[i]
	}
	var claims []claim
	for _, b := range e.Bookings {
		if !b.Accepted {
			continue
		}
		j := journeys[b.ID]
		c := claim{
			charge: b.Charge, read: j.Read.Order, left: j.Read.Order,
			meant: e.window(j.Read.At), first: e.window(b.Arrived), last: e.window(b.Noted),
		}
		for _, d := range j.Sent {
			if d.Backend == e.PTU {
				c.left = d.Order
			}
		}
		claims = append(claims, c)
	}
	return claims
}

type verdict uint8

const (
	undecided verdict = iota
	full
	kept
	fitted
)

// verdict weighs one spilled request.
func (e Evidence) verdict(j Journey, d Departure, claims []claim) verdict {
	window := e.window(j.Read.At)
	if e.window(d.At) != window {
		return undecided // the window ended in the middle of the decision
	}
	var most, least int64
	for _, c := range claims {
		if c.read < d.Order && c.meant <= window && window <= c.last {
			most += c.charge
		}
		if c.left < j.Read.Order && c.first == window && c.last == window {
			least += c.charge
		}
	}
	need := max(j.Charge, e.Reserve)
	switch {
	case e.Limit-most >= need:
		return fitted
	case e.Limit-least >= need:
		return undecided
	case e.Limit-least >= j.Charge:
		return kept
	default:
		return full
	}
}
