package maintenance_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"spillway/functions/maintenance"
	"spillway/shared/breaker"
	"spillway/shared/clock"
	"spillway/shared/store"
	"spillway/shared/store/memory"
)

const ptu = "ptu/gpt-4o"

// open opens the breaker of a deployment.
func (i instance) open(t testing.TB, id string) {
	t.Helper()
	for range 5 {
		pass, ok := i.board.Deployment(id).Admit(t.Context())
		if !ok {
			t.Fatalf("%s is not closed", id)
		}
		pass.Failure(503)
	}
	if v := i.board.Deployment(id).View(); v.State != breaker.Open {
		t.Fatalf("%s is %s, want %s", id, v.State, breaker.Open)
	}
}

// throttle lets a deployment answer 429.
func (i instance) throttle(t testing.TB, id string, d time.Duration) {
	t.Helper()
	pass, ok := i.board.Deployment(id).Admit(t.Context())
	if !ok {
		t.Fatalf("%s is not closed", id)
	}
	pass.Throttled(i.clock.Now().Add(d), 429)
}

func (i instance) view(id string) breaker.View { return i.board.Deployment(id).View() }

func succeed(_ context.Context, _ string, pass breaker.Pass) { pass.Success() }

// A deployment that has recovered is closed by the first run after that, long
// before its open time is over, and for all instances.
func TestARecoveredBreakerClosesEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		probes := 0
		one := start(t, setup{store: s, deployments: []string{ptu}, probe: func(_ context.Context, id string, pass breaker.Pass) {
			probes++
			if id != ptu || !pass.Trial() {
				t.Errorf("%s is probed; a trial: %v, want %s, true", id, pass.Trial(), ptu)
			}
			pass.Success()
		}})
		two := start(t, setup{name: "two", store: s, deployments: []string{ptu}})
		two.open(t, ptu)
		if err := two.board.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		wait(time.Second)
		if r := one.run(t); r.Probed != 1 || r.Ready != 1 || probes != 1 {
			t.Errorf("%d probed, %d ready, %d probes; want 1 of each", r.Probed, r.Ready, probes)
		}
		if err := two.board.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if v := two.view(ptu); v.State != breaker.Closed || v.Opens != 0 {
			t.Errorf("the other instance sees it %s", v.State)
		}
		if r := one.run(t); r.Probed != 0 {
			t.Errorf("%d probed that are closed, want 0", r.Probed)
		}
	})
}

// Probes that fail leave the deployment as it was: it comes due for a trial at the
// very moment at which it would have without them.
func TestFailedProbesDoNotProlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		probes := 0
		i := start(t, setup{store: memory.New(), deployments: []string{ptu}, probe: func(_ context.Context, _ string, pass breaker.Pass) {
			probes++
			pass.Failure(503)
		}})
		i.open(t, ptu)
		before := i.view(ptu)
		for _, pause := range []time.Duration{time.Second, time.Second, 5 * time.Second} {
			wait(pause)
			if r := i.run(t); r.Ready != 0 {
				t.Errorf("%d ready, want 0", r.Ready)
			}
			if v := i.view(ptu); v.State != breaker.Open || !v.OpenUntil.Equal(before.OpenUntil) {
				t.Errorf("it is %s until %v, want open until %v", v.State, v.OpenUntil, before.OpenUntil)
			}
		}
		if probes != 2 {
			t.Errorf("%d probes, want 2: the second run came too soon", probes)
		}
	})
}

// A throttle that goes on for a while is lifted when a probe succeeds, for all
// instances; one that ends soon is left to end.
func TestALongThrottleIsLifted(t *testing.T) {
	for throttle, probed := range map[time.Duration]int{50 * time.Second: 1, 12 * time.Second: 0} {
		t.Run(throttle.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := memory.New()
				one := start(t, setup{store: s, deployments: []string{ptu}, probe: succeed})
				two := start(t, setup{name: "two", store: s, deployments: []string{ptu}})
				two.throttle(t, ptu, throttle)
				if err := two.board.Sync(t.Context()); err != nil {
					t.Fatal(err)
				}
				wait(10 * time.Second)
				if r := one.run(t); r.Probed != probed || r.Ready != probed {
					t.Errorf("%d probed, %d ready; want %d", r.Probed, r.Ready, probed)
				}
				if err := two.board.Sync(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := two.view(ptu).Throttled(time.Now()); got != (probed == 0) {
					t.Errorf("throttled for the other instance: %v, want %v", got, probed == 0)
				}
			})
		})
	}
}

// Several runs at once make one trial.
func TestRunsAtOnceProbeOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		var probes atomic.Int64
		var instances []instance
		for n := range 5 {
			instances = append(instances, start(t, setup{
				name: fmt.Sprint(n), store: s, deployments: []string{ptu},
				probe: func(_ context.Context, _ string, pass breaker.Pass) {
					probes.Add(1)
					wait(3 * time.Second)
					pass.Success()
				},
			}))
		}
		instances[0].open(t, ptu)
		if err := instances[0].board.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		for _, i := range instances {
			group.Go(func() { i.run(t) })
			group.Go(func() { i.run(t) })
		}
		group.Wait()
		if probes.Load() != 1 {
			t.Errorf("%d probes, want 1", probes.Load())
		}
	})
}

// Deployments are probed side by side, so many at once, each within its time.
func TestProbesRunSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ids []string
		for n := range 20 {
			ids = append(ids, fmt.Sprintf("b/%02d", n))
		}
		var now, most, probes int
		var mu sync.Mutex
		i := start(t, setup{store: memory.New(), deployments: ids, probe: func(ctx context.Context, _ string, pass breaker.Pass) {
			mu.Lock()
			now++
			probes++
			most = max(most, now)
			mu.Unlock()
			<-ctx.Done() // a backend that hangs
			mu.Lock()
			now--
			mu.Unlock()
			pass.Failure(0)
		}})
		for _, id := range ids {
			i.open(t, id)
		}
		began := time.Now()
		i.run(t)
		if took := time.Since(began); probes != 20 || most != 8 || took != 30*time.Second {
			t.Errorf("%d probes, at most %d at once, took %v; want 20, 8 and 30s", probes, most, took)
		}
	})
}

// Two instances do not begin at the same deployment.
func TestTheOrderVaries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := map[string]bool{}
		for seed := range uint64(20) {
			var once sync.Once
			ids := []string{"b/1", "b/2", "b/3", "b/4", "b/5", "b/6", "b/7", "b/8", "b/9"}
			i := start(t, setup{
				store: memory.New(), deployments: ids, random: func(n uint64) uint64 { return seed % n },
				probe: func(_ context.Context, id string, pass breaker.Pass) {
					once.Do(func() { first[id] = true })
					pass.Success()
				},
			})
			for _, id := range ids {
				i.open(t, id)
			}
			i.run(t)
		}
		if len(first) < 3 {
			t.Errorf("20 runs began with %v", first)
		}
	})
}

// A run that is called off ends soon, and a probe that panics is an error of the
// run that names its part; the other deployments are probed all the same.
func TestProbesThatGoWrong(t *testing.T) {
	t.Run("called off", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			i := start(t, setup{store: memory.New(), deployments: []string{ptu}, probe: func(ctx context.Context, _ string, pass breaker.Pass) {
				<-ctx.Done()
				pass.Abandon()
			}})
			i.open(t, ptu)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began := time.Now()
			r := i.Run(ctx)
			if took := time.Since(began); took > 1200*time.Millisecond || r.Err == nil {
				t.Errorf("it took %v and says %v", took, r.Err)
			}
			if v := i.view(ptu); v.State != breaker.Open {
				t.Errorf("the trial was abandoned, and it is %s, want %s", v.State, breaker.Open)
			}
		})
	})
	t.Run("panic", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			i := start(t, setup{store: memory.New(), deployments: []string{"b/1", "b/2"}, probe: func(_ context.Context, id string, pass breaker.Pass) {
				if id == "b/1" {
					panic("a defect")
				}
				pass.Success()
			}})
			i.open(t, "b/1")
			i.open(t, "b/2")
			r := i.Run(t.Context())
			if r.Err == nil || !strings.Contains(r.Err.Error(), "probe: panic: a defect") {
				t.Errorf("the run says %v", r.Err)
			}
			if r.Probed != 2 || r.Ready != 1 || i.view("b/2").State != breaker.Closed {
				t.Errorf("%d probed, %d ready", r.Probed, r.Ready)
			}
		})
	})
}

// While the store is down each instance is alone, and probes for itself.
func TestProbesWithoutAStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := start(t, setup{store: down{}, deployments: []string{ptu}, probe: succeed})
		i.open(t, ptu)
		var r maintenance.Report
		for range 3 {
			wait(time.Second)
			r = i.Run(t.Context())
			if r.Probed > 0 {
				break
			}
		}
		if r.Probed != 1 || r.Ready != 1 || r.Err == nil {
			t.Errorf("%d probed, %d ready, %v", r.Probed, r.Ready, r.Err)
		}
	})
}

// A process that was frozen between the claim and the probe has only the rest of
// the claim's time.
func TestAProbeEndsWithItsClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var frozen atomic.Int64 // time that the process's timers have not seen
		began := time.Now()
		c := clock.New(func() (time.Time, time.Duration) {
			gone := time.Duration(frozen.Load())
			return time.Now().Add(gone), time.Since(began)
		})
		s := newSpy()
		var had time.Duration
		i := start(t, setup{store: s, clock: c, deployments: []string{ptu}, probe: func(ctx context.Context, _ string, pass breaker.Pass) {
			deadline, _ := ctx.Deadline()
			had = time.Until(deadline)
			if left := pass.Deadline().Sub(c.Now()); had != left {
				t.Errorf("it has %v, and the claim %v", had, left)
			}
			pass.Abandon()
		}})
		i.open(t, ptu)
		if err := i.board.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.before = func(call string, key store.Key) {
			if call == "replace" && key.Row == ptu && frozen.Load() == 0 {
				frozen.Store(int64(24 * time.Second))
			}
		}
		i.run(t)
		if had <= 0 || had >= 10*time.Second {
			t.Errorf("it had %v", had)
		}
	})
}
