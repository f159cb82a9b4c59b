// Package script is what simulations write their schedules with: draws from a seed,
// what users say, and chance while a schedule is played.
package script

import (
	"math/rand/v2"
	"time"
)

// Draw draws the parts of a schedule. It is not safe for concurrent use.
type Draw struct{ *rand.Rand }

// NewDraw returns the draws of a seed. Different purposes draw differently.
func NewDraw(seed, purpose uint64) Draw {
	return Draw{rand.New(rand.NewPCG(seed, purpose))}
}

// Chance is true with the probability p.
func (d Draw) Chance(p float64) bool { return d.Float64() < p }

// Between returns a number in [low, high].
func (d Draw) Between(low, high int) int { return low + d.IntN(high-low+1) }

// Span returns a duration in [low, high).
func (d Draw) Span(low, high time.Duration) time.Duration {
	return low + time.Duration(d.Int64N(int64(high-low)))
}

// Dice returns a source of chance for one instance, numbers in [0, n). What it
// gives hangs on the seed and on virtual time, and not on who of several goroutines
// asks first, so that a seed repeats its run.
func Dice(seed uint64) func(n uint64) uint64 {
	return func(n uint64) uint64 {
		return Mix(seed^uint64(time.Now().UnixNano())*0x9e3779b97f4a7c15^n*0xd1342543de82ef95) % max(n, 1)
	}
}

// Mix spreads each bit of x over all of the result: it is the finalizer of
// SplitMix64.
func Mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
