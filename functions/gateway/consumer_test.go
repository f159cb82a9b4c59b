package gateway_test

import (
	"fmt"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"spillway/tests/fakes/azureopenai"
	"spillway/tests/rig"
)

// teamKey is the key of the consumer team, which most scenarios have.
const teamKey = clientSecret + " of the team"

// keyed is the ordinary configuration for callers with keys.
var keyed = limited("")

// limited is the ordinary configuration for the consumer team, with these
// settings of it.
func limited(settings string) string {
	return consumers(consumer("team", teamKey, settings))
}

// consumers is the ordinary configuration for these consumers.
func consumers(list ...string) string {
	return with("access: open\n", "access: keys\nconsumers:\n"+strings.Join(list, ""))
}

func consumer(name, key, settings string) string {
	if settings != "" {
		settings = ", " + settings
	}
	return fmt.Sprintf("  - { name: %s, keys: [%q]%s }\n", name, key, settings)
}

// chatAs asks for a plain completion with a key.
func (s *site) chatAs(key string, maxTokens int) *httptest.ResponseRecorder {
	s.t.Helper()
	return s.Send(s.t.Context(), rig.Call{Path: "/v1/chat/completions", Key: key, Body: chatBody(maxTokens, false)})
}

// knowVocabularies lets the exact counts work, which start as guesses.
func (s *site) knowVocabularies() {
	s.Warm()
	synctest.Wait()
}

// What one request of chatBody takes: the gateway's estimate of the prompt, and
// what the simulated backend reports of prompt and output.
const (
	estimatedPrompt = 9
	usedPrompt      = 8
	usedOutput      = 20
	used            = usedPrompt + usedOutput
)

// A key is known in either header. Without one nobody gets in, and the answer
// is the same whatever was wrong.
func TestWhoMayCall(t *testing.T) {
	tests := []struct {
		name   string
		header map[string]string
		ok     bool
	}{
		{"api-key", map[string]string{"Api-Key": teamKey}, true},
		{"bearer", map[string]string{"Authorization": "Bearer " + teamKey}, true},
		{"the key beside a library's own Authorization", map[string]string{"Api-Key": teamKey, "Authorization": "Basic eDp5"}, true},
		{"none", nil, false},
		{"empty", map[string]string{"Api-Key": ""}, false},
		{"another key", map[string]string{"Api-Key": teamKey + "?"}, false},
		{"the admin's", map[string]string{"Api-Key": adminKey}, false},
		{"another scheme", map[string]string{"Authorization": "Basic " + teamKey}, false},
		{"a token, where none is configured", map[string]string{"Authorization": "Bearer eyJhbGciOiJub25lIn0.e30.x"}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			run(t, keyed, func(s *site) {
				w := s.Send(s.t.Context(), rig.Call{Path: "/v1/chat/completions", Body: chatBody(10, false), Header: test.header})
				if test.ok {
					s.servedBy(w, "ptu", "")
					if got := s.last().Consumer; got != "team" {
						t.Errorf("recorded for %q, want %q", got, "team")
					}
					return
				}
				e := s.refused(w, 401, "invalid_api_key")
				if strings.Contains(e.Message, clientSecret) {
					t.Errorf("the answer repeats the key: %s", e.Message)
				}
				if got := s.last().Consumer; got != "" {
					t.Errorf("a caller without a key was recorded as %q, want %q", got, "")
				}
				if n := s.asked("ptu.test", "gpt-4o-ptu"); n != 0 {
					t.Errorf("%d requests reached a backend, want 0", n)
				}
			})
		})
	}
}

// Under open access a key still tells who calls, and everybody else is anonymous.
func TestOpenAccessStillKnowsItsConsumers(t *testing.T) {
	run(t, with("access: open\n", "access: open\nconsumers:\n"+consumer("team", teamKey, "tokensPerMinute: 60")), func(s *site) {
		s.servedBy(s.chatAs(teamKey, 50), "ptu", "")
		s.refused(s.chatAs(teamKey, 50), 429, "rate_limit_exceeded")
		s.servedBy(s.chatAs("", 50), "ptu", "")
		if got := s.last().Consumer; got != "anonymous" {
			t.Errorf("recorded for %q, want %q", got, "anonymous")
		}
	})
}

// Tokens are reserved by the estimate and settled to what was used, so that more
// fits into a minute than the estimates say. A refused client is told to the
// millisecond when the window ends, and is served then.
func TestTokensPerMinute(t *testing.T) {
	run(t, limited("tokensPerMinute: 100"), func(s *site) {
		s.wait(15250 * time.Millisecond)
		s.servedBy(s.chatAs(teamKey, 40), "ptu", "") // 28 used
		s.servedBy(s.chatAs(teamKey, 40), "ptu", "") // 56 used
		w := s.chatAs(teamKey, 40)                   // 56 + 49 is too much
		e := s.refused(w, 429, "rate_limit_exceeded")
		if e.Type != "tokens" || !strings.Contains(e.Message, "limit 100 tokens, remaining 44, requested 49") {
			t.Errorf("the answer is %+v", e)
		}
		s.retryAfter(w, 44750*time.Millisecond)
		s.servedBy(s.chatAs(teamKey, 100-2*used-estimatedPrompt), "ptu", "") // a smaller one fits to the last token
		s.wait(44740 * time.Millisecond)
		s.refused(s.chatAs(teamKey, 90), 429, "rate_limit_exceeded")
		s.wait(10 * time.Millisecond)
		s.servedBy(s.chatAs(teamKey, 90), "ptu", "")
	})
}

// Requests are limited by number, whatever their size.
func TestRequestsPerMinute(t *testing.T) {
	run(t, limited("requestsPerMinute: 3"), func(s *site) {
		s.wait(59999 * time.Millisecond)
		for range 3 {
			s.servedBy(s.chatAs(teamKey, 10), "ptu", "")
		}
		w := s.chatAs(teamKey, 10)
		if e := s.refused(w, 429, "rate_limit_exceeded"); e.Type != "requests" || !strings.Contains(e.Message, "limit 3 requests") {
			t.Errorf("the answer is %+v", e)
		}
		s.retryAfter(w, time.Millisecond)
		s.wait(time.Millisecond)
		s.servedBy(s.chatAs(teamKey, 10), "ptu", "")
	})
}

// A spent quota is renewed at the edge of its calendar period, in UTC. Clients
// are told when, and that trying again before is of no use.
func TestQuotas(t *testing.T) {
	// Virtual time begins on Saturday, 1 January 2000, at midnight.
	tests := []struct {
		per  string
		ends time.Time
	}{
		{"hour", time.Date(2000, 1, 1, 1, 0, 0, 0, time.UTC)},
		{"day", time.Date(2000, 1, 2, 0, 0, 0, 0, time.UTC)},
		{"week", time.Date(2000, 1, 3, 0, 0, 0, 0, time.UTC)},
		{"month", time.Date(2000, 2, 1, 0, 0, 0, 0, time.UTC)},
	}
	for _, test := range tests {
		t.Run(test.per, func(t *testing.T) {
			run(t, limited("tokensPerMinute: 1000, quotas: [{ tokens: 70, per: "+test.per+" }]"), func(s *site) {
				s.wait(7 * time.Minute)
				s.servedBy(s.chatAs(teamKey, 40), "ptu", "")
				w := s.chatAs(teamKey, 40)
				if e := s.refused(w, 429, "insufficient_quota"); e.Type != "insufficient_quota" {
					t.Errorf("the answer is %+v, want Type %q", e, "insufficient_quota")
				}
				s.noRetry(w)
				wait := time.Until(test.ends)
				if got := w.Header().Get("Retry-After"); got != strconv.Itoa(int(wait.Seconds())) {
					t.Errorf("Retry-After is %s, want %v", got, wait)
				}
				s.wait(wait - time.Millisecond)
				s.refused(s.chatAs(teamKey, 40), 429, "insufficient_quota")
				s.wait(time.Millisecond)
				s.servedBy(s.chatAs(teamKey, 40), "ptu", "")
			})
		})
	}
}

// A request that is larger than a whole limit can never be served. Its client is
// told not to try again.
func TestRequestLargerThanTheConsumersLimit(t *testing.T) {
	for _, settings := range []string{"tokensPerMinute: 100", "quotas: [{ tokens: 100, per: month }]"} {
		t.Run(settings, func(t *testing.T) {
			run(t, limited(settings), func(s *site) {
				w := s.chatAs(teamKey, 92)
				e := s.refused(w, 429, "rate_limit_exceeded")
				if !strings.Contains(e.Message, "too large: your limit is 100 tokens, requested 101") {
					t.Errorf("the answer is %+v", e)
				}
				s.noRetry(w)
				if got := w.Header().Get("Retry-After"); got != "" {
					t.Errorf("Retry-After is %q for what never helps, want none", got)
				}
				s.servedBy(s.chatAs(teamKey, 91), "ptu", "")
			})
		})
	}
}

// The client sees its own limits in the headers, in place of the backend's.
func TestRateLimitHeadersAreTheConsumers(t *testing.T) {
	names := []string{"Limit-Tokens", "Remaining-Tokens", "Reset-Tokens", "Limit-Requests", "Remaining-Requests", "Reset-Requests"}
	tests := []struct {
		name, settings string
		stream         bool
		want           []string
	}{
		{"plain: what is left after the answer", "tokensPerMinute: 1000, requestsPerMinute: 10", false, []string{"1000", "972", "45s", "10", "9", "45s"}},
		{"stream: what is left while it runs", "tokensPerMinute: 1000, requestsPerMinute: 10", true, []string{"1000", "951", "45s", "10", "9", "45s"}},
		{"tokens only", "tokensPerMinute: 1000", false, []string{"1000", "972", "45s", "", "", ""}},
		{"quotas are not shown", "quotas: [{ tokens: 1000, per: day }]", false, []string{"10000", "9958", "", "", "", ""}},
		{"no limit: the backend's", "", false, []string{"10000", "9958", "", "", "", ""}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			run(t, limited(test.settings), func(s *site) {
				s.wait(15 * time.Second)
				w := s.Send(s.t.Context(), rig.Call{Path: "/v1/chat/completions", Key: teamKey, Body: chatBody(40, test.stream)})
				s.servedBy(w, "ptu", "")
				for i, name := range names {
					if got := w.Header().Get("X-Ratelimit-" + name); got != test.want[i] {
						t.Errorf("x-ratelimit-%s is %q, want %q", name, got, test.want[i])
					}
				}
			})
		})
	}
}

// Clients that all come at once get no more than the limit, whatever they ask
// for: nothing is sent before its tokens are reserved. Every answer is as long as
// its request allows, so what is used is what was asked for.
func TestParallelClientsNeverExceedTheLimit(t *testing.T) {
	const limit, clients, minutes = 3000, 50, 3
	run(t, limited(fmt.Sprintf("tokensPerMinute: %d, requestsPerMinute: 30", limit)), func(s *site) {
		s.replacePTU(azureopenai.Options{
			Key:         "key of ptu",
			Deployments: []azureopenai.Deployment{{Name: "gpt-4o-ptu", TokensPerMinute: 10000}},
			Output:      azureopenai.Output{Fill: true},
			Latency:     azureopenai.Latency{FirstByte: time.Second},
		})
		for minute := range minutes {
			var served, refused atomic.Int64
			s.together(clients, func(i int) {
				switch w := s.chatAs(teamKey, 20+(i*37+minute*11)%180); w.Code {
				case 200:
					served.Add(1)
				case 429:
					refused.Add(1)
				default:
					t.Errorf("status %d: %s", w.Code, w.Body)
				}
			})
			if served.Load() == 0 || refused.Load() == 0 {
				s.t.Fatalf("void: %d served, %d refused", served.Load(), refused.Load())
			}
			s.wait(time.Minute - time.Second)
		}
		used, requests := map[time.Time]int64{}, map[time.Time]int{}
		for _, r := range s.Records() {
			if r.Status == 200 {
				minute := r.Start.Truncate(time.Minute)
				used[minute] += r.Tokens.Total()
				requests[minute]++
			}
		}
		if len(used) != minutes {
			t.Errorf("void: served in %d minutes, want %d", len(used), minutes)
		}
		for minute, n := range used {
			if n > limit || requests[minute] > 30 {
				t.Errorf("in the minute of %s %d tokens in %d requests were used", minute.Format("15:04"), n, requests[minute])
			}
			if n < limit*80/100 && requests[minute] < 30 {
				t.Errorf("in the minute of %s only %d tokens in %d requests were used", minute.Format("15:04"), n, requests[minute])
			}
		}
	})
}

// A refused request has used nothing of any limit, at whichever step it was
// refused.
func TestRefusedRequestsChangeNoCounter(t *testing.T) {
	tests := []struct {
		name   string
		before func(*site)
		max    int
		body   string
		status int
	}{
		{name: "too many tokens for the minute", max: 980, status: 429},
		{name: "larger than the limit", max: 2000, status: 429},
		{name: "not a request", body: `{"model":"gpt-4o","max_tokens":-1}`, status: 400},
		{name: "a model that it may not use", body: `{"model":"other"}`, status: 404},
		{name: "all backends full", status: 429, max: 40, before: func(s *site) {
			s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultThrottle, RetryAfter: 30 * time.Second})
			s.payg.Inject(azureopenai.Fault{Kind: azureopenai.FaultThrottle, RetryAfter: 30 * time.Second})
		}},
		{name: "all backends broken", status: 503, max: 40, before: func(s *site) {
			s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 500})
			s.payg.Inject(azureopenai.Fault{Kind: azureopenai.FaultRefuse})
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			run(t, limited("models: [gpt-4o], tokensPerMinute: 1000, requestsPerMinute: 10, quotas: [{ tokens: 100000, per: day }]"), func(s *site) {
				s.servedBy(s.chatAs(teamKey, 40), "ptu", "")
				if test.before != nil {
					test.before(s)
				}
				for range 3 {
					body := test.body
					if body == "" {
						body = chatBody(test.max, false)
					}
					w := s.Send(s.t.Context(), rig.Call{Path: "/v1/chat/completions", Key: teamKey, Body: body})
					if w.Code != test.status {
						s.t.Fatalf("status %d, want %d: %s", w.Code, test.status, w.Body)
					}
				}
				s.ptu.Clear()
				s.payg.Clear()
				w := s.chatAs(teamKey, 40)
				if w.Code != 200 { // the throttles last
					s.wait(31 * time.Second)
					w = s.chatAs(teamKey, 40)
				}
				tokens, requests := w.Header().Get("X-Ratelimit-Remaining-Tokens"), w.Header().Get("X-Ratelimit-Remaining-Requests")
				if tokens != strconv.Itoa(1000-2*used) || requests != "8" {
					t.Errorf("%s tokens and %s requests are left after two that were served, want %s, %s", tokens, requests, strconv.Itoa(1000-2*used), "8")
				}
			})
		})
	}
}
