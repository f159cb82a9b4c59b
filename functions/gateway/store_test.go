package gateway_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"spillway/shared/breaker"
	"spillway/shared/clock"
	"spillway/shared/store"
	"spillway/shared/store/memory"
	"spillway/tests/fakes/azureopenai"
	"spillway/tests/fakes/faultstore"
)

// behind puts the gateway before a store that goes wrong.
func (s *site) behind(o faultstore.Options) *faultstore.Store {
	s.t.Helper()
	faulty, err := faultstore.New(memory.New(), o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.options.Store = faulty
	s.start()
	return faulty
}

// longestForStore is the most that a store may cost a request at one of its steps.
const longestForStore = 150 * time.Millisecond

// A store that is down costs no request its answer, and next to no time. What the
// limits do meanwhile is configured.
func TestStoreThatIsDown(t *testing.T) {
	tests := []struct {
		policy string
		served bool
	}{{"allow", true}, {"deny", false}}
	for _, test := range tests {
		t.Run(test.policy, func(t *testing.T) {
			run(t, limited("tokensPerMinute: 1000")+"state: { onUnavailable: "+test.policy+" }\n", func(s *site) {
				s.behind(faultstore.Options{}).SetOutage(true)
				for range 10 {
					start := time.Now()
					w := s.chatAs(teamKey, 20)
					if test.served {
						s.servedBy(w, "ptu", "")
					} else {
						s.refused(w, 429, "rate_limit_exceeded")
					}
					if took := time.Since(start); took > 3*longestForStore {
						t.Errorf("a request took %v, want at most %v", took, 3*longestForStore)
					}
				}
			})
		})
	}
}

// While one request negotiates the trial of a sick deployment with a slow store,
// the others do not wait for it, nor do they ask again and again.
func TestTrialWhileTheStoreIsSlow(t *testing.T) {
	run(t, with(", tokensPerMinute: 10000", ""), func(s *site) {
		s.behind(faultstore.Options{Rates: map[faultstore.Fault]float64{faultstore.Delayed: 1}, Delay: [2]time.Duration{30 * time.Millisecond, 30 * time.Millisecond}})
		s.ptu.Remove(s.trip(sick))
		s.wait(12 * time.Second)
		var trials atomic.Int64
		s.together(20, func(int) {
			start := time.Now()
			w := s.chat(10)
			if w.Code != 200 {
				t.Errorf("status %d, want 200: %s", w.Code, w.Body)
			}
			if w.Header().Get("X-Spillway-Backend") == "ptu" {
				trials.Add(1)
			} else if took := time.Since(start); took != 0 {
				t.Errorf("a request that is no trial took %v, want 0", took)
			}
		})
		if trials.Load() != 1 {
			t.Errorf("%d requests were trials, want 1", trials.Load())
		}
		s.wait(10 * time.Second) // the slow writes in the background end
	})
}

// The same where the sick deployment is all there is: those that are not the
// trial are let through or refused, and told when to come back.
func TestTrialOfTheOnlyMemberWhileTheStoreIsSlow(t *testing.T) {
	run(t, with(", { backend: payg, priority: 2 }", "", ", tokensPerMinute: 10000", ""), func(s *site) {
		s.behind(faultstore.Options{Rates: map[faultstore.Fault]float64{faultstore.Delayed: 1}, Delay: [2]time.Duration{30 * time.Millisecond, 30 * time.Millisecond}})
		s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 500, Times: 5})
		for range 5 {
			s.refused(s.chat(10), 503, "service_unavailable")
		}
		s.wait(12 * time.Second)
		var served atomic.Int64
		s.together(20, func(int) {
			w := s.chat(10)
			if w.Code == 200 {
				served.Add(1)
			} else if w.Code != 503 || w.Header().Get("Retry-After") == "" {
				t.Errorf("status %d, Retry-After %q: %s", w.Code, w.Header().Get("Retry-After"), w.Body)
			}
		})
		if served.Load() == 0 {
			t.Error("not even the trial was served")
		}
		s.wait(10 * time.Second)
	})
}

// A table that is slow, but not so slow as to be left alone, costs a request its
// patience once, however many limits it passes and members it asks.
func TestSlowStoreCostsOnce(t *testing.T) {
	yaml := limited("tokensPerMinute: 1000, requestsPerMinute: 60, quotas: [{ tokens: 100000, per: day }]")
	run(t, yaml, func(s *site) {
		s.behind(faultstore.Options{Rates: map[faultstore.Fault]float64{faultstore.Delayed: 1}, Delay: [2]time.Duration{90 * time.Millisecond, 130 * time.Millisecond}})
		start := time.Now()
		s.servedBy(s.chatAs(teamKey, 20), "ptu", "")
		if took := time.Since(start); took == 0 || took > longestForStore {
			t.Errorf("the request took %v, want %v at most", took, longestForStore)
		}
		s.wait(10 * time.Second)
	})
}

// freezer is a store on a machine that freezes once, right after the claim of a
// trial was written: its wall clock jumps, its monotonic clock stands still.
type freezer struct {
	store.Store
	armed  atomic.Bool
	frozen atomic.Int64 // nanoseconds, in all
}

func (f *freezer) Replace(ctx context.Context, key store.Key, columns store.Columns, etag string) (string, error) {
	etag, err := f.Store.Replace(ctx, key, columns, etag)
	if key.Partition == breaker.Partition && f.armed.CompareAndSwap(true, false) {
		f.frozen.Add(int64(40 * time.Second))
	}
	return etag, err
}

// read is the clock of that machine.
func (f *freezer) read() (time.Time, time.Duration) {
	return time.Now().Round(0).Add(time.Duration(f.frozen.Load())), time.Duration(time.Now().UnixNano())
}

// A process that was frozen between the claim of a trial and its request does not
// send it: another instance may have begun the next trial meanwhile.
func TestFrozenTrialIsNotSent(t *testing.T) {
	run(t, ordinary, func(s *site) {
		frozen := &freezer{Store: memory.New()}
		s.options.Store, s.options.Clock = frozen, clock.New(frozen.read)
		s.start()
		s.ptu.Remove(s.trip(sick))
		s.wait(12 * time.Second)
		asked := s.asked("ptu.test", "gpt-4o-ptu")
		frozen.armed.Store(true)
		s.servedBy(s.chat(10), "payg", "open")
		if n := s.asked("ptu.test", "gpt-4o-ptu"); n != asked || frozen.armed.Load() {
			t.Errorf("the deployment was asked %d times more", n-asked)
		}
		s.servedBy(s.chat(10), "ptu", "") // the next trial
		s.wait(10 * time.Second)
	})
}

// A client that leaves while its tokens are fetched from a slow store has left,
// and has not run into a limit.
func TestClientLeavesDuringAStoreCall(t *testing.T) {
	run(t, ordinary, func(s *site) {
		s.yaml = strings.Replace(s.yaml, "access: open\n", "access: keys\nconsumers:\n"+consumer("team", teamKey, "tokensPerMinute: 1000"), 1)
		s.behind(faultstore.Options{Rates: map[faultstore.Fault]float64{faultstore.Delayed: 1}, Delay: [2]time.Duration{100 * time.Millisecond, 100 * time.Millisecond}})
		leave := s.leavingAs(callAs(teamKey, 20))
		s.wait(20 * time.Millisecond)
		leave()
		if r := s.last(); r.Status != 499 || r.Refused != "client_gone" {
			t.Errorf("recorded status %d, refused %q, want 499, %q", r.Status, r.Refused, "client_gone")
		}
		s.wait(time.Second)
		s.servedBy(s.chatAs(teamKey, 20), "ptu", "")
		s.wait(10 * time.Second)
	})
}

// Two instances on one store never take more than the limit together.
func TestTwoInstancesShareALimit(t *testing.T) {
	run(t, limited("tokensPerMinute: 3000"), func(s *site) {
		s.options.Store = memory.New()
		s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultDelay, Delay: 10 * time.Second})
		var all []*site
		for i := range 2 {
			one := &site{t: s.t, yaml: s.yaml, hosts: s.hosts, options: s.options}
			one.options.Instance = fmt.Sprint("instance-", i)
			one.start()
			all = append(all, one)
		}
		var served, refused atomic.Int64
		s.together(60, func(i int) {
			if w := all[i%2].chatAs(teamKey, 100-estimatedPrompt); w.Code == 200 {
				served.Add(1)
			} else {
				refused.Add(1)
				all[i%2].refused(w, 429, "rate_limit_exceeded")
			}
		})
		if served.Load() > 30 || served.Load() < 28 || refused.Load() == 0 {
			t.Errorf("%d requests of 100 tokens were served under a limit of 3000", served.Load())
		}
		for _, one := range all {
			one.checkEnd()
		}
	})
}
