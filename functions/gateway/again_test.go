package gateway_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"spillway/tests/fakes/azureopenai"
	"spillway/tests/fakes/faultstore"
)

// Two requests meet at a limit that has room for one of them. The other goes to
// the next member, which takes its time and fails. By then the first one has used
// less than it had reserved, so there is room again: the refusal of a moment ago
// is no reason for a 429.
func TestRefusedMemberIsAskedAgainAfterAnAttemptElsewhere(t *testing.T) {
	run(t, with("tokensPerMinute: 10000 }", "tokensPerMinute: 900, accounting: actual }"), func(s *site) {
		always := map[faultstore.Fault]float64{faultstore.Delayed: 1}
		s.behind(faultstore.Options{Rates: always, Delay: [2]time.Duration{50 * time.Millisecond, 50 * time.Millisecond}})
		s.payg.Inject(azureopenai.Fault{Kind: azureopenai.FaultDelay, Delay: 3 * time.Second})
		s.payg.Inject(azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 503})
		var answers [2]*httptest.ResponseRecorder
		s.together(2, func(i int) { answers[i] = s.chat(600) })
		for _, w := range answers {
			if w.Code != 200 || w.Header().Get("X-Spillway-Backend") != "ptu" {
				t.Errorf("status %d from %q, want 200 from ptu: %s", w.Code, w.Header().Get("X-Spillway-Backend"), w.Body)
			}
		}
		if n := s.payg.Stats()["gpt-4o"].Requests; n != 1 {
			t.Fatalf("%d requests went elsewhere first, want 1: the test tests nothing", n)
		}
	})
}

// The first member is throttled, the other one's breaker is open, so as the last
// resort that one is asked. When it has failed, slowly, the throttle is over.
func TestMemberThatIsFreeAfterTheLastResortServes(t *testing.T) {
	run(t, ordinary+"breaker: { failures: 1, openFor: 60s }\n", func(s *site) {
		s.options.Random = func(n uint64) uint64 { return n - 1 } // the last resort's dice let it through
		s.start()
		s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultThrottle, RetryAfter: 2 * time.Second, Times: 1})
		s.payg.Inject(azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 503, Times: 1})
		s.refused(s.chat(10), 429, "rate_limit_exceeded")
		s.payg.Inject(azureopenai.Fault{Kind: azureopenai.FaultDelay, Delay: 3 * time.Second})
		s.payg.Inject(azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 503})
		s.servedBy(s.chat(10), "ptu", "")
	})
}

// A 429 that asks for no waiting at all is no reason to ask the same backend again
// and again on behalf of the same request.
func TestThrottleOfNoTimeIsNotHammered(t *testing.T) {
	run(t, ordinary, func(s *site) {
		s.replacePTU(azureopenai.Options{
			Key:         "key of ptu",
			Deployments: []azureopenai.Deployment{{Name: "gpt-4o-ptu"}},
			Retry:       azureopenai.RetryNone,
		})
		s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultThrottle, Header: map[string]string{"retry-after-ms": "0"}, Times: 100})
		s.servedBy(s.chat(10), "payg", "throttled")
		if n := s.ptu.Stats()["gpt-4o-ptu"].Requests; n != 1 {
			t.Errorf("the backend was asked %d times, want 1", n)
		}
	})
}

// A member of lower priority that is full gets room in ten seconds. That is no
// promise to a consumer whose spillover is too small for the request: it has to
// wait for the first priority.
func TestSpilloverThatNeverFitsIsNotWaitedFor(t *testing.T) {
	yaml := limited("spillover: { tokensPerMinute: 100 }")
	run(t, yaml, func(s *site) {
		s.yaml = strings.Replace(yaml, "deployments: [{ model: gpt-4o }]", "deployments: [{ model: gpt-4o, requestsPerMinute: 6 }]", 1)
		s.start()
		s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultThrottle, RetryAfter: 30 * time.Second, Times: 1})
		s.servedBy(s.chatAs(teamKey, 20), "payg", "throttled")
		w := s.chatAs(teamKey, 1000)
		s.refused(w, 429, "rate_limit_exceeded")
		s.retryAfter(w, 30*time.Second)
	})
}
