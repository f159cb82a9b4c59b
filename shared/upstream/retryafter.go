package upstream

import (
	"net/http"
	"strings"
	"time"
)

// maxSpan is what an absurdly long waiting time is taken for.
const maxSpan = 365 * 24 * time.Hour

// RetryAfter reads how long a backend asks to be left alone. It takes the first
// of these that makes sense:
//
//   - retry-after-ms and x-ms-retry-after-ms, milliseconds;
//   - Retry-After: seconds, also with a fraction, or a date, which is compared
//     with the answer's own Date, so that clocks need not agree, and else with now;
//   - x-ratelimit-reset-tokens and -requests, seconds or a duration such as 6s,
//     1m0s or 120ms: of those whose remaining count is 0 the longer one, and if
//     none is known to be 0 the longer one of all.
//
// A value without a unit that is negative or not a number is passed over, and so
// is a date that lies in the past. Nothing is capped but what exceeds a year.
func RetryAfter(h http.Header, now time.Time) (time.Duration, bool) {
	for _, name := range [...]string{"Retry-After-Ms", "X-Ms-Retry-After-Ms"} {
		if d, ok := span(first(h, name), time.Millisecond); ok {
			return d, true
		}
	}
	if value := first(h, "Retry-After"); value != "" {
		if d, ok := span(value, time.Second); ok {
			return d, true
		}
		if d, ok := untilDate(value, first(h, "Date"), now); ok {
			return d, true
		}
	}
	return reset(h)
}

// untilDate is the time from date to value, both HTTP dates.
func untilDate(value, date string, now time.Time) (time.Duration, bool) {
	at, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	if sent, err := http.ParseTime(date); err == nil {
		now = sent
	}
	d := at.Sub(now)
	return min(d, maxSpan), d >= 0
}

// reset reads the reset headers.
func reset(h http.Header) (time.Duration, bool) {
	tokens, hasTokens := span(first(h, "X-Ratelimit-Reset-Tokens"), time.Second)
	requests, hasRequests := span(first(h, "X-Ratelimit-Reset-Requests"), time.Second)
	noTokens := hasTokens && count(first(h, "X-Ratelimit-Remaining-Tokens")) == 0
	noRequests := hasRequests && count(first(h, "X-Ratelimit-Remaining-Requests")) == 0
	switch {
	case noTokens && !noRequests:
		return tokens, true
	case noRequests && !noTokens:
		return requests, true
	default:
		return max(tokens, requests), hasTokens || hasRequests
	}
}

// RateLimit is what a backend says of its limits. Counts are −1 if unknown.
type RateLimit struct {
	LimitTokens, RemainingTokens     int64
	LimitRequests, RemainingRequests int64
	// ResetTokens and ResetRequests are the time until the limit is whole again,
	// 0 if unknown.
	ResetTokens, ResetRequests time.Duration
}

var unknownRateLimit = RateLimit{LimitTokens: -1, RemainingTokens: -1, LimitRequests: -1, RemainingRequests: -1}

// ParseRateLimit reads the x-ratelimit-* fields. What is missing, negative or
// not a number is unknown.
func ParseRateLimit(h http.Header) RateLimit {
	l := RateLimit{
		LimitTokens:       count(first(h, "X-Ratelimit-Limit-Tokens")),
		RemainingTokens:   count(first(h, "X-Ratelimit-Remaining-Tokens")),
		LimitRequests:     count(first(h, "X-Ratelimit-Limit-Requests")),
		RemainingRequests: count(first(h, "X-Ratelimit-Remaining-Requests")),
	}
	l.ResetTokens, _ = span(first(h, "X-Ratelimit-Reset-Tokens"), time.Second)
	l.ResetRequests, _ = span(first(h, "X-Ratelimit-Reset-Requests"), time.Second)
	return l
}

// first is the first value of a field, whose name must be canonical.
func first(h http.Header, name string) string {
	if values := h[name]; len(values) > 0 {
		return strings.Trim(values[0], " \t")
	}
	return ""
}

// count reads a number of tokens or requests, −1 if s is none.
func count(s string) int64 {
	const digits = 18 // fit an int64 for certain
	if s == "" || len(s) > digits {
		return -1
	}
	n := int64(0)
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return -1
		}
		n = 10*n + int64(c-'0')
	}
	return n
}

// units are the units of a duration, the longer of those with a common prefix
// first.
var units = [...]struct {
	name string
	span time.Duration
}{
	{"ms", time.Millisecond}, {"us", time.Microsecond}, {"µs", time.Microsecond}, {"ns", time.Nanosecond},
	{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second},
}

// span reads a waiting time: a number of the unit bare, with or without a
// fraction, or numbers with units. Exponents, signs, NaN and the like are none.
func span(s string, bare time.Duration) (time.Duration, bool) {
	const longest = 64
	if s == "" || len(s) > longest {
		return 0, false
	}
	total := time.Duration(0)
	for rest := s; rest != ""; {
		number, after, ok := decimal(rest)
		if !ok {
			return 0, false
		}
		unit := bare
		if after == "" {
			if len(rest) != len(s) {
				return 0, false // a number without a unit after one with a unit
			}
		} else if unit, after, ok = cutUnit(after); !ok {
			return 0, false
		}
		rest = after
		if part := number*float64(unit) + 0.5; part < float64(maxSpan-total) {
			total += time.Duration(part)
		} else {
			total = maxSpan
		}
	}
	return total, true
}

// decimal cuts a number off the front of s: digits with at most one point among
// or around them.
func decimal(s string) (number float64, rest string, ok bool) {
	scale := 0.0
	i := 0
	for ; i < len(s); i++ {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			ok = true
			if scale == 0 {
				number = 10*number + float64(c-'0')
			} else {
				number += float64(c-'0') / scale
				scale *= 10
			}
		case c == '.' && scale == 0:
			scale = 10
		default:
			return number, s[i:], ok
		}
	}
	return number, "", ok
}

func cutUnit(s string) (unit time.Duration, rest string, ok bool) {
	for _, u := range units {
		if rest, ok := strings.CutPrefix(s, u.name); ok {
			return u.span, rest, true
		}
	}
	return 0, s, false
}
