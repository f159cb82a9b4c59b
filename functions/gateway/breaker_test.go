package gateway_test

import (
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"spillway/tests/fakes/azureopenai"
)

const ptuID = "ptu/gpt-4o-ptu"

// sick is a backend that fails.
var sick = azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 500}

// breaker asserts the state of the PTU's breaker.
func (s *site) breaker(want string) {
	s.t.Helper()
	if got := s.deployment(ptuID).Breaker; got != want {
		s.t.Fatalf("the breaker is %s, want %s", got, want)
	}
}

// trip makes the PTU sick and opens its breaker.
func (s *site) trip(f azureopenai.Fault) (fault int64) {
	s.t.Helper()
	fault = s.ptu.Inject(f)
	for range 5 {
		s.servedBy(s.chat(10), "payg", "failed")
	}
	s.breaker("open")
	return fault
}

// Five failures in a row open the breaker. From then on the sick deployment is
// left alone, and no request loses time on it.
func TestBreakerOpensAfterFiveFailures(t *testing.T) {
	run(t, ordinary, func(s *site) {
		s.ptu.Inject(sick)
		for range 4 {
			s.servedBy(s.chat(10), "payg", "failed")
		}
		s.breaker("closed")
		s.servedBy(s.chat(10), "payg", "failed")
		s.breaker("open")
		for range 20 {
			s.servedBy(s.chat(10), "payg", "open")
		}
		if n := s.asked("ptu.test", "gpt-4o-ptu"); n != 5 {
			t.Errorf("the sick deployment was asked %d times, want 5", n)
		}
		if until := s.deployment(ptuID).OpenUntil; until == nil || time.Until(*until) < 9*time.Second || time.Until(*until) > 11*time.Second {
			t.Errorf("open until %v, want about 10 s from now", until)
		}
	})
}

// A success between failures starts the count anew.
func TestSuccessEndsARunOfFailures(t *testing.T) {
	run(t, ordinary, func(s *site) {
		for range 3 {
			fault := s.ptu.Inject(sick)
			for range 4 {
				s.servedBy(s.chat(10), "payg", "failed")
			}
			s.ptu.Remove(fault)
			s.servedBy(s.chat(10), "ptu", "")
		}
		s.breaker("closed")
	})
}

// After the open time one request, and no more, finds out whether the deployment
// has recovered. If it has, all go there again.
func TestOneTrialClosesTheBreaker(t *testing.T) {
	run(t, ordinary, func(s *site) {
		s.ptu.Remove(s.trip(sick))
		s.servedBy(s.chat(10), "payg", "open")
		s.wait(12 * time.Second)
		s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultDelay, Delay: time.Second, Times: 1}) // the trial takes a while
		var trials atomic.Int64
		s.together(20, func(int) {
			w := s.chat(10)
			if w.Header().Get("X-Spillway-Backend") == "ptu" {
				trials.Add(1)
				return
			}
			s.servedBy(w, "payg", "open")
		})
		if trials.Load() != 1 {
			t.Errorf("%d of 20 parallel requests were sent to the deployment on trial, want 1", trials.Load())
		}
		s.breaker("closed")
		s.servedBy(s.chat(10), "ptu", "")
	})
}

// A trial that fails opens the breaker for longer, up to maxOpenFor. The request
// of the trial is served elsewhere.
func TestFailedTrialOpensForLonger(t *testing.T) {
	run(t, ordinary+"breaker: { maxOpenFor: 35s }\n", func(s *site) {
		s.trip(sick)
		for _, want := range []time.Duration{10 * time.Second, 20 * time.Second, 30 * time.Second, 35 * time.Second, 35 * time.Second} {
			open := time.Until(*s.deployment(ptuID).OpenUntil)
			if open < want*9/10-time.Second || open > want*11/10 || open > 35*time.Second {
				t.Errorf("open for %v, want about %v", open, want)
			}
			s.wait(open)
			s.servedBy(s.chat(10), "payg", "failed")
			s.breaker("open")
			s.servedBy(s.chat(10), "payg", "open")
		}
		if n := s.asked("ptu.test", "gpt-4o-ptu"); n != 5+5 {
			t.Errorf("the deployment was asked %d times, want 5 times and for 5 trials", n)
		}
	})
}

// A trial whose client leaves has found nothing out: the next request is the
// next trial.
func TestAbandonedTrialIsFree(t *testing.T) {
	run(t, ordinary, func(s *site) {
		s.ptu.Remove(s.trip(sick))
		s.wait(12 * time.Second)
		hang := s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultHangBeforeHeaders, Times: 1})
		leave := s.leaving(chatBody(10, false))
		s.wait(time.Second)
		s.breaker("half-open")
		leave()
		s.ptu.Remove(hang)
		s.breaker("open")
		s.servedBy(s.chat(10), "ptu", "")
		s.breaker("closed")
	})
}

// A trial must end before its claim does, or the next one would run beside it.
func TestTrialThatHangsIsGivenUp(t *testing.T) {
	run(t, ordinary, func(s *site) {
		s.ptu.Remove(s.trip(sick))
		s.wait(12 * time.Second)
		s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultHangBeforeHeaders, Times: 1})
		start := time.Now()
		s.servedBy(s.chat(10), "payg", "failed")
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("the trial took %v, want at most %v", took, 30*time.Second)
		}
		s.breaker("open")
	})
}

// The last members of a pool are never taken out: a deployment that is all there
// is, is asked although its breaker is open, and serves as soon as it can.
func TestLastUsableMemberIsAskedAllTheSame(t *testing.T) {
	tests := []struct {
		name   string
		before func(*site)
	}{
		{"both are open", func(s *site) {
			s.payg.Inject(azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 500, Times: 5})
		}},
		{"the other is throttled", func(s *site) {
			s.payg.Inject(azureopenai.Fault{Kind: azureopenai.FaultThrottle, RetryAfter: time.Minute})
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			// Adaptive throttling lets a share through: of n requests after five
			// failures none with a probability of 5/(5+n), and that ten times over.
			served := 0
			for range 10 {
				run(t, ordinary, func(s *site) {
					s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 500, Times: 5})
					test.before(s)
					for range 5 {
						s.chat(10)
					}
					s.breaker("open")
					for range 100 {
						if w := s.chat(10); w.Code == 200 {
							served++
						}
					}
				})
			}
			if served == 0 {
				t.Error("nothing was served by deployments that have recovered")
			}
		})
	}
}

// breaker.statusCodes says which answers count. Others are made good elsewhere
// all the same.
func TestStatusCodesOfTheBreaker(t *testing.T) {
	tests := []struct {
		setting string
		status  int
		opens   bool
	}{
		{"", 500, true},
		{"", 503, true},
		{"", 408, false},
		{"breaker: { statusCodes: [\"502-504\"] }\n", 500, false},
		{"breaker: { statusCodes: [\"502-504\"] }\n", 503, true},
		{"breaker: { statusCodes: [408, \"500-599\"] }\n", 408, true},
	}
	for _, test := range tests {
		name := strings.TrimSpace(test.setting) + " status " + strconv.Itoa(test.status)
		t.Run(name, func(t *testing.T) {
			run(t, ordinary+test.setting, func(s *site) {
				s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: test.status})
				for range 8 {
					if w := s.chat(10); w.Code != 200 {
						s.t.Fatalf("status %d, want 200: %s", w.Code, w.Body)
					}
				}
				want := "closed"
				if test.opens {
					want = "open"
				}
				s.breaker(want)
			})
		})
	}
}

// A backend that refuses our key or lacks the deployment is broken whatever the
// status codes of failures are.
func TestBrokenBackendOpensTheBreaker(t *testing.T) {
	for _, status := range []int{401, 403, 404} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			run(t, ordinary, func(s *site) {
				s.trip(azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: status})
				s.servedBy(s.chat(10), "payg", "open")
			})
		})
	}
	t.Run("unreachable", func(t *testing.T) {
		run(t, ordinary, func(s *site) { s.trip(azureopenai.Fault{Kind: azureopenai.FaultRefuse}) })
	})
}

// Being throttled is not being sick: any number of 429s opens nothing, ends with
// its time and needs no trial. And a deployment that is both is left alone until
// both are over.
func TestThrottleAndBreakerAreNotMixed(t *testing.T) {
	t.Run("429s open nothing", func(t *testing.T) {
		run(t, ordinary, func(s *site) {
			fault := s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultThrottle, RetryAfter: time.Second})
			for range 20 {
				s.servedBy(s.chat(10), "payg", "throttled")
				s.wait(time.Second)
			}
			s.breaker("closed")
			s.ptu.Remove(fault)
			s.servedBy(s.chat(10), "ptu", "")
		})
	})
	t.Run("429s between failures do not hide them", func(t *testing.T) {
		run(t, ordinary, func(s *site) {
			for range 5 {
				s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultThrottle, RetryAfter: time.Millisecond, Times: 1})
				s.servedBy(s.chat(10), "payg", "throttled")
				s.wait(time.Millisecond)
				s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 500, Times: 1})
				s.servedBy(s.chat(10), "payg", "failed")
			}
			s.breaker("open")
		})
	})
	t.Run("a trial that is throttled finds a healthy deployment", func(t *testing.T) {
		run(t, ordinary, func(s *site) {
			s.ptu.Remove(s.trip(sick))
			s.wait(12 * time.Second)
			s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultThrottle, RetryAfter: 30 * time.Second, Times: 1})
			s.servedBy(s.chat(10), "payg", "throttled")
			s.breaker("closed")
			s.servedBy(s.chat(10), "payg", "throttled")
			s.wait(30 * time.Second)
			s.servedBy(s.chat(10), "ptu", "")
		})
	})
}
