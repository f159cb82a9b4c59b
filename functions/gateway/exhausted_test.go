package gateway_test

import (
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"spillway/tests/fakes/azureopenai"
	"spillway/tests/rig"
)

func throttle(d time.Duration) azureopenai.Fault {
	return azureopenai.Fault{Kind: azureopenai.FaultThrottle, RetryAfter: d}
}

// When no member has room the client is told the soonest moment at which one of
// them will, whichever it is and for whatever reason it has none now.
func TestRetryAfterIsTheSoonestOfAll(t *testing.T) {
	tests := []struct {
		name      string
		ptu, payg time.Duration // throttles; 0: full until the window ends in 40 s
		want      time.Duration
	}{
		{"the window's end", 0, 0, 40 * time.Second},
		{"the other's throttle", 0, 2500 * time.Millisecond, 2500 * time.Millisecond},
		{"the first one's throttle", 7 * time.Second, 0, 7 * time.Second},
		{"the window, before a longer throttle", 0, 55 * time.Second, 40 * time.Second},
		{"the shorter throttle", 9 * time.Second, 30 * time.Second, 9 * time.Second},
		{"a throttle of a day counts as maxRetryAfter", 24 * time.Hour, 24 * time.Hour, time.Minute},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			run(t, with("deployments: [{ model: gpt-4o }]", "deployments: [{ model: gpt-4o, tokensPerMinute: 5000 }]"), func(s *site) {
				s.wait(20 * time.Second)
				for _, m := range []struct {
					backend  *azureopenai.Server
					throttle time.Duration
					room     int
				}{{s.ptu, test.ptu, 9998}, {s.payg, test.payg, 4998}} {
					if m.throttle > 0 {
						m.backend.Inject(throttle(m.throttle))
					} else if w := s.chat(m.room); w.Code != 200 { // fill it
						s.t.Fatalf("status %d, want 200: %s", w.Code, w.Body)
					}
				}
				w := s.chat(10)
				s.refused(w, 429, "rate_limit_exceeded")
				s.retryAfter(w, test.want)
				again := s.chat(10)
				s.refused(again, 429, "rate_limit_exceeded")
				s.retryAfter(again, test.want)
				if n := len(s.last().Attempts); n != 0 {
					t.Errorf("a request for which there was no room made %d attempts, want 0", n)
				}
				s.ptu.Clear()
				s.payg.Clear()
				s.wait(test.want)
				if w := s.chat(10); w.Code != 200 {
					t.Errorf("after the time that was named: status %d, want 200: %s", w.Code, w.Body)
				}
			})
		})
	}
}

// A deployment that is throttled and full is ready when both have ended.
func TestThrottledAndFullIsReadyAfterBoth(t *testing.T) {
	run(t, with(", { backend: payg, priority: 2 }", ""), func(s *site) {
		s.wait(20 * time.Second)
		s.servedBy(s.chat(9900), "ptu", "")
		s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultThrottle, RetryAfter: 5 * time.Second, Times: 1})
		s.refused(s.chat(10), 429, "rate_limit_exceeded")
		w := s.chat(1000)
		s.refused(w, 429, "rate_limit_exceeded")
		s.retryAfter(w, 40*time.Second)
	})
}

// A request that is larger than every limit can never be served. One that is
// larger than the first one's spills.
func TestRequestLargerThanTheLimits(t *testing.T) {
	t.Run("of all", func(t *testing.T) {
		run(t, with("deployments: [{ model: gpt-4o }]", "deployments: [{ model: gpt-4o, tokensPerMinute: 5000 }]"), func(s *site) {
			w := s.chat(9999)
			e := s.refused(w, 429, "rate_limit_exceeded")
			if !strings.Contains(e.Message, "too large") {
				t.Errorf("the answer is %s", e.Message)
			}
			s.noRetry(w)
			if got := w.Header().Get("Retry-After"); got != "" {
				t.Errorf("Retry-After is %q for what never helps, want none", got)
			}
			if n := len(s.ptu.Requests()) + len(s.payg.Requests()); n != 0 {
				t.Errorf("%d requests reached a backend, want 0", n)
			}
		})
	})
	t.Run("of the first", func(t *testing.T) {
		run(t, ordinary, func(s *site) { s.servedBy(s.chat(9999), "payg", "too_large") })
	})
}

// 503 is for a pool that is broken, and says when to come back. One member that
// is merely full makes it a 429.
func TestBrokenIsNotFull(t *testing.T) {
	down := azureopenai.Fault{Kind: azureopenai.FaultRefuse}
	t.Run("all are broken", func(t *testing.T) {
		run(t, ordinary, func(s *site) {
			s.ptu.Inject(down)
			s.payg.Inject(down)
			for range 40 {
				w := s.chat(10)
				if e := s.refused(w, 503, "service_unavailable"); e.Type != "server_error" {
					t.Errorf("the answer is %+v, want Type %q", e, "server_error")
				}
				if seconds, err := strconv.Atoi(w.Header().Get("Retry-After")); err != nil || seconds < 1 || seconds > 12 {
					t.Errorf("Retry-After is %q", w.Header().Get("Retry-After"))
				}
				s.wait(100 * time.Millisecond)
			}
			s.breaker("open")
		})
	})
	t.Run("one is full", func(t *testing.T) {
		run(t, ordinary, func(s *site) {
			s.servedBy(s.chat(9998), "ptu", "")
			s.payg.Inject(down)
			s.refused(s.chat(10), 429, "rate_limit_exceeded")
		})
	})
	t.Run("one is throttled", func(t *testing.T) {
		run(t, ordinary, func(s *site) {
			s.ptu.Inject(throttle(5 * time.Second))
			s.payg.Inject(down)
			s.refused(s.chat(10), 429, "rate_limit_exceeded")
		})
	})
}

const fallback = `
access: keys
admin: { keys: ["` + adminKey + `"] }
backends:
  - name: ptu
    endpoint: http://ptu.test
    auth: { apiKey: "key of ptu" }
    deployments: [{ model: gpt-4o, deployment: gpt-4o-ptu, tokensPerMinute: 1000 }]
  - name: payg
    endpoint: http://payg.test
    api: openai
    auth: { apiKey: "key of payg" }
    deployments: [{ model: small, deployment: gpt-4o-mini, tokensPerMinute: 2000 }]
pools:
  - { model: gpt-4o, members: [{ backend: ptu }], fallbackModels: [small] }
  - { model: small, members: [{ backend: payg }] }
prices:
  - { model: gpt-4o, inputPerMillion: 1000, outputPerMillion: 1000 }
  - { model: small, inputPerMillion: 1, outputPerMillion: 2 }
consumers:
`

// A full pool's fallback model serves instead, at its own price and under its own
// name at the backend, but only those who may use it.
func TestFallbackModels(t *testing.T) {
	const other = clientSecret + " of the others"
	run(t, fallback+consumer("team", teamKey, "")+consumer("others", other, "models: [gpt-4o]"), func(s *site) {
		s.wait(10 * time.Second)
		s.servedBy(s.chatAs(teamKey, 998), "ptu", "")
		s.servedBy(s.chatAs(teamKey, 100), "payg", "")
		r := s.last()
		if r.Model != "gpt-4o" || r.Pool != "small" || r.Deployment != "gpt-4o-mini" || r.Cost != (usedPrompt*1+usedOutput*2)/1e6 {
			t.Errorf("recorded model %s, pool %s, deployment %s, cost %g, want gpt-4o, small, gpt-4o-mini, %g", r.Model, r.Pool, r.Deployment, r.Cost, (usedPrompt*1+usedOutput*2)/1e6)
		}
		if got, _ := s.payg.LastRequest(); !strings.Contains(string(got.Body), `"model":"gpt-4o-mini"`) {
			t.Errorf("the fallback's backend was asked %s", got.Body)
		}
		w := s.chatAs(other, 100)
		s.refused(w, 429, "rate_limit_exceeded")
		s.retryAfter(w, 50*time.Second)
		w = s.chatAs(teamKey, 5000)
		s.refused(w, 429, "rate_limit_exceeded")
		s.noRetry(w)
	})
}

// holding is a pool of the PTU alone that holds requests for this long.
func holding(maxWait string) string {
	return with("members: [{ backend: ptu, priority: 1 }, { backend: payg, priority: 2 }]",
		"maxWait: "+maxWait+"\n    members: [{ backend: ptu, priority: 1 }]")
}

// A request is held for capacity if it comes in time, and served at once when it
// does.
func TestMaxWait(t *testing.T) {
	t.Run("until the window turns", func(t *testing.T) {
		run(t, holding("30s"), func(s *site) {
			s.wait(40 * time.Second)
			s.servedBy(s.chat(9998), "ptu", "")
			start := time.Now()
			s.servedBy(s.chat(1000), "ptu", "")
			if took := time.Since(start); took < 20*time.Second || took > 20*time.Second+5*time.Millisecond {
				t.Errorf("served after %v, want when the window turns after 20 s", took)
			}
			if r := s.last(); r.Waited != r.Duration || len(r.Attempts) != 1 {
				t.Errorf("recorded %v of waiting in %v, and %d attempts", r.Waited, r.Duration, len(r.Attempts))
			}
		})
	})
	t.Run("until a throttle ends", func(t *testing.T) {
		run(t, holding("30s"), func(s *site) {
			s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultThrottle, RetryAfter: 1700 * time.Millisecond, Times: 1})
			start := time.Now()
			s.servedBy(s.chat(1000), "ptu", "")
			if took := time.Since(start); took != 1700*time.Millisecond {
				t.Errorf("served after %v, want after the throttle of 1.7 s", took)
			}
		})
	})
	t.Run("not when it would be in vain", func(t *testing.T) {
		run(t, holding("10s"), func(s *site) {
			s.wait(40 * time.Second)
			s.servedBy(s.chat(9998), "ptu", "")
			start := time.Now()
			w := s.chat(1000)
			s.refused(w, 429, "rate_limit_exceeded")
			s.retryAfter(w, 20*time.Second)
			if took := time.Since(start); took != 0 {
				t.Errorf("held for %v although there is no room for 20 s, want 0", took)
			}
		})
	})
	t.Run("not for what never fits", func(t *testing.T) {
		run(t, holding("60s"), func(s *site) {
			w := s.chat(20000)
			s.refused(w, 429, "rate_limit_exceeded")
			s.noRetry(w)
		})
	})
	t.Run("not for a broken backend", func(t *testing.T) {
		run(t, holding("60s"), func(s *site) {
			s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultRefuse})
			start := time.Now()
			s.refused(s.chat(10), 503, "service_unavailable")
			if took := time.Since(start); took != 0 {
				t.Errorf("held for %v, want 0", took)
			}
		})
	})
	t.Run("those for whom the new window has no room either are told when the next one is", func(t *testing.T) {
		run(t, holding("30s"), func(s *site) {
			s.wait(40 * time.Second)
			s.servedBy(s.chat(9998), "ptu", "")
			var served, refused atomic.Int64
			s.together(30, func(int) {
				w := s.chat(998)
				if w.Code == 200 {
					served.Add(1)
					return
				}
				refused.Add(1)
				s.refused(w, 429, "rate_limit_exceeded")
				if seconds, _ := strconv.Atoi(w.Header().Get("Retry-After")); seconds < 59 || seconds > 60 {
					t.Errorf("Retry-After is %d s, want the end of the new window", seconds)
				}
			})
			if served.Load() != 10 || refused.Load() != 20 {
				t.Errorf("%d were served and %d refused, want 10 and 20", served.Load(), refused.Load())
			}
			if n := s.ptu.Stats()["gpt-4o-ptu"].Rejected429; n != 0 {
				t.Errorf("the backend had to refuse %d requests, want 0", n)
			}
		})
	})
}

// A client that leaves while it is held has used nothing.
func TestClientLeavesWhileItIsHeld(t *testing.T) {
	yaml := strings.Replace(holding("60s"), "access: open\n", "access: keys\nconsumers:\n"+consumer("team", teamKey, "tokensPerMinute: 100000, requestsPerMinute: 10"), 1)
	run(t, yaml, func(s *site) {
		s.servedBy(s.chatAs(teamKey, 9998), "ptu", "")
		leave := s.leavingAs(rig.Call{Path: "/v1/chat/completions", Key: teamKey, Body: chatBody(1000, false)})
		s.wait(5 * time.Second)
		if n := len(s.Records()); n != 1 {
			t.Errorf("%d requests have ended, want 1: the second should be held", n)
		}
		leave()
		r := s.last()
		if r.Status != 499 || r.Refused != "client_gone" || len(r.Attempts) != 0 || r.Waited == 0 {
			t.Errorf("recorded %+v", r)
		}
		s.wait(55 * time.Second)
		w := s.chatAs(teamKey, 10)
		if got := w.Header().Get("X-Ratelimit-Remaining-Requests"); got != "9" {
			t.Errorf("%s requests are left in the new window, want 9", got)
		}
		if n := s.asked("ptu.test", "gpt-4o-ptu"); n != 2 {
			t.Errorf("the backend was asked %d times, want 2", n)
		}
	})
}
