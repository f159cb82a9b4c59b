package arrivals

import (
	"math"
	"slices"
	"testing"
	"time"
)

// The gaps between requests that come at random are spread exponentially: of those below
// t there are 1 - e^(-rate × t), however small t is.
func TestGapsAreThoseOfAPoissonProcess(t *testing.T) {
	const rate, long = 8000.0, 20 * time.Second
	due := Poisson(rate, long, 1)
	if got := float64(len(due)); math.Abs(got/(rate*long.Seconds())-1) > 0.01 {
		t.Errorf("%.0f requests, want about %.0f", got, rate*long.Seconds())
	}
	if !slices.IsSorted(due) || due[len(due)-1] >= long || due[0] < 0 {
		t.Errorf("from %v to %v, in order: %t", due[0], due[len(due)-1], slices.IsSorted(due))
	}
	for _, gap := range []time.Duration{5 * time.Microsecond, 20 * time.Microsecond, 100 * time.Microsecond, 500 * time.Microsecond} {
		below := 0
		for i := 1; i < len(due); i++ {
			if due[i]-due[i-1] < gap {
				below++
			}
		}
		got, want := float64(below)/float64(len(due)-1), 1-math.Exp(-rate*gap.Seconds())
		if math.Abs(got-want) > 0.01 {
			t.Errorf("%.3f of the gaps are below %v, want %.3f", got, gap, want)
		}
	}
}

// A seed is a load that can be repeated; another one is another load.
func TestSeeds(t *testing.T) {
	one := Poisson(1000, time.Second, 1)
	if again := Poisson(1000, time.Second, 1); !slices.Equal(one, again) {
		t.Error("the same seed gives other times")
	}
	if other := Poisson(1000, time.Second, 2); slices.Equal(one, other) {
		t.Error("another seed gives the same times")
	}
}

func TestNoRateIsNoLoad(t *testing.T) {
	for _, rate := range []float64{0, -1} {
		if due := Poisson(rate, time.Second, 1); len(due) != 0 {
			t.Errorf("%v a second give %d requests", rate, len(due))
		}
	}
}
