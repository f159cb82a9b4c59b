package console

import (
	"net/http"
	"sync"

	"spillway/shared/usage"
)

// Totals are the requests that an instance has finished since it started.
type Totals struct {
	Requests    int64 `json:"requests"`
	Served      int64 `json:"served"`      // answered by a backend
	Spilled     int64 `json:"spilled"`     // of those: by a lower priority
	RateLimited int64 `json:"rateLimited"` // 429 to the client
	Failed      int64 `json:"failed"`      // 5xx to the client
	ClientGone  int64 `json:"clientGone"`  // the client left first
	Attempts    int64 `json:"attempts"`    // requests sent to backends
	Prompt      int64 `json:"promptTokens"`
	Completion  int64 `json:"completionTokens"`
}

// Counter adds up requests. It is safe for concurrent use, and its zero value
// is ready.
type Counter struct {
	mu     sync.Mutex
	totals Totals // guarded by mu
}

// clientGone is the status of a request whose client left before its answer.
const clientGone = 499

// Add counts one finished request.
func (c *Counter) Add(r *usage.Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &c.totals
	t.Requests++
	t.Attempts += int64(len(r.Attempts))
	t.Prompt += r.Tokens.Prompt
	t.Completion += r.Tokens.Completion
	if r.Served() {
		t.Served++
	}
	if r.Spillover != "" {
		t.Spilled++
	}
	switch {
	case r.Status == http.StatusTooManyRequests:
		t.RateLimited++
	case r.Status == clientGone:
		t.ClientGone++
	case r.Status >= http.StatusInternalServerError:
		t.Failed++
	}
}

// Totals returns the sums so far.
func (c *Counter) Totals() Totals {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.totals
}
