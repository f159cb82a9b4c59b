package gateway_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"spillway/tests/fakes/azureopenai"
	"spillway/tests/rig"
)

// A limit of one model holds for it alone, besides the limits for all models.
func TestLimitsOfOneModel(t *testing.T) {
	mini := func(s *site) *httptest.ResponseRecorder {
		body := strings.Replace(chatBody(40, false), "gpt-4o", "gpt-4o-mini", 1)
		return s.Send(s.t.Context(), rig.Call{Path: "/v1/chat/completions", Key: teamKey, Body: body})
	}
	yaml := strings.NewReplacer(
		"deployments: [{ model: gpt-4o }]", "deployments: [{ model: gpt-4o }, { model: gpt-4o-mini }]",
		"\npools:\n", "\npools:\n  - { model: gpt-4o-mini, members: [{ backend: payg }] }\n",
	).Replace(limited("tokensPerMinute: 200, modelLimits: [{ model: gpt-4o, tokensPerMinute: 60, requestsPerMinute: 2, quotas: [{ tokens: 100, per: day }] }]"))

	run(t, yaml, func(s *site) {
		w := s.chatAs(teamKey, 40) // 28 used
		s.servedBy(w, "ptu", "")
		s.limitsShown(w, "60", "32", "2", "1")
		w = s.chatAs(teamKey, 40) // 28 + 49 is too much for the model
		if e := s.refused(w, 429, "rate_limit_exceeded"); !strings.Contains(e.Message, "limit 60 tokens, remaining 32") {
			t.Errorf("the answer is %+v", e)
		}
		w = mini(s)
		s.servedBy(w, "payg", "")
		s.limitsShown(w, "200", strconv.Itoa(200-2*used), "", "")
		s.servedBy(s.chatAs(teamKey, 20), "ptu", "")
		if e := s.refused(s.chatAs(teamKey, 1), 429, "rate_limit_exceeded"); e.Type != "requests" {
			t.Errorf("the third request of the minute is refused by %+v, want Type %q", e, "requests")
		}
		s.wait(time.Minute)
		s.servedBy(s.chatAs(teamKey, 20), "ptu", "")
		s.refused(s.chatAs(teamKey, 20), 429, "insufficient_quota") // 84 of 100
		s.servedBy(mini(s), "payg", "")
	})
}

// limitsShown asserts what an answer tells of the consumer's limits.
func (s *site) limitsShown(w *httptest.ResponseRecorder, tokens, tokensLeft, requests, requestsLeft string) {
	s.t.Helper()
	for name, want := range map[string]string{
		"Limit-Tokens": tokens, "Remaining-Tokens": tokensLeft, "Limit-Requests": requests, "Remaining-Requests": requestsLeft,
	} {
		if got := w.Header().Get("X-Ratelimit-" + name); got != want {
			s.t.Errorf("x-ratelimit-%s is %q, want %q", name, got, want)
		}
	}
}

// A token counts by its kind: those that the model had cached for less, those it
// thought with for more. What an answer took is told with it.
func TestTokenWeights(t *testing.T) {
	tests := []struct {
		name, weights string
		charge        func(prompt, cached int64) int64
	}{
		{"none", "", func(prompt, _ int64) int64 { return prompt + 30 }},
		{"cached tokens are free", "tokenWeights: { cachedInput: 0 }", func(prompt, cached int64) int64 { return prompt - cached + 30 }},
		{"half, rounded up", "tokenWeights: { cachedInput: 0.5 }", func(prompt, cached int64) int64 { return prompt - cached + (cached+1)/2 + 30 }},
		{"reasoning counts three times", "tokenWeights: { reasoning: 3 }", func(prompt, _ int64) int64 { return prompt + 20 + 3*10 }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			settings := "tokensPerMinute: 100000"
			if test.weights != "" {
				settings += ", " + test.weights
			}
			run(t, limited(settings), func(s *site) {
				s.replacePTU(azureopenai.Options{Key: "key of ptu", Deployments: []azureopenai.Deployment{{Name: "gpt-4o-ptu"}}, Output: azureopenai.Output{Exact: 20, Reasoning: 10}})
				body := fmt.Sprintf(`{"model":"gpt-4o","max_tokens":50,"messages":[{"role":"user","content":%q}]}`, strings.Repeat("the lake ", 1000))
				left := int64(100000)
				for range 2 {
					w := s.Send(s.t.Context(), rig.Call{Path: "/v1/chat/completions", Key: teamKey, Body: body})
					s.servedBy(w, "ptu", "")
					r := s.last()
					charged := test.charge(r.Tokens.Prompt, r.Tokens.Cached)
					left -= charged
					if got := w.Header().Get("X-Spillway-Tokens-Consumed"); got != strconv.FormatInt(charged, 10) {
						t.Errorf("%s tokens are said to be consumed, want %d", got, charged)
					}
					s.limitsShown(w, "100000", strconv.FormatInt(left, 10), "", "")
				}
				if r := s.last(); r.Tokens.Cached == 0 || r.Tokens.Reasoning != 10 {
					s.t.Fatalf("void: recorded %+v", r.Tokens)
				}
			})
		})
	}
}

// An output that may count three times is reserved as if it did: what is settled
// later must not exceed the limit.
func TestWeightsAreReserved(t *testing.T) {
	run(t, limited("tokensPerMinute: 100, tokenWeights: { reasoning: 3 }"), func(s *site) {
		w := s.chatAs(teamKey, 40)
		if e := s.refused(w, 429, "rate_limit_exceeded"); !strings.Contains(e.Message, "requested 129") {
			t.Errorf("the answer is %+v", e)
		}
		s.servedBy(s.chatAs(teamKey, 30), "ptu", "")
	})
}

// What a stream took is known at its end, and told in its trailer.
func TestStreamsTellWhatTheyTook(t *testing.T) {
	run(t, limited("tokensPerMinute: 1000"), func(s *site) {
		server := httptest.NewRecorder()
		s.ServeHTTP(server, rig.Call{Path: "/v1/chat/completions", Key: teamKey, Body: chatBody(40, true)}.Request(s.t.Context()))
		if got := server.Result().Trailer.Get("X-Spillway-Tokens-Consumed"); got != strconv.Itoa(used) {
			t.Errorf("the trailer says %q, want %d", got, used)
		}
		if got := server.Result().Header.Get("X-Spillway-Tokens-Consumed"); got != "" {
			t.Errorf("the header says %q before anybody can know, want %q", got, "")
		}
	})
}

// In shadow a consumer's limits refuse nothing. What they would have refused is
// recorded, and does not count against them.
func TestShadow(t *testing.T) {
	tests := []struct{ name, settings, shadowed string }{
		{"tokens per minute", "tokensPerMinute: 60", "rate_limit_exceeded"},
		{"requests per minute", "requestsPerMinute: 1", "rate_limit_exceeded"},
		{"a quota", "quotas: [{ tokens: 60, per: month }]", "insufficient_quota"},
		{"larger than a limit", "tokensPerMinute: 30", "rate_limit_exceeded"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			run(t, limited(test.settings+", shadow: true"), func(s *site) {
				s.servedBy(s.chatAs(teamKey, 40), "ptu", "")
				s.servedBy(s.chatAs(teamKey, 40), "ptu", "")
				if got := s.last().Shadowed; got != test.shadowed {
					t.Errorf("shadowed by %q, want %q", got, test.shadowed)
				}
				if test.name == "tokens per minute" {
					s.limitsShown(s.chatAs(teamKey, 40), "60", strconv.Itoa(60-used), "", "")
				}
			})
		})
	}
	t.Run("spilled tokens", func(t *testing.T) {
		run(t, limited("spillover: { tokensPerMinute: 30 }, shadow: true"), func(s *site) {
			s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultThrottle, RetryAfter: 20 * time.Second, Times: 1})
			s.servedBy(s.chatAs(teamKey, 40), "payg", "throttled")
			if got := s.last().Shadowed; got != "spillover_limit_exceeded" {
				t.Errorf("shadowed by %q, want %q", got, "spillover_limit_exceeded")
			}
		})
	})
	t.Run("what it may not call stays closed", func(t *testing.T) {
		run(t, limited("spillover: false, models: [gpt-4o], shadow: true"), func(s *site) {
			s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultThrottle, RetryAfter: 20 * time.Second, Times: 1})
			s.refused(s.chatAs(teamKey, 40), 429, "rate_limit_exceeded")
		})
	})
}

// Every answer tells the consumer's limits, whatever it says; a caller who is not
// known has none.
func TestEveryAnswerTellsTheLimits(t *testing.T) {
	tests := []struct {
		name, key, body string
		status          int
		shown           bool
	}{
		{"not a request", teamKey, `{`, 400, true},
		{"no such model", teamKey, `{"model":"other"}`, 404, true},
		{"too much", teamKey, chatBody(2000, false), 429, true},
		{"unknown", "nobody's key, for sure", chatBody(10, false), 401, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			run(t, limited("tokensPerMinute: 1000"), func(s *site) {
				w := s.Send(s.t.Context(), rig.Call{Path: "/v1/chat/completions", Key: test.key, Body: test.body})
				if w.Code != test.status {
					t.Fatalf("status %d, want %d: %s", w.Code, test.status, w.Body)
				}
				if test.shown {
					s.limitsShown(w, "1000", "1000", "", "")
				} else {
					s.limitsShown(w, "", "", "", "")
				}
				if got := w.Header().Get("WWW-Authenticate"); (got != "") != (test.status == http.StatusUnauthorized) {
					t.Errorf("status %d with WWW-Authenticate %q", w.Code, got)
				}
			})
		})
	}
}

// The record names the region of who served, and what the caller showed.
func TestRegionAndCredential(t *testing.T) {
	tests := []struct{ name, configured, want string }{
		{"as the backend's answers say", "", "eastus2"},
		{"as configured", "swedencentral", "swedencentral"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			yaml := keyed
			if test.configured != "" {
				yaml = strings.Replace(yaml, "endpoint: http://ptu.test", "endpoint: http://ptu.test\n    region: "+test.configured, 1)
			}
			run(t, yaml, func(s *site) {
				s.replacePTU(azureopenai.Options{Key: "key of ptu", Region: "East US 2", Deployments: []azureopenai.Deployment{{Name: "gpt-4o-ptu"}}})
				s.servedBy(s.chatAs(teamKey, 10), "ptu", "")
				r := s.last()
				if r.Region != test.want || !strings.HasPrefix(r.Credential, "sha256:") || len(r.Credential) > 20 {
					t.Errorf("recorded region %q, credential %q", r.Region, r.Credential)
				}
			})
		})
	}
}

// That a limit is nearly used, and that it is, is told once in each window.
func TestLimitsTellOfThemselves(t *testing.T) {
	var log bytes.Buffer
	run(t, limited("tokensPerMinute: 200, quotas: [{ tokens: 1000, per: day }]"), func(s *site) {
		s.options.Log = zerolog.New(&log)
		s.start()
		told := func() string {
			synctest.Wait()
			var all []string
			for line := range strings.Lines(log.String()) {
				var e struct{ Event, Consumer, Limit string }
				if err := json.Unmarshal([]byte(line), &e); err == nil && strings.HasPrefix(e.Event, "limit_") {
					all = append(all, e.Consumer+" "+e.Event+" "+e.Limit)
				}
			}
			log.Reset()
			return strings.Join(all, ", ")
		}
		for i, want := range []string{"", "", "", "", "", "team limit_near tokens/minute", "team limit_reached tokens/minute", ""} {
			s.chatAs(teamKey, 25) // 28 tokens each, while there is room
			if got := told(); got != want {
				t.Errorf("after request %d: told %q, want %q", i+1, got, want)
			}
		}
		s.wait(time.Minute)
		for range 5 {
			s.chatAs(teamKey, 25)
		}
		if got := told(); got != "" {
			t.Errorf("in the next minute: told %q, want %q", got, "")
		}
		s.chatAs(teamKey, 25)
		if got := told(); got != "team limit_near tokens/minute" {
			t.Errorf("in the next minute: told %q, want %q", got, "team limit_near tokens/minute")
		}
	})
}
