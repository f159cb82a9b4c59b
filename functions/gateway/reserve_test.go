package gateway_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"spillway/tests/fakes/azureopenai"
	"spillway/tests/rig"
)

// left is the room that the gateway believes the PTU has.
func (s *site) left() int64 { return s.deployment("ptu/gpt-4o-ptu").Tokens.Remaining }

// By Azure's rules the estimate of the arrival stays charged, however short the
// answer was. The gateway and the backend count the same.
func TestAzureAccountingNeverRefunds(t *testing.T) {
	run(t, ordinary, func(s *site) {
		for i := range 5 {
			s.servedBy(s.chat(998), "ptu", "")
			if want := int64(10000 - 1000*(i+1)); s.left() != want || s.ptu.Room("gpt-4o-ptu", time.Now()) != want {
				t.Errorf("%d tokens are left, the backend has %d, want %d", s.left(), s.ptu.Room("gpt-4o-ptu", time.Now()), want)
			}
		}
		// Nothing is charged for an output without a maximum.
		s.servedBy(s.Send(s.t.Context(), rig.Call{Path: "/v1/chat/completions", Body: `{"model":"gpt-4o","messages":[{"role":"user","content":"Hello!"}]}`}), "ptu", "")
		if s.left() != 4998 {
			t.Errorf("%d tokens are left, want 4998", s.left())
		}
	})
}

// With accounting: actual the reservation is settled to what was used. The
// backend in this scenario says nothing of its own count.
func TestActualAccountingRefunds(t *testing.T) {
	run(t, with("tokensPerMinute: 10000", "tokensPerMinute: 1000, accounting: actual"), func(s *site) {
		s.replacePTU(azureopenai.Options{Key: "key of ptu", Deployments: []azureopenai.Deployment{{Name: "gpt-4o-ptu"}},
			Output: azureopenai.Output{Exact: 20}, Latency: azureopenai.Latency{FirstByte: time.Second}})
		s.together(1, func(int) {
			s.servedBy(s.chat(900), "ptu", "")
		})
		if got := s.left(); got != 1000-used {
			t.Errorf("%d tokens are left, want all but the %d used", got, used)
		}
		s.servedBy(s.chat(900), "ptu", "") // which would not have fitted beside the reservation
		s.together(2, func(int) { s.chat(900) })
		if n := s.asked("payg.test", "gpt-4o"); n != 1 {
			t.Errorf("%d of two parallel requests spilled, want 1: one reservation must be in the way of the other", n)
		}
		s.servedBy(s.stream(900), "ptu", "")
		if got := s.left(); got != 1000-4*used {
			t.Errorf("%d tokens are left after four requests, want %d", got, 1000-4*used)
		}
	})
}

// What never reached the backend, or was refused there with a 429, has not taken
// anything of its limit.
func TestWhatABackendHasNotCountedIsRefunded(t *testing.T) {
	for _, accounting := range []string{"azure", "actual"} {
		for _, kind := range []azureopenai.FaultKind{azureopenai.FaultThrottle, azureopenai.FaultRefuse} {
			t.Run(string(kind)+", accounting "+accounting, func(t *testing.T) {
				run(t, with("tokensPerMinute: 10000", "tokensPerMinute: 10000, accounting: "+accounting), func(s *site) {
					s.ptu.Inject(azureopenai.Fault{Kind: kind, Times: 1})
					if w := s.chat(5000); w.Header().Get("X-Spillway-Backend") != "payg" {
						s.t.Fatalf("void: %d %v", w.Code, w.Header())
					}
					if s.left() != 10000 {
						t.Errorf("%d tokens are left, want all", s.left())
					}
				})
			})
		}
	}
}

// Somebody else uses the backend too. Its headers say how much is left, and the
// gateway believes the lower figure until the window turns: it spills before the
// backend has to refuse.
func TestForeignUseIsSeenInTheHeaders(t *testing.T) {
	run(t, ordinary, func(s *site) {
		s.wait(5 * time.Second)
		s.foreign(7000)
		s.servedBy(s.chat(98), "ptu", "")
		if got := s.left(); got != 2900 {
			t.Errorf("%d tokens are believed to be left, the backend has 2900", got)
		}
		s.servedBy(s.chat(2998), "payg", "quota")
		s.servedBy(s.chat(1998), "ptu", "")
		if n := s.ptu.Stats()["gpt-4o-ptu"].Rejected429; n != 0 {
			t.Errorf("the backend had to refuse %d requests, want 0", n)
		}
		s.wait(55 * time.Second)
		if got := s.left(); got != 10000 {
			t.Errorf("%d tokens are believed to be left in the new window, want 10000", got)
		}
		s.servedBy(s.chat(9998), "ptu", "")
	})
}

// foreign is a call by somebody who does not come through the gateway.
func (s *site) foreign(charge int) {
	s.t.Helper()
	r := rig.Call{Path: "http://ptu.test/openai/deployments/gpt-4o-ptu/chat/completions?api-version=2024-10-21", Key: "key of ptu", Body: chatBody(charge-2, false)}.Request(s.t.Context())
	r.RequestURI = ""
	answer, err := s.ptu.RoundTripper().RoundTrip(r)
	if err != nil || answer.StatusCode != http.StatusOK {
		s.t.Fatalf("the foreign call failed: %v %v", answer, err)
	}
	answer.Body.Close()
}

// Azure cuts a deployment's limit for hours at times. The header tells, the
// gateway keeps to it, and to its own limit again when the cut is lifted.
func TestCutLimitIsKeptTo(t *testing.T) {
	run(t, ordinary, func(s *site) {
		cut := s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultLowerLimit, Limit: 4000})
		s.servedBy(s.chat(998), "ptu", "")
		if d := s.deployment("ptu/gpt-4o-ptu").Tokens; d.Limit != 4000 || d.Remaining != 3000 {
			t.Errorf("%d of %d tokens are left, want 3000 of 4000", d.Remaining, d.Limit)
		}
		s.servedBy(s.chat(3998), "payg", "quota")
		s.servedBy(s.chat(2998), "ptu", "")
		s.servedBy(s.chat(1), "payg", "quota")
		s.wait(time.Minute)
		s.servedBy(s.chat(3998), "ptu", "")
		s.ptu.Remove(cut)
		s.wait(time.Minute)
		for range 2 { // the header lifts the cut, the shared row a window later
			s.servedBy(s.chat(98), "ptu", "")
			s.wait(time.Minute)
		}
		s.servedBy(s.chat(8998), "ptu", "")
		if n := s.ptu.Stats()["gpt-4o-ptu"].Rejected429; n != 0 {
			t.Errorf("the backend had to refuse %d requests, want 0", n)
		}
	})
}

// A backend whose headers say nothing of use, or say nonsense, is counted by the
// gateway alone.
func TestHeadersThatSayNothing(t *testing.T) {
	for _, form := range []azureopenai.HeaderForm{azureopenai.HeaderNone, azureopenai.HeaderMinusOne} {
		t.Run(string(form), func(t *testing.T) {
			run(t, ordinary, func(s *site) {
				s.replacePTU(azureopenai.Options{
					Key:         "key of ptu",
					Deployments: []azureopenai.Deployment{{Name: "gpt-4o-ptu", TokensPerMinute: 10000}},
					Headers:     azureopenai.Headers{Limit: form, Remaining: form},
				})
				s.servedBy(s.chat(998), "ptu", "")
				if d := s.deployment("ptu/gpt-4o-ptu").Tokens; d.Limit != 10000 || d.Remaining != 9000 {
					t.Errorf("%d of %d tokens are left, want 9000, 10000", d.Remaining, d.Limit)
				}
			})
		})
	}
}

// Parallel requests fill the deployment to the last that fits, and the backend
// never has to refuse one: this is what counting afterwards cannot do.
func TestParallelRequestsFillWithoutOvershoot(t *testing.T) {
	run(t, ordinary, func(s *site) {
		var ptu, payg atomic.Int64
		s.together(50, func(int) {
			switch s.chat(498).Header().Get("X-Spillway-Backend") {
			case "ptu":
				ptu.Add(1)
			case "payg":
				payg.Add(1)
			}
		})
		if ptu.Load() != 20 || payg.Load() != 30 {
			t.Errorf("%d were served by the PTU and %d spilled, want 20 and 30", ptu.Load(), payg.Load())
		}
		if stats := s.ptu.Stats()["gpt-4o-ptu"]; stats.Rejected429 != 0 || stats.Charged() != 10000 {
			t.Errorf("the PTU was charged %d and refused %d, want 10000, 0", stats.Charged(), stats.Rejected429)
		}
	})
}
