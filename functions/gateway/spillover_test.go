package gateway_test

import (
	"net/http"
	"testing"
	"time"

	"spillway/tests/fakes/azureopenai"
	"spillway/tests/rig"
)

// A consumer without spillover waits for the first priority, which others leave.
func TestSpilloverForbidden(t *testing.T) {
	const other = clientSecret + " of the others"
	run(t, consumers(consumer("team", teamKey, "spillover: false"), consumer("others", other, "")), func(s *site) {
		s.wait(10 * time.Second)
		s.servedBy(s.chatAs(teamKey, 9000), "ptu", "")
		w := s.chatAs(teamKey, 1000)
		s.refused(w, 429, "rate_limit_exceeded")
		s.retryAfter(w, 50*time.Second)
		s.servedBy(s.chatAs(other, 1000), "payg", "quota")
		s.servedBy(s.chatAs(teamKey, 900), "ptu", "")
		s.wait(50 * time.Second)
		s.servedBy(s.chatAs(teamKey, 1000), "ptu", "")
	})
}

// A cap on spillover is counted in what was used there, and never stands in the
// way of the first priority.
func TestSpilloverCapped(t *testing.T) {
	run(t, limited("spillover: { tokensPerMinute: 100 }"), func(s *site) {
		s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultThrottle, RetryAfter: 20 * time.Second, Times: 1})
		s.servedBy(s.chatAs(teamKey, 40), "payg", "throttled") // 28 used
		s.servedBy(s.chatAs(teamKey, 40), "payg", "throttled") // 56 used
		w := s.chatAs(teamKey, 40)                             // 56 + 49 is too much
		s.refused(w, 429, "rate_limit_exceeded")
		s.retryAfter(w, 20*time.Second) // when the first priority is back, before the cap is
		s.wait(20 * time.Second)
		s.servedBy(s.chatAs(teamKey, 4000), "ptu", "")
		w = s.chatAs(teamKey, 6500) // too large for what is left, and for the cap
		s.refused(w, 429, "rate_limit_exceeded")
		s.retryAfter(w, 40*time.Second)
		if n := s.asked("payg.test", "gpt-4o"); n != 2 {
			t.Errorf("payg was asked %d times, want 2", n)
		}
	})
}

// handing is a transport to a service whose own spillover is at work.
type handing struct{ http.RoundTripper }

func (h handing) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := h.RoundTripper.RoundTrip(r)
	if err == nil {
		response.Header.Set("X-Ms-Spillover-From-Deployment", "gpt-4o-ptu")
		response.Header.Set("X-Ms-Deployment-Name", "gpt-4o-standard")
	}
	return response, err
}

// Where the service itself has handed a request on, as the client asked it to, the
// deployment that really served is what is told and recorded.
func TestSpilloverOfTheService(t *testing.T) {
	run(t, ordinary, func(s *site) {
		s.options.Transport = handing{azureopenai.Hosts(s.hosts)}
		s.start()
		call := rig.Call{Path: "/v1/chat/completions", Body: chatBody(10, false), Header: map[string]string{"x-ms-spillover-deployment": "gpt-4o-standard"}}
		w := s.Send(s.t.Context(), call)
		s.servedBy(w, "ptu", "service")
		for name, want := range map[string]string{"X-Spillway-Deployment": "gpt-4o-standard", "X-Ms-Spillover-From-Deployment": "gpt-4o-ptu", "X-Ms-Deployment-Name": "gpt-4o-standard"} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		if r := s.last(); r.Deployment != "gpt-4o-standard" || r.Spillover != "service" {
			t.Errorf("recorded %+v, want Deployment %q, Spillover %q", r, "gpt-4o-standard", "service")
		}
		if got, _ := s.ptu.LastRequest(); got.Header.Get("X-Ms-Spillover-Deployment") != "gpt-4o-standard" {
			t.Error("the service was not asked to")
		}
	})
}
