package gateway

import (
	"strconv"
	"time"

	"spillway/shared/lease"
)

// showLimits adds the x-ratelimit headers of the consumer's own limits, in
// place of the backend's. Of several limits of a kind the one is told that has
// the least left. Quotas are not told: they are no rates.
func (w *response) showLimits() {
	if len(w.limits) == 0 {
		return
	}
	var tokens, requests scarcest
	for _, limit := range w.limits {
		switch {
		case limit.budget():
		case limit.Requests:
			requests.consider(limit.StatusAt(w.begun))
		default:
			tokens.consider(limit.StatusAt(w.begun))
		}
	}
	if tokens.found {
		tokens.show(w, "X-Ratelimit-Limit-Tokens", "X-Ratelimit-Remaining-Tokens", "X-Ratelimit-Reset-Tokens")
	}
	if requests.found {
		requests.show(w, "X-Ratelimit-Limit-Requests", "X-Ratelimit-Remaining-Requests", "X-Ratelimit-Reset-Requests")
	}
}

// scarcest is the limit that has the least left.
type scarcest struct {
	lease.Status
	found bool
}

func (s *scarcest) consider(status lease.Status) {
	if !s.found || status.Remaining < s.Remaining {
		s.Status, s.found = status, true
	}
}

func (s *scarcest) show(w *response, amount, remaining, reset string) {
	digits := strconv.AppendInt(make([]byte, 0, 60), s.Amount, 10)
	first := len(digits)
	digits = strconv.AppendInt(digits, max(0, s.Remaining), 10)
	second := len(digits)
	wait := max(time.Millisecond, s.ResetAt.Sub(w.begun.Time())).Round(time.Millisecond)
	text := string(append(digits, wait.String()...)) // one piece of memory for all
	w.set(amount, text[:first])
	w.set(remaining, text[first:second])
	w.set(reset, text[second:])
}
