package pool

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

// Draw chooses the same member as Pick among the same weights, for each random number.
func TestDrawChoosesAsPick(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(-1, 9), 1, 20).Draw(t, "weights")
		candidates := make([]Candidate, len(weights))
		total := uint64(0)
		for i, w := range weights {
			candidates[i].Weight = w
			total += candidates[i].weight()
		}
		shares := NewShares(weights)
		for draw := range total {
			random := func(n uint64) uint64 {
				if n != total {
					t.Fatalf("it asks for a number below %d, want %d", n, total)
				}
				return draw
			}
			if got, want := shares.Draw(random), Pick(Weighted, candidates, random); got != want {
				t.Fatalf("%d of %v draws %d, Pick chooses %d", draw, weights, got, want)
			}
		}
	})
}

// Of none there is nothing to draw, one alone is drawn without a random number, and the
// largest weights do not overflow.
func TestDrawOfNoneOneAndHuge(t *testing.T) {
	if got := NewShares(nil).Draw(fixed()); got != -1 {
		t.Errorf("drew %d of none, want -1", got)
	}
	if got := NewShares([]int{math.MinInt}).Draw(fixed()); got != 0 {
		t.Errorf("drew %d of one, want 0", got)
	}
	if got := NewShares([]int{math.MaxInt, math.MaxInt}).Draw(fixed(maxWeight)); got != 1 {
		t.Errorf("drew %d, want the second of two", got)
	}
}
