package pool

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var strategies = []Strategy{Weighted, LeastLatency, MostHeadroom}

// seeded returns a generator whose run is always the same.
func seeded() func(uint64) uint64 {
	return rand.New(rand.NewPCG(1, 2)).Uint64N
}

// fixed returns the numbers given, one after another.
func fixed(numbers ...uint64) func(uint64) uint64 {
	return func(n uint64) uint64 {
		next := numbers[0]
		numbers = numbers[1:]
		if next >= n {
			panic("the test asks for a number out of range")
		}
		return next
	}
}

func TestPickOfNoneAndOne(t *testing.T) {
	for _, s := range strategies {
		if got := Pick(s, nil, seeded()); got != -1 {
			t.Errorf("%v: picked %d of none, want -1", s, got)
		}
		one := []Candidate{{Weight: math.MinInt, Headroom: math.MinInt64, Latency: -1, InFlight: -1}}
		if got := Pick(s, one, seeded()); got != 0 {
			t.Errorf("%v: picked %d of one, want 0", s, got)
		}
	}
}

func TestPickWeighted(t *testing.T) {
	candidates := []Candidate{
		{Priority: 2, Weight: 100}, {Priority: 1, Weight: 3}, {Priority: 1, Weight: 0}, {Priority: 1, Weight: 2},
	}
	for draw, want := range []int{1, 1, 1, 2, 3, 3} { // A weight of 0 counts as 1.
		if got := Pick(Weighted, candidates, fixed(uint64(draw))); got != want {
			t.Errorf("draw %d picked %d, want %d", draw, got, want)
		}
	}
}

func TestPickLeastLatency(t *testing.T) {
	const ms = time.Millisecond
	for _, test := range []struct {
		name string
		a, b Candidate
		want int // 0: a, 1: b
	}{
		{"faster", Candidate{Latency: 300 * ms}, Candidate{Latency: 200 * ms}, 1},
		{"slower", Candidate{Latency: 200 * ms}, Candidate{Latency: 300 * ms}, 0},
		{"equal: the first sample", Candidate{Latency: 200 * ms}, Candidate{Latency: 200 * ms}, 0},
		{"faster but busy", Candidate{Latency: 100 * ms, InFlight: 3}, Candidate{Latency: 300 * ms}, 1},
		{"slower but heavier", Candidate{Latency: 200 * ms, Weight: 1}, Candidate{Latency: 300 * ms, Weight: 2}, 1},
		{"unknown is tried", Candidate{Latency: ms}, Candidate{}, 1},
		{"unknown and being tried: an equal of the other", Candidate{Latency: 100 * ms}, Candidate{InFlight: 1}, 0},
		{"unknown and less busy than the other", Candidate{Latency: 100 * ms, InFlight: 2}, Candidate{InFlight: 1}, 1},
		{"both unknown: the idle one", Candidate{InFlight: 1}, Candidate{}, 1},
		{"both unknown and tried: the less busy one", Candidate{InFlight: 2}, Candidate{InFlight: 1}, 1},
		{"nonsense counts as nothing", Candidate{Latency: -5, InFlight: -5}, Candidate{Latency: ms}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			candidates := []Candidate{test.a, test.b}
			if got := Pick(LeastLatency, candidates, fixed(0, 0)); got != test.want { // a, then b
				t.Errorf("picked %d, want %d", got, test.want)
			}
		})
	}
}

func TestPickLeastLatencySamplesTwoDifferentOnes(t *testing.T) {
	// The best of all is not chosen if it is not among the two.
	candidates := []Candidate{{Latency: 1}, {Latency: 30}, {Priority: 9}, {Latency: 20}, {Latency: 10}}
	for _, test := range []struct {
		first, second uint64
		want          int
	}{
		{1, 1, 3}, {1, 2, 4}, {2, 1, 3}, {3, 2, 4}, {3, 0, 0}, {0, 0, 0}, {0, 2, 0},
	} {
		if got := Pick(LeastLatency, candidates, fixed(test.first, test.second)); got != test.want {
			t.Errorf("samples %d and %d: picked %d, want %d", test.first, test.second, got, test.want)
		}
	}
}

func TestPickMostHeadroom(t *testing.T) {
	candidates := []Candidate{
		{Headroom: 10, Weight: 9}, {Headroom: 50, Weight: 1}, {Headroom: 50, Weight: 3}, {Headroom: 90, Priority: 1},
	}
	for draw, want := range []int{1, 2, 2, 2} {
		if got := Pick(MostHeadroom, candidates, fixed(uint64(draw))); got != want {
			t.Errorf("draw %d picked %d, want %d", draw, got, want)
		}
	}
	unlimited := []Candidate{{Headroom: math.MaxInt64 - 1}, {Headroom: math.MaxInt64}}
	if got := Pick(MostHeadroom, unlimited, seeded()); got != 1 {
		t.Errorf("picked %d, want 1", got)
	}
	spent := []Candidate{{Headroom: math.MinInt64}, {Headroom: -5}}
	if got := Pick(MostHeadroom, spent, seeded()); got != 1 {
		t.Errorf("picked %d, want 1", got)
	}
}

// anyCandidates draws candidates, some of them nonsense.
func anyCandidates() *rapid.Generator[[]Candidate] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Candidate {
		return Candidate{
			Priority: rapid.OneOf(rapid.IntRange(0, 3), rapid.Int()).Draw(t, "priority"),
			Weight:   rapid.OneOf(rapid.IntRange(0, 5), rapid.Int()).Draw(t, "weight"),
			Headroom: rapid.OneOf(rapid.Int64Range(0, 3), rapid.Int64()).Draw(t, "headroom"),
			Latency:  time.Duration(rapid.OneOf(rapid.Int64Range(0, 3), rapid.Int64()).Draw(t, "latency")),
			InFlight: rapid.OneOf(rapid.Int64Range(0, 3), rapid.Int64()).Draw(t, "in flight"),
		}
	}), 1, 30)
}

func TestPickedHasTheLowestPriority(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		candidates := anyCandidates().Draw(t, "candidates")
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)).Uint64N
		for _, s := range strategies {
			got := Pick(s, candidates, random)
			if got < 0 || got >= len(candidates) {
				t.Fatalf("%v: picked %d", s, got)
			}
			for i, c := range candidates {
				if c.Priority < candidates[got].Priority {
					t.Fatalf("%v: picked %d although %d has a lower priority", s, got, i)
				}
				if s == MostHeadroom && c.Priority == candidates[got].Priority && c.Headroom > candidates[got].Headroom {
					t.Fatalf("%v: picked %d although %d has more headroom", s, got, i)
				}
			}
		}
	})
}

// The shares of many picks are those of the weights, within five standard
// deviations; the generator is seeded, so the test either holds or does not.
func TestLongRunShares(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		weights := rapid.SliceOfN(rapid.IntRange(1, 20), 1, 8).Draw(t, "weights")
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)).Uint64N
		total := 0
		var candidates []Candidate
		for _, w := range weights {
			total += w
			candidates = append(candidates, Candidate{Weight: w}, Candidate{Weight: 100, Priority: 1})
		}
		const picks = 5000
		counts := make([]float64, len(candidates))
		for range picks {
			counts[Pick(Weighted, candidates, random)]++
		}
		for i, w := range weights {
			p := float64(w) / float64(total)
			if off := math.Abs(counts[2*i] - picks*p); off > 5*math.Sqrt(picks*p*(1-p))+1e-9 {
				t.Fatalf("weight %d of %d was picked %v times of %d", w, total, counts[2*i], picks)
			}
		}
	})
}

// Two choices spread requests of equal members far better than chance, and send
// a slow member only what it can bear.
func TestLeastLatencyBalances(t *testing.T) {
	random := seeded()
	candidates := make([]Candidate, 10)
	for i := range candidates {
		candidates[i].Latency = 100 * time.Millisecond
	}
	candidates[0].Latency *= 4
	for range 3700 {
		candidates[Pick(LeastLatency, candidates, random)].InFlight++
	}
	for i, c := range candidates {
		want := int64(400)
		if i == 0 {
			want = 100
		}
		if c.InFlight < want*9/10 || c.InFlight > want*11/10 {
			t.Errorf("candidate %d has %d requests, want about %d", i, c.InFlight, want)
		}
	}
}

func TestPickDoesNotAllocate(t *testing.T) {
	candidates, random := twenty(), seeded()
	for _, s := range strategies {
		if n := testing.AllocsPerRun(100, func() { Pick(s, candidates, random) }); n != 0 {
			t.Errorf("%v: %v allocations, want 0", s, n)
		}
	}
}

func TestStrategyNames(t *testing.T) {
	for s, want := range map[Strategy]string{
		Weighted: "weighted", LeastLatency: "leastLatency", MostHeadroom: "mostHeadroom", 99: "unknown",
	} {
		if got := s.String(); got != want {
			t.Errorf("%d is %q, want %q", s, got, want)
		}
	}
}

func twenty() []Candidate {
	candidates := make([]Candidate, 20)
	for i := range candidates {
		candidates[i] = Candidate{
			Index: i, Priority: 1 + i/18, Weight: 1 + i%3, Headroom: int64(i % 7), Latency: time.Duration(i), InFlight: int64(i % 5),
		}
	}
	return candidates
}

// BenchmarkPick chooses among 20 candidates with each strategy.
func BenchmarkPick(b *testing.B) {
	for _, s := range strategies {
		b.Run(s.String(), func(b *testing.B) {
			candidates := twenty()
			b.ReportAllocs()
			for b.Loop() {
				Pick(s, candidates, rand.Uint64N)
			}
		})
	}
}
