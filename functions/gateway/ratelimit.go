package gateway

import (
	"net/http"
	"strconv"
	"time"

	"spillway/shared/lease"
)

// showLimits adds the x-ratelimit headers of the consumer's own limits, in
// place of the backend's. Of several limits of a kind the one is told that has
// the least left. Quotas are not told: they are no rates.
func showLimits(header http.Header, limits []Limit, now time.Time) {
	var tokens, requests scarcest
	for _, limit := range limits {
		switch {
		case limit.Quota:
		case limit.Requests:
			requests.consider(limit.Status())
		default:
			tokens.consider(limit.Status())
		}
	}
	// The names are in canonical form.
	if tokens.found {
		tokens.show(header, now, "X-Ratelimit-Limit-Tokens", "X-Ratelimit-Remaining-Tokens", "X-Ratelimit-Reset-Tokens")
	}
	if requests.found {
		requests.show(header, now, "X-Ratelimit-Limit-Requests", "X-Ratelimit-Remaining-Requests", "X-Ratelimit-Reset-Requests")
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

func (s *scarcest) show(header http.Header, now time.Time, amount, remaining, reset string) {
	digits := strconv.AppendInt(make([]byte, 0, 40), s.Amount, 10)
	first := len(digits)
	text := string(strconv.AppendInt(digits, max(0, s.Remaining), 10))
	values := [...]string{text[:first], text[first:], max(time.Millisecond, s.ResetAt.Sub(now)).Round(time.Millisecond).String()}
	header[amount], header[remaining], header[reset] = values[0:1:1], values[1:2:2], values[2:3:3]
}
