package pool

import (
	"sync"
	"time"
)

// budgetSeconds is the span over which a RetryBudget looks back.
const budgetSeconds = 10

// RetryBudget bounds the attempts that are made because an earlier one failed,
// so that an outage does not multiply its own load: within the last 10 seconds
// they may be at most a ratio of the requests, plus a floor that lets a quiet
// gateway retry at all. The shape and the span are those of Finagle's
// RetryBudget. It is safe for concurrent use.
type RetryBudget struct {
	ratio float64
	floor float64 // Retries allowed in the span besides the ratio.

	mu      sync.Mutex
	seconds [budgetSeconds]budgetSecond // A ring by second. Guarded by mu.
}

// budgetSecond counts what happened in one second of Unix time.
type budgetSecond struct {
	second   int64
	requests int64
	retries  int64
}

// NewRetryBudget returns a budget of ratio retries per request plus minPerSecond
// retries per second. Negative arguments count as 0.
func NewRetryBudget(ratio float64, minPerSecond int) *RetryBudget {
	return &RetryBudget{
		ratio: max(ratio, 0),
		floor: float64(max(minPerSecond, 0)) * budgetSeconds,
	}
}

// Request counts a request of a client.
func (b *RetryBudget) Request(now time.Time) {
	b.mu.Lock()
	b.at(now.Unix()).requests++
	b.mu.Unlock()
}

// TakeRetry counts a retry and returns true, or returns false if the budget is
// spent.
func (b *RetryBudget) TakeRetry(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	second := now.Unix()
	var requests, retries int64
	for i := range b.seconds {
		if s := &b.seconds[i]; s.second > second-budgetSeconds && s.second <= second {
			requests += s.requests
			retries += s.retries
		}
	}
	if float64(retries+1) > b.ratio*float64(requests)+b.floor {
		return false
	}
	b.at(second).retries++
	return true
}

// at returns the counter of a second, emptied if it held an older one. The
// caller holds mu.
func (b *RetryBudget) at(second int64) *budgetSecond {
	s := &b.seconds[uint64(second)%budgetSeconds]
	if s.second != second {
		*s = budgetSecond{second: second}
	}
	return s
}
