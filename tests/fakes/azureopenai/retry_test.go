package azureopenai_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"spillway/tests/fakes/azureopenai"
)

// TestRetryForms: a full window with 41.5 s to go, said in every form.
func TestRetryForms(t *testing.T) {
	const none = ""
	tests := []struct {
		form                          azureopenai.RetryForm
		after, millis, reset, message string
	}{
		{azureopenai.RetryDefault, "42", "41500", none, "42 seconds"},
		{azureopenai.RetryInt, "42", none, none, "42 seconds"},
		{azureopenai.RetryFloat, "41.500", none, none, "42 seconds"},
		{azureopenai.RetryDate, "Sat, 01 Jan 2000 00:01:00 GMT", none, none, "42 seconds"},
		{azureopenai.RetrySeconds, none, none, "42s", "42 seconds"},
		{azureopenai.RetryDuration, none, none, "42s", "42 seconds"},
		{azureopenai.RetryMillis, none, "41500", none, "42 seconds"},
		{azureopenai.RetryDay, "86400", none, none, "42 seconds"},
		{azureopenai.RetryNegative, "-1", "-1000", none, "42 seconds"},
		{azureopenai.RetryGarbage, "soon", "1e999", none, "42 seconds"},
		{azureopenai.RetryNone, none, none, none, "42 seconds"},
	}
	for _, test := range tests {
		t.Run("form "+string(test.form), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := one(azureopenai.Deployment{TokensPerMinute: 100}, func(o *azureopenai.Options) { o.Retry = test.form })
				send(t, s, chatPath, sized(100))
				advance(t, 18*second+500*time.Millisecond)
				resp := send(t, s, chatPath, sized(50))
				body := read(t, resp)
				if resp.StatusCode != 429 {
					t.Fatalf("status %d, want 429", resp.StatusCode)
				}
				for name, want := range map[string]string{"retry-after": test.after, "retry-after-ms": test.millis, "x-ratelimit-reset-tokens": test.reset} {
					if got := resp.Header.Get(name); got != want {
						t.Errorf("%s: %q, want %q", name, got, want)
					}
				}
				want := "Requests to the ChatCompletions_Create Operation under Azure OpenAI API version 2024-10-21 have exceeded token rate limit of your current OpenAI S0 pricing tier. Please retry after " + test.message
				if message, _ := at(object(t, body), "error", "message").(string); !strings.HasPrefix(message, want) {
					t.Errorf("message %q", message)
				}
				if at(object(t, body), "error", "code") != "429" {
					t.Errorf("body %s", body)
				}
			})
		})
	}
}

// TestRetryDurationOverAMinute: the form that SDKs know from OpenAI.
func TestRetryDurationOverAMinute(t *testing.T) {
	for wait, want := range map[time.Duration]string{time.Minute: "1m0s", 6 * second: "6s", 120 * time.Millisecond: "120ms", 5*second + 1: "6s"} {
		s := one(azureopenai.Deployment{}, func(o *azureopenai.Options) { o.Retry = azureopenai.RetryDuration })
		s.Inject(azureopenai.Fault{Kind: azureopenai.FaultThrottle, RetryAfter: wait, Throttle: azureopenai.ThrottleRequests})
		resp := send(t, s, chatPath, hello)
		if got := resp.Header.Get("x-ratelimit-reset-requests"); got != want {
			t.Errorf("%v: %q, want %q", wait, got, want)
		}
	}
}

// TestThrottleKinds: each reason for a 429 has its own words.
func TestThrottleKinds(t *testing.T) {
	for kind, words := range map[azureopenai.ThrottleKind]string{
		azureopenai.ThrottleTokens:       "exceeded token rate limit",
		azureopenai.ThrottleRequests:     "exceeded call rate limit",
		azureopenai.ThrottleCapacity:     "experiencing high demand",
		azureopenai.ThrottleOverestimate: "consider a smaller max_tokens",
		azureopenai.ThrottleUtilization:  "at or above 100%",
	} {
		t.Run(string(kind), func(t *testing.T) {
			s := one(azureopenai.Deployment{TokensPerMinute: 1000})
			s.Inject(azureopenai.Fault{Kind: azureopenai.FaultThrottle, Throttle: kind, RetryAfter: 7 * second})
			resp := send(t, s, chatPath, hello)
			body := read(t, resp)
			if resp.StatusCode != 429 || !strings.Contains(body, words) || !strings.Contains(body, "Please retry after 7 seconds") {
				t.Errorf("status %d: %s", resp.StatusCode, body)
			}
			stats := s.Stats()["gpt-4o"]
			if stats.Charged() != 0 || stats.RejectedBy[kind] != 1 || stats.Faults[azureopenai.FaultThrottle] != 1 {
				t.Errorf("stats %+v", stats)
			}
			check(t, s, 1000)
		})
	}
}
