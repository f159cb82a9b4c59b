package pool

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// take asks for n retries and returns how many were granted.
func take(b *RetryBudget, n int, now time.Time) int {
	granted := 0
	for range n {
		if b.TakeRetry(now) {
			granted++
		}
	}
	return granted
}

func TestRetryBudget(t *testing.T) {
	for _, test := range []struct {
		name     string
		ratio    float64
		floor    int // per second
		requests int // at second 0
		second   int // of the retries
		want     int // granted of 1000
	}{
		{"a fifth of the requests", 0.2, 0, 100, 0, 20},
		{"and a floor", 0.2, 10, 100, 0, 120},
		{"the floor alone", 0.2, 10, 0, 0, 100},
		{"no budget", 0, 0, 100, 0, 0},
		{"every request once", 1, 0, 100, 0, 100},
		{"requests of nine seconds ago count", 0.2, 0, 100, 9, 20},
		{"requests of ten seconds ago do not", 0.2, 0, 100, 10, 0},
		{"requests of long ago do not", 0.2, 0, 100, 100_000, 0},
		{"requests of a clock that was set back do not", 0.2, 0, 100, -1, 0},
		{"negative settings count as none", -1, -1, 100, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := NewRetryBudget(test.ratio, test.floor)
			for range test.requests {
				b.Request(noon)
			}
			if got := take(b, 1000, noon.Add(time.Duration(test.second)*time.Second)); got != test.want {
				t.Errorf("%d retries, want %d", got, test.want)
			}
		})
	}
}

func TestRetryBudgetComesBack(t *testing.T) {
	b := NewRetryBudget(0, 10)
	for round := range 3 {
		now := noon.Add(time.Duration(round*budgetSeconds) * time.Second)
		if got := take(b, 1000, now); got != 100 {
			t.Errorf("round %d: %d retries, want 100", round, got)
		}
		if got := take(b, 10, now.Add((budgetSeconds-1)*time.Second)); got != 0 {
			t.Errorf("round %d: %d retries more before the span ended, want 0", round, got)
		}
	}
}

// In no span of ten seconds are there more retries than the ratio of the
// requests of that span and the floor.
func TestRetryBudgetBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ratio := rapid.Float64Range(0, 1).Draw(t, "ratio")
		floor := rapid.IntRange(0, 3).Draw(t, "floor")
		b := NewRetryBudget(ratio, floor)
		var requests, retries [40]int
		for second := range requests {
			now := noon.Add(time.Duration(second) * time.Second)
			requests[second] = rapid.IntRange(0, 50).Draw(t, "requests")
			for range requests[second] {
				b.Request(now)
			}
			retries[second] = take(b, rapid.IntRange(0, 60).Draw(t, "wanted"), now)
			spanRequests, spanRetries := 0, 0
			for s := max(0, second-budgetSeconds+1); s <= second; s++ {
				spanRequests += requests[s]
				spanRetries += retries[s]
			}
			// What was granted stays granted when its requests leave the span, so
			// the bound is that of the moment of each grant.
			if retries[second] > 0 && float64(spanRetries) > ratio*float64(spanRequests)+float64(floor*budgetSeconds) {
				t.Fatalf("second %d: %d retries of %d requests", second, spanRetries, spanRequests)
			}
		}
	})
}

func TestRetryBudgetIsConcurrencySafe(t *testing.T) {
	b := NewRetryBudget(0.5, 0)
	var granted atomic.Int64
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 100 {
				b.Request(noon)
			}
		})
	}
	group.Wait()
	for range 8 {
		group.Go(func() { granted.Add(int64(take(b, 100, noon))) })
	}
	group.Wait()
	if got := granted.Load(); got != 400 {
		t.Errorf("%d retries, want 400", got)
	}
}
