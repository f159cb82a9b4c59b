package gateway_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"spillway/tests/fakes/azureopenai"
)

// attempts is the number of attempts of all requests so far.
func (s *site) attempts() (n int) {
	for _, r := range s.Records() {
		n += len(r.Attempts)
	}
	return n
}

// maxAttempts bounds the attempts of one request, throttled ones included.
func TestMaxAttempts(t *testing.T) {
	tests := []struct {
		setting string
		fault   azureopenai.Fault
		want    int
		status  int
	}{
		{"", sick, 3, 503},
		{"retry: { maxAttempts: 1 }\n", sick, 1, 503},
		{"retry: { maxAttempts: 2 }\n", sick, 2, 503},
		{"retry: { maxAttempts: 9 }\n", sick, 3, 503},
		{"retry: { maxAttempts: 2 }\n", throttle(5 * time.Second), 2, 429},
	}
	for _, test := range tests {
		t.Run(strings.TrimSpace(test.setting)+" "+string(test.fault.Kind), func(t *testing.T) {
			runBefore(t, three("weighted", [3]string{}, [3]string{})+test.setting, threeBackends(), func(s *site) {
				for _, backend := range s.hosts {
					backend.Inject(test.fault)
				}
				w := s.chat(10)
				if w.Code != test.status {
					t.Errorf("status %d, want %d: %s", w.Code, test.status, w.Body)
				}
				if got := len(s.last().Attempts); got != test.want {
					t.Errorf("%d attempts, want %d: %s", got, test.want, reasons(s.last()))
				}
				seen := map[string]bool{}
				for _, a := range s.last().Attempts {
					if seen[a.Deployment] {
						t.Errorf("%s was asked twice", a.Deployment)
					}
					seen[a.Deployment] = true
				}
				if w.Header().Get("Retry-After") == "" {
					t.Error("the answer does not say when to come back")
				}
			})
		})
	}
}

// An outage of everything must not be made worse by retries: they stay within a
// share of the requests, and a floor for quiet times.
func TestRetriesOfAnOutageAreBounded(t *testing.T) {
	const requests, floor = 1000, 100 // 10 a second, over 10 seconds
	const unbreakable = "breaker: { failures: 1000000, statusCodes: [599] }\n"
	tests := []struct {
		setting string
		share   float64
	}{{"", 0.2}, {"retry: { budget: 0.5 }\n", 0.5}, {"retry: { budget: 0 }\n", 0}}
	for _, test := range tests {
		t.Run(test.setting, func(t *testing.T) {
			runBefore(t, three("weighted", [3]string{}, [3]string{})+unbreakable+test.setting, threeBackends(), func(s *site) {
				for _, backend := range s.hosts {
					backend.Inject(sick)
				}
				for range requests {
					s.refused(s.chat(10), 503, "service_unavailable")
				}
				retries := s.attempts() - requests
				if most := int(test.share*requests) + floor; retries > most || retries < most*8/10 {
					t.Errorf("%d retries of %d requests, want at most and nearly %d", retries, requests, most)
				}
			})
		})
	}
}

// A throttled deployment is not a failure: going on to the next one costs nothing
// of the budget.
func TestThrottlesDoNotUseTheBudget(t *testing.T) {
	run(t, ordinary+"retry: { budget: 0 }\n", func(s *site) {
		fault := s.ptu.Inject(throttle(time.Millisecond))
		for range 200 {
			s.servedBy(s.chat(1), "payg", "throttled")
			s.wait(time.Millisecond)
		}
		s.ptu.Remove(fault)
		s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 500, Times: 1})
		s.servedBy(s.chat(1), "payg", "failed")
	})
}

// timeouts.total bounds a request from its arrival to its last byte.
func TestTotalTimeout(t *testing.T) {
	t.Run("before the answer", func(t *testing.T) {
		run(t, limited("tokensPerMinute: 1000")+"timeouts: { total: 10s, responseHeaders: 8s }\n", func(s *site) {
			s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultHangBeforeHeaders})
			s.payg.Inject(azureopenai.Fault{Kind: azureopenai.FaultHangBeforeHeaders})
			start := time.Now()
			w := s.chatAs(teamKey, 10)
			if e := s.refused(w, 504, "timeout"); e.Type != "server_error" || !strings.Contains(e.Message, "10s") {
				t.Errorf("the answer is %+v", e)
			}
			if took := time.Since(start); took != 10*time.Second {
				t.Errorf("answered after %v, want %v", took, 10*time.Second)
			}
			if got := reasons(s.last()); got != ptuID+" timeout_headers, payg/gpt-4o deadline" {
				t.Errorf("the attempts were %s, want %s", got, ptuID+" timeout_headers, payg/gpt-4o deadline")
			}
			synctest.Wait()
			if n := s.payg.Stats()["gpt-4o"].Canceled; n != 1 {
				t.Errorf("%d requests were canceled at the backend, want 1", n)
			}
			if r := s.last(); r.Tokens.Prompt != estimatedPrompt || r.Measured || r.Backend != "payg" {
				t.Errorf("recorded %+v at %s: the backend reads on, and bills the prompt at least", r.Tokens, r.Backend)
			}
		})
	})
	t.Run("within a stream", func(t *testing.T) {
		run(t, ordinary+"timeouts: { total: 10s }\n", func(s *site) {
			s.replacePTU(azureopenai.Options{
				Key:         "key of ptu",
				Deployments: []azureopenai.Deployment{{Name: "gpt-4o-ptu"}},
				Output:      azureopenai.Output{Exact: 60},
				Latency:     azureopenai.Latency{PerToken: 750 * time.Millisecond},
			})
			s.knowVocabularies()
			start := time.Now()
			w := s.stream(100)
			if took := time.Since(start); took != 10*time.Second {
				t.Errorf("ended after %v, want %v", took, 10*time.Second)
			}
			s.servedBy(w, "ptu", "")
			s.brokenStream(w.Body.String())
			r := s.last()
			if reasons(r) != ptuID+" deadline" || r.Measured {
				t.Errorf("recorded %s, measured %v, want %s, false", reasons(r), r.Measured, ptuID+" deadline")
			}
			if n := r.Tokens.Completion; n < 12 || n > 16 {
				t.Errorf("counted %d tokens of the 13 that came in 10 s", n)
			}
		})
	})
}

// A host may allow a request less time than the gateway does. Its client has not left,
// and is answered.
func TestHostsDeadline(t *testing.T) {
	run(t, limited("tokensPerMinute: 1000")+"timeouts: { total: 60s, responseHeaders: 30s }\n", func(s *site) {
		s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultHangBeforeHeaders})
		ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
		defer cancel()
		w := s.Send(ctx, callAs(teamKey, 10))
		if e := s.refused(w, 504, "timeout"); !strings.Contains(e.Message, "host") {
			t.Errorf("the answer is %+v", e)
		}
	})
}

// timeouts.responseHeaders bounds one attempt; the request goes on elsewhere.
func TestResponseHeadersTimeout(t *testing.T) {
	run(t, ordinary+"timeouts: { responseHeaders: 3s }\n", func(s *site) {
		s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultHangBeforeHeaders})
		start := time.Now()
		s.servedBy(s.chat(10), "payg", "failed")
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("served after %v, want %v", took, 3*time.Second)
		}
		if got := s.last().Attempts[0]; got.Reason != "timeout_headers" || got.Duration != 3*time.Second {
			t.Errorf("the first attempt was %+v, want Reason %q, Duration %v", got, "timeout_headers", 3*time.Second)
		}
	})
}

// timeouts.streamIdle bounds the silence within a stream that has begun.
func TestStreamIdleTimeout(t *testing.T) {
	run(t, ordinary+"timeouts: { streamIdle: 7s }\n", func(s *site) {
		s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultHangAfterHeaders, Events: 5})
		start := time.Now()
		w := s.stream(10)
		if took := time.Since(start); took != 7*time.Second {
			t.Errorf("ended after %v, want %v", took, 7*time.Second)
		}
		s.brokenStream(w.Body.String())
		if got := reasons(s.last()); got != ptuID+" timeout_idle" {
			t.Errorf("the attempts were %s, want %s", got, ptuID+" timeout_idle")
		}
	})
}
