package gateway_test

import (
	"testing"
	"time"

	"spillway/tests/fakes/azureopenai"
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
			t.Errorf("payg was asked %d times", n)
		}
	})
}
