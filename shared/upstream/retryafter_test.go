package upstream

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// fields makes a header of "name: value" lines.
func fields(lines ...string) http.Header {
	h := http.Header{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
	return h
}

var retryAfterTests = []struct {
	name  string
	lines []string
	want  time.Duration
	ok    bool
}{
	{"none", nil, 0, false},
	{"milliseconds", []string{"retry-after-ms: 250"}, 250 * time.Millisecond, true},
	{"milliseconds with a fraction", []string{"retry-after-ms: 0.5"}, 500 * time.Microsecond, true},
	{"milliseconds before seconds", []string{"Retry-After: 1", "retry-after-ms: 20"}, 20 * time.Millisecond, true},
	{"Azure's other name", []string{"x-ms-retry-after-ms: 20", "Retry-After: 1"}, 20 * time.Millisecond, true},
	{"zero", []string{"retry-after-ms: 0"}, 0, true},
	{"int", []string{"Retry-After: 7"}, 7 * time.Second, true},
	{"float", []string{"Retry-After: 1.5"}, 1500 * time.Millisecond, true},
	{"spaces", []string{"Retry-After:  7 \t"}, 7 * time.Second, true},
	{"first of two", []string{"Retry-After: 7", "Retry-After: 9"}, 7 * time.Second, true},
	{"duration", []string{"Retry-After: 6s"}, 6 * time.Second, true},
	{"a day", []string{"Retry-After: 86400"}, 24 * time.Hour, true},
	{"overflow", []string{"Retry-After: 99999999999999999999999"}, maxSpan, true},
	{"overflow of milliseconds", []string{"retry-after-ms: 99999999999999999999999"}, maxSpan, true},
	{"very long", []string{"Retry-After: " + strings.Repeat("9", 100)}, 0, false},
	{"negative", []string{"Retry-After: -1"}, 0, false},
	{"garbage", []string{"Retry-After: soon"}, 0, false},
	{"empty", []string{"Retry-After: "}, 0, false},
	{"NaN", []string{"Retry-After: NaN"}, 0, false},
	{"Inf", []string{"Retry-After: Inf"}, 0, false},
	{"exponent", []string{"Retry-After: 1e3"}, 0, false},
	{"hexadecimal", []string{"Retry-After: 0x10"}, 0, false},
	{"sign", []string{"Retry-After: +5"}, 0, false},
	{"two points", []string{"Retry-After: 1.2.3"}, 0, false},
	{"point", []string{"Retry-After: ."}, 0, false},
	{"garbage before a good one", []string{"retry-after-ms: x", "Retry-After: 3"}, 3 * time.Second, true},
	{"negative before a good one", []string{"retry-after-ms: -5", "Retry-After: 3"}, 3 * time.Second, true},

	{"date", []string{"Retry-After: Fri, 20 Nov 2026 12:00:30 GMT"}, 30 * time.Second, true},
	{"date against the answer's own", []string{"Date: Fri, 20 Nov 2026 11:59:00 GMT", "Retry-After: Fri, 20 Nov 2026 11:59:10 GMT"}, 10 * time.Second, true},
	{"date in the old form", []string{"Retry-After: Friday, 20-Nov-26 12:00:30 GMT"}, 30 * time.Second, true},
	{"date now", []string{"Retry-After: Fri, 20 Nov 2026 12:00:00 GMT"}, 0, true},
	{"date in the past", []string{"Retry-After: Fri, 20 Nov 2026 11:59:59 GMT"}, 0, false},
	{"date in the far future", []string{"Retry-After: Fri, 31 Dec 9999 23:59:59 GMT"}, maxSpan, true},
	{"date with a garbled Date", []string{"Date: yesterday", "Retry-After: Fri, 20 Nov 2026 12:00:30 GMT"}, 30 * time.Second, true},

	{"reset int", []string{"x-ratelimit-reset-tokens: 6"}, 6 * time.Second, true},
	{"reset seconds", []string{"x-ratelimit-reset-tokens: 6s"}, 6 * time.Second, true},
	{"reset minutes", []string{"x-ratelimit-reset-requests: 1m0s"}, time.Minute, true},
	{"reset hours", []string{"x-ratelimit-reset-requests: 1h2m3.5s"}, time.Hour + 2*time.Minute + 3500*time.Millisecond, true},
	{"reset days", []string{"x-ratelimit-reset-requests: 1d2h"}, 26 * time.Hour, true},
	{"reset milliseconds", []string{"x-ratelimit-reset-tokens: 120ms"}, 120 * time.Millisecond, true},
	{"reset microseconds", []string{"x-ratelimit-reset-tokens: 120µs"}, 120 * time.Microsecond, true},
	{"reset half a duration", []string{"x-ratelimit-reset-tokens: 1m5"}, 0, false},
	{"reset unknown unit", []string{"x-ratelimit-reset-tokens: 5w"}, 0, false},
	{"reset overflow", []string{"x-ratelimit-reset-tokens: 99999999999d5s"}, maxSpan, true},
	{"reset negative", []string{"x-ratelimit-reset-tokens: -6s"}, 0, false},
	{"both resets, nothing known to be spent", []string{"x-ratelimit-reset-tokens: 6s", "x-ratelimit-reset-requests: 9s"}, 9 * time.Second, true},
	{"both resets, tokens spent", []string{"x-ratelimit-reset-tokens: 6s", "x-ratelimit-reset-requests: 9s", "x-ratelimit-remaining-tokens: 0", "x-ratelimit-remaining-requests: 5"}, 6 * time.Second, true},
	{"both resets, requests spent", []string{"x-ratelimit-reset-tokens: 60s", "x-ratelimit-reset-requests: 9s", "x-ratelimit-remaining-tokens: 50", "x-ratelimit-remaining-requests: 0"}, 9 * time.Second, true},
	{"both resets, both spent", []string{"x-ratelimit-reset-tokens: 60s", "x-ratelimit-reset-requests: 9s", "x-ratelimit-remaining-tokens: 0", "x-ratelimit-remaining-requests: 0"}, time.Minute, true},
	{"resets come last", []string{"x-ratelimit-reset-tokens: 60s", "Retry-After: 2"}, 2 * time.Second, true},
	{"resets after garbage", []string{"x-ratelimit-reset-tokens: 60s", "Retry-After: soon"}, time.Minute, true},
}

func TestRetryAfter(t *testing.T) {
	for _, test := range retryAfterTests {
		t.Run(test.name, func(t *testing.T) {
			got, ok := RetryAfter(fields(test.lines...), now)
			if got != test.want && ok || ok != test.ok {
				t.Errorf("got %v, %t, want %v, %t", got, ok, test.want, test.ok)
			}
		})
	}
}

// Every form arrives as the table says when it comes over the wire on a 429.
func TestRetryAfterOnTheWire(t *testing.T) {
	for _, test := range retryAfterTests {
		if strings.Contains(fmt.Sprint(test.lines), "Nov") {
			continue // depends on the real clock
		}
		t.Run(test.name, func(t *testing.T) {
			client, backend := serve(t, func(w http.ResponseWriter, r *http.Request) {
				for name, values := range fields(test.lines...) {
					w.Header()[name] = values
				}
				w.WriteHeader(http.StatusTooManyRequests)
			})
			r := client.Do(t.Context(), backend, chat())
			defer r.Close()
			checkResult(t, r)
			if r.Outcome != Throttled || r.HasRetryAfter != test.ok || r.HasRetryAfter && r.RetryAfter != test.want {
				t.Errorf("got %v, %v, %t", r.Outcome, r.RetryAfter, r.HasRetryAfter)
			}
		})
	}
}

func TestParseRateLimit(t *testing.T) {
	tests := []struct {
		name  string
		lines []string
		want  RateLimit
	}{
		{"none", nil, unknownRateLimit},
		{"Azure", []string{"x-ratelimit-limit-requests: 100", "x-ratelimit-limit-tokens: 100000", "x-ratelimit-remaining-requests: 99", "x-ratelimit-remaining-tokens: 99998"},
			RateLimit{100000, 99998, 100, 99, 0, 0}},
		{"OpenAI", []string{"x-ratelimit-remaining-tokens: 0", "x-ratelimit-reset-tokens: 6m0s", "x-ratelimit-reset-requests: 8.64s"},
			RateLimit{-1, 0, -1, -1, 6 * time.Minute, 8640 * time.Millisecond}},
		{"negative", []string{"x-ratelimit-remaining-tokens: -1", "x-ratelimit-limit-tokens: -5"}, unknownRateLimit},
		{"fraction", []string{"x-ratelimit-remaining-tokens: 1.5"}, unknownRateLimit},
		{"garbage", []string{"x-ratelimit-remaining-tokens: many", "x-ratelimit-limit-tokens: 1_000", "x-ratelimit-reset-tokens: later"}, unknownRateLimit},
		{"overflow", []string{"x-ratelimit-remaining-tokens: 99999999999999999999"}, unknownRateLimit},
		{"large", []string{"x-ratelimit-limit-tokens: 999999999999999999"}, RateLimit{999999999999999999, -1, -1, -1, 0, 0}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := ParseRateLimit(fields(test.lines...)); got != test.want {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestRateLimitOfAGoodAnswer(t *testing.T) {
	client, backend := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("x-ratelimit-limit-tokens", "1000")
		w.Header().Set("x-ratelimit-remaining-tokens", "900")
		answer(200, "application/json", chatAnswer)(w, r)
	})
	r := client.Do(t.Context(), backend, chat())
	defer r.Close()
	if want := (RateLimit{1000, 900, -1, -1, 0, 0}); r.RateLimit != want || r.HasRetryAfter {
		t.Errorf("got %+v, %t, want %+v, false", r.RateLimit, r.HasRetryAfter, want)
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, test := range retryAfterTests {
		h := fields(test.lines...)
		f.Add(first(h, "Retry-After-Ms"), first(h, "Retry-After"), first(h, "Date"), first(h, "X-Ratelimit-Reset-Tokens"))
	}
	f.Fuzz(func(t *testing.T, ms, after, date, reset string) {
		d, ok := RetryAfter(http.Header{
			"Retry-After-Ms": {ms}, "Retry-After": {after}, "Date": {date}, "X-Ratelimit-Reset-Tokens": {reset},
		}, now)
		if d < 0 || d > maxSpan || !ok && d != 0 {
			t.Errorf("%v, %t", d, ok)
		}
		if seconds, known := RetryAfter(http.Header{"Retry-After": {after}}, now); known && ms == "" && date == "" && (d != seconds || !ok) {
			t.Errorf("%v alone, %v with a reset", seconds, d)
		}
		// What time.ParseDuration understands is understood alike.
		if want, err := time.ParseDuration(reset); err == nil && ms == "" && after == "" && len(reset) < 20 && want < maxSpan &&
			!strings.ContainsAny(reset, "+-μ") && reset != "0" {
			if diff := d - want; !ok || diff < -time.Microsecond || diff > time.Microsecond {
				t.Errorf("%q: %v, want %v", reset, d, want)
			}
		}
	})
}

func FuzzRateLimit(f *testing.F) {
	f.Add("100000", "99998", "6m0s")
	f.Add("-1", "", "120ms")
	f.Add("99999999999999999999", "1e5", "9")
	f.Fuzz(func(t *testing.T, limit, remaining, reset string) {
		l := ParseRateLimit(http.Header{
			"X-Ratelimit-Limit-Tokens": {limit}, "X-Ratelimit-Remaining-Requests": {remaining}, "X-Ratelimit-Reset-Requests": {reset},
		})
		if l.LimitTokens < -1 || l.RemainingRequests < -1 || l.RemainingTokens != -1 || l.LimitRequests != -1 ||
			l.ResetRequests < 0 || l.ResetRequests > maxSpan || l.ResetTokens != 0 {
			t.Errorf("%+v", l)
		}
		if l.LimitTokens >= 0 && strings.TrimLeft(strings.Trim(limit, " \t"), "0") != strings.TrimLeft(fmt.Sprint(l.LimitTokens), "0") {
			t.Errorf("%q is read as %d", limit, l.LimitTokens)
		}
	})
}
