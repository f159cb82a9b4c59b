package gateway_test

import (
	"fmt"
	"testing"
	"time"

	"spillway/shared/usage"
	"spillway/tests/fakes/azureopenai"
)

// Every way in which a backend can fail before its answer has begun is made
// good by the next backend: the client sees nothing of it.
func TestFailureBeforeTheAnswerIsMadeGoodElsewhere(t *testing.T) {
	status := func(n int) azureopenai.Fault {
		return azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: n}
	}
	tests := []struct {
		name      string
		fault     azureopenai.Fault
		stream    bool
		reason    string // of the failed attempt
		spillover string
		refunded  bool // the tokens reserved on the failed deployment came back
	}{
		{name: "connection refused", fault: azureopenai.Fault{Kind: azureopenai.FaultRefuse}, reason: "dial", spillover: "failed", refunded: true},
		{name: "connection lost before headers", fault: azureopenai.Fault{Kind: azureopenai.FaultReset}, reason: "reset", spillover: "failed"},
		{name: "hangs before headers", fault: azureopenai.Fault{Kind: azureopenai.FaultHangBeforeHeaders}, reason: "timeout_headers", spillover: "failed"},
		{name: "request timeout", fault: status(408), reason: "status_408", spillover: "failed"},
		{name: "internal error", fault: status(500), reason: "status_500", spillover: "failed"},
		{name: "bad gateway", fault: status(502), reason: "status_502", spillover: "failed"},
		{name: "unavailable", fault: status(503), reason: "status_503", spillover: "failed"},
		{name: "gateway timeout", fault: status(504), reason: "status_504", spillover: "failed"},
		{name: "our key is refused", fault: status(401), reason: "status_401", spillover: "failed"},
		{name: "forbidden", fault: status(403), reason: "status_403", spillover: "failed"},
		{name: "deployment not found", fault: status(404), reason: "status_404", spillover: "failed"},
		{name: "redirect", fault: azureopenai.Fault{Kind: azureopenai.FaultRedirect, Location: "http://elsewhere.test/"}, reason: "redirect", spillover: "failed"},
		{name: "broken JSON", fault: azureopenai.Fault{Kind: azureopenai.FaultContentType}, reason: "content_type", spillover: "failed"},
		{name: "plain answer cut", fault: azureopenai.Fault{Kind: azureopenai.FaultCut}, reason: "cut", spillover: "failed"},
		{name: "throttled", fault: azureopenai.Fault{Kind: azureopenai.FaultThrottle}, reason: "status_429", spillover: "throttled", refunded: true},

		{name: "stream of HTML", fault: azureopenai.Fault{Kind: azureopenai.FaultContentType}, stream: true, reason: "content_type", spillover: "failed"},
		{name: "stream: unavailable", fault: status(503), stream: true, reason: "status_503", spillover: "failed"},
		{name: "stream: error inside the 200", fault: azureopenai.Fault{Kind: azureopenai.FaultStreamError}, stream: true, reason: "stream_error", spillover: "failed"},
		{name: "stream: error behind the filter results", fault: azureopenai.Fault{Kind: azureopenai.FaultStreamError, Events: 1}, stream: true, reason: "stream_error", spillover: "failed"},
		{name: "stream: nothing in it", fault: azureopenai.Fault{Kind: azureopenai.FaultEmptyStream}, stream: true, reason: "empty", spillover: "failed"},
		{name: "stream: not an event stream", fault: azureopenai.Fault{Kind: azureopenai.FaultMalformedSSE}, stream: true, reason: "empty", spillover: "failed"},
		{name: "stream: broken JSON", fault: azureopenai.Fault{Kind: azureopenai.FaultBadJSON}, stream: true, reason: "malformed", spillover: "failed"},
		{name: "stream: hangs after headers", fault: azureopenai.Fault{Kind: azureopenai.FaultHangAfterHeaders}, stream: true, reason: "timeout_idle", spillover: "failed"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			run(t, ordinary, func(s *site) {
				test.fault.Times = 1
				s.ptu.Inject(test.fault)
				ask := s.chat
				if test.stream {
					ask = s.stream
				}
				s.servedBy(ask(1000), "payg", test.spillover)

				record := s.last()
				if len(record.Attempts) != 2 || record.Attempts[0].Reason != test.reason {
					t.Errorf("attempts %+v, want the first to end for %q and a second", record.Attempts, test.reason)
				}
				if record.Tokens != (usage.Tokens{Prompt: record.Tokens.Prompt, Completion: 20}) || !record.Measured {
					t.Errorf("recorded %+v, want what the serving backend reported", record.Tokens)
				}
				want := int64(10000 - 1002)
				if test.refunded {
					want = 10000
				}
				if s.last().Duration < time.Minute { // else the window is another one
					if got := s.deployment("ptu/gpt-4o-ptu").Tokens.Remaining; got != want {
						t.Errorf("%d tokens left on the PTU, want %d", got, want)
					}
				}
			})
		})
	}
}

// What the client did wrong is the client's to know. No other backend is
// asked, and no breaker counts it.
func TestClientFaultsArePassedThrough(t *testing.T) {
	for _, status := range []int{400, 405, 409, 413, 415, 422} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			run(t, ordinary, func(s *site) {
				const body = `{"error":{"message":"no","type":"invalid_request_error","param":null,"code":"content_filter"}}`
				s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: status, Body: body})
				for range 10 {
					w := s.chat(100)
					if w.Code != status || w.Body.String() != body {
						s.t.Fatalf("got %d %s, want %d and the backend's own body", w.Code, w.Body, status)
					}
				}
				if d := s.deployment("ptu/gpt-4o-ptu"); d.Breaker != "closed" {
					t.Errorf("the breaker is %s, want closed: clients' faults must not open it", d.Breaker)
				}
				if n := s.payg.Stats()["gpt-4o"].Requests; n != 0 {
					t.Errorf("%d requests went to another backend, want 0", n)
				}
			})
		})
	}
}

// A waiting time that a backend names is kept to, in whichever form it comes,
// and never for longer than maxRetryAfter.
func TestThrottleLastsAsLongAsTheBackendSays(t *testing.T) {
	tests := []struct {
		form azureopenai.RetryForm
		want time.Duration // of a waiting time of 6 s
	}{
		{azureopenai.RetryDefault, 6 * time.Second},
		{azureopenai.RetryInt, 6 * time.Second},
		{azureopenai.RetryFloat, 6 * time.Second},
		{azureopenai.RetryDate, 6 * time.Second},
		{azureopenai.RetrySeconds, 6 * time.Second},
		{azureopenai.RetryMillis, 6 * time.Second},
		{azureopenai.RetryDay, time.Minute}, // maxRetryAfter
		{azureopenai.RetryNegative, 10 * time.Second},
		{azureopenai.RetryGarbage, 10 * time.Second},
		{azureopenai.RetryNone, 10 * time.Second},
	}
	for _, test := range tests {
		t.Run("form "+string(test.form), func(t *testing.T) {
			run(t, ordinary, func(s *site) {
				s.replacePTU(azureopenai.Options{
					Key:         "key of ptu",
					Deployments: []azureopenai.Deployment{{Name: "gpt-4o-ptu"}},
					Retry:       test.form,
				})
				s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultThrottle, RetryAfter: 6 * time.Second, Times: 1})
				s.servedBy(s.chat(10), "payg", "throttled")
				s.wait(test.want - 5*time.Millisecond)
				s.servedBy(s.chat(10), "payg", "throttled")
				s.wait(10 * time.Millisecond)
				s.servedBy(s.chat(10), "ptu", "")
			})
		})
	}
}
