package pool

import "sort"

// Shares draws one of a fixed set of members, in proportion to their weights, without
// looking at all of them. It is never changed, so it is safe for concurrent use.
type Shares struct {
	ends []uint64 // By member, the sum of the weights up to it.
}

// NewShares returns the Shares of members with these weights. As of a Candidate, a
// weight below 1 counts as 1.
func NewShares(weights []int) Shares {
	s := Shares{ends: make([]uint64, 0, len(weights))}
	sum := uint64(0)
	for _, weight := range weights {
		sum += clamp(weight)
		s.ends = append(s.ends, sum)
	}
	return s
}

// Draw returns the position of the drawn member, or -1 if there is none. It chooses as
// Pick does by Weighted among the same members, from the same random number. Random
// returns a uniform number in [0, n) for n ≥ 1; one member alone needs none.
func (s Shares) Draw(random func(n uint64) uint64) int {
	if len(s.ends) <= 1 {
		return len(s.ends) - 1
	}
	drawn := random(s.ends[len(s.ends)-1])
	return sort.Search(len(s.ends), func(i int) bool { return drawn < s.ends[i] })
}
