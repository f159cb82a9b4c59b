// Package pool chooses who serves a request: among the candidates of the best
// priority that has any, by a strategy. It also holds the two measurements that
// the choice rests on, the latency of a deployment and the budget of retries.
//
// Everything here is a pure function or a small counter; time and randomness
// are arguments.
package pool

import (
	"math"
	"time"
)

// Strategy tells how a candidate is chosen among those of one priority.
type Strategy uint8

// The strategies.
const (
	// Weighted chooses at random, in proportion to the weights.
	Weighted Strategy = iota
	// LeastLatency samples two candidates at random and takes the one with the
	// lower (requests in flight + 1) × latency ÷ weight. See M. Mitzenmacher,
	// "The Power of Two Choices in Randomized Load Balancing", 2001: two samples
	// avoid the herd that follows a single best candidate of a stale view.
	LeastLatency
	// MostHeadroom takes the candidate with the most room left; among equals it
	// chooses as Weighted does.
	MostHeadroom
)

// String returns the name of the strategy as it is written in a configuration.
func (s Strategy) String() string {
	switch s {
	case Weighted:
		return "weighted"
	case LeastLatency:
		return "leastLatency"
	case MostHeadroom:
		return "mostHeadroom"
	}
	return "unknown"
}

// Candidate is a member of a pool that could serve the request at hand.
type Candidate struct {
	// Index is the caller's own; Pick does not read it.
	Index int
	// Priority: a lower one is tried first.
	Priority int
	// Weight is the share of the candidate among those of its priority. Below 1
	// it counts as 1.
	Weight int
	// Headroom is what is believed to be left of the deployment's limit, in
	// tokens.
	Headroom int64
	// Latency is the average time to the first byte; 0 is unknown.
	Latency time.Duration
	// InFlight is the number of this instance's requests that the deployment is
	// serving.
	InFlight int64
}

// Pick returns the position of the chosen candidate in candidates, or -1 if
// there is none. The chosen one always has the lowest priority number present.
// The argument random returns a uniform number in [0, n) for n ≥ 1. Pick does
// not allocate and keeps no state.
func Pick(s Strategy, candidates []Candidate, random func(n uint64) uint64) int {
	best := tierOf(candidates)
	switch {
	case best.size == 0:
		return -1
	case best.size == 1:
		return best.nth(candidates, 0)
	case s == LeastLatency:
		return leastLatency(candidates, best, random)
	case s == MostHeadroom:
		return weighted(candidates, mostHeadroom(candidates, best), random)
	}
	return weighted(candidates, best, random)
}

// tier is the part of the candidates that a choice is made among: those of one
// priority, with at least some headroom.
type tier struct {
	priority int
	headroom int64
	size     int
	weight   uint64 // The sum of the weights.
}

// tierOf returns the tier of the lowest priority present.
func tierOf(candidates []Candidate) tier {
	t := tier{headroom: math.MinInt64}
	for i := range candidates {
		c := &candidates[i]
		if t.size == 0 || c.Priority < t.priority {
			t = tier{priority: c.Priority, headroom: math.MinInt64}
		}
		if t.holds(c) {
			t.size++
			t.weight += c.weight()
		}
	}
	return t
}

// mostHeadroom narrows a tier to the candidates with the most headroom.
func mostHeadroom(candidates []Candidate, t tier) tier {
	most := tier{priority: t.priority, headroom: math.MinInt64}
	for i := range candidates {
		c := &candidates[i]
		if !most.holds(c) {
			continue
		}
		if c.Headroom > most.headroom {
			most = tier{priority: t.priority, headroom: c.Headroom}
		}
		most.size++
		most.weight += c.weight()
	}
	return most
}

func (t tier) holds(c *Candidate) bool {
	return c.Priority == t.priority && c.Headroom >= t.headroom
}

// nth returns the position of the n-th candidate of the tier.
func (t tier) nth(candidates []Candidate, n uint64) int {
	for i := range candidates {
		if !t.holds(&candidates[i]) {
			continue
		}
		if n == 0 {
			return i
		}
		n--
	}
	return -1
}

func weighted(candidates []Candidate, t tier, random func(n uint64) uint64) int {
	left := random(t.weight)
	for i := range candidates {
		c := &candidates[i]
		if !t.holds(c) {
			continue
		}
		if left < c.weight() {
			return i
		}
		left -= c.weight()
	}
	return -1
}

func leastLatency(candidates []Candidate, t tier, random func(n uint64) uint64) int {
	first := random(uint64(t.size))
	second := random(uint64(t.size - 1))
	if second >= first {
		second++
	}
	i, j := t.nth(candidates, first), t.nth(candidates, second)
	a, b := &candidates[i], &candidates[j]
	if b.cost(a.Latency) < a.cost(b.Latency) {
		return j
	}
	return i
}

// cost is what a request is expected to wait. A candidate of unknown latency
// is tried by one request; until that one's answer is there, the candidate is
// taken to be as fast as the one it is compared with, so that it gets its share
// and no more.
func (c *Candidate) cost(other time.Duration) float64 {
	latency := c.Latency
	if latency <= 0 {
		if c.InFlight <= 0 {
			return 0
		}
		latency = max(other, 1)
	}
	return float64(max(c.InFlight, 0)+1) * float64(latency) / float64(c.weight())
}

// maxWeight keeps the sum of the weights of any number of candidates that fits
// into memory far from an overflow.
const maxWeight = 1 << 24

func (c *Candidate) weight() uint64 { return clamp(c.Weight) }

// clamp is what a weight counts.
func clamp(weight int) uint64 { return uint64(min(max(weight, 1), maxWeight)) }
