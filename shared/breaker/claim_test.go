package breaker

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestOneTrialAcrossInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFleet(t, 3)
		var trials, passes atomic.Int64
		for range 50 {
			for _, i := range f.instances {
				go func() {
					pass, ok := i.d.Admit(t.Context())
					if ok {
						passes.Add(1)
					}
					if pass.Trial() {
						trials.Add(1)
					}
				}()
			}
		}
		synctest.Wait()
		if trials.Load() != 1 || passes.Load() != 1 {
			t.Errorf("%d trials among %d passes, want 1 of 1", trials.Load(), passes.Load())
		}
		f.refresh()
		for _, i := range f.instances {
			i.is(t, HalfOpen)
			i.refused(t)
		}
		if row := f.row(t); row.Trial != 1 || row.Nonce == "" || row.Owner == "" {
			t.Errorf("row %+v", row)
		}
	})
}

// While one request claims, the others of the instance do not wait for it.
func TestClaimIsMadeOncePerInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFleet(t, 1)
		a := f.instances[0]
		gets, writes := f.store.count(get), f.store.count(write)
		slow := func(operation) { <-time.After(20 * time.Millisecond) }
		f.store.before.Store(&slow)
		var trials atomic.Int64
		for range 50 {
			go func() {
				start := time.Now()
				if _, ok := a.d.Admit(t.Context()); ok {
					trials.Add(1)
				} else if waited := time.Since(start); waited != 0 {
					t.Errorf("a refused request waited %v, want 0", waited)
				}
			}()
		}
		elapse(time.Second)
		if n := trials.Load(); n != 1 {
			t.Errorf("%d trials, want 1", n)
		}
		if g, w := f.store.count(get)-gets, f.store.count(write)-writes; g != 1 || w != 1 {
			t.Errorf("%d reads, %d writes, want one of each", g, w)
		}
	})
}

// A throttle that another request brings home during the claim stays.
func TestThrottleDuringAClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		a := f.instances[0]
		slowPass := a.admit(t)
		a.breakDown(t)
		elapse(10 * time.Second)
		var until time.Time
		throttle := func(o operation) {
			if o == write && until.IsZero() {
				until = time.Now().Add(30 * time.Second)
				slowPass.Throttled(until, 429)
			}
		}
		f.store.before.Store(&throttle)
		a.trial(t)
		if got := a.d.View().ThrottledUntil; until.IsZero() || !got.Equal(until) {
			t.Errorf("throttled until %v, want %v", got, until)
		}
	})
}

func TestClaimCostsTwoOperations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFleet(t, 1)
		gets, writes := f.store.count(get), f.store.count(write)
		f.instances[0].trial(t)
		if g, w := f.store.count(get)-gets, f.store.count(write)-writes; g != 1 || w != 1 {
			t.Errorf("%d reads, %d writes, want one of each", g, w)
		}
	})
}

func TestDeadOwnersTrialIsClaimedAfter30Seconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFleet(t, 2)
		a, b := f.instances[0], f.instances[1]
		a.trial(t) // And a is never heard of again.
		b.refused(t)
		elapse(29*time.Second + 999*time.Millisecond)
		b.refused(t)
		elapse(time.Millisecond)
		b.trial(t).Success()
		b.is(t, Closed)
		if row := f.row(t); row.Trial != 2 {
			t.Errorf("row %+v, want trial 2", row)
		}
	})
}

// The clock of the first owner is so far behind that it does not notice that
// its trial has been taken over: the nonce fences its result, and the change of
// state does if it has heard of the takeover.
func TestStaleOwnersResultIsDropped(t *testing.T) {
	outcomes := map[string]func(Pass){
		"success": Pass.Success,
		"failure": func(p Pass) { p.Failure(500) },
		"abandon": Pass.Abandon,
		"429":     func(p Pass) { p.Throttled(time.Now(), 429) },
	}
	test := func(t *testing.T, outcome func(Pass), heard bool) {
		f := openFleet(t, 1)
		b := f.instances[0]
		slow := newInstance(t, "slow", f.store, skewed(-10*time.Second))
		slow.refresh()
		elapse(10 * time.Second)
		stale := slow.trial(t)
		elapse(20 * time.Second)
		trial := b.trial(t)
		elapse(time.Second)
		if heard {
			slow.refresh()
			slow.is(t, HalfOpen)
			outcome(stale)
			slow.is(t, HalfOpen)
		} else {
			outcome(stale)
		}
		synctest.Wait()
		if row := f.row(t); row.State != HalfOpen || row.Owner != "a" {
			t.Errorf("the stale result was published: %+v, want State %v, Owner %q", row, HalfOpen, "a")
		}
		slow.is(t, HalfOpen)
		trial.Failure(502)
		synctest.Wait()
		if row := f.row(t); row.State != Open || row.Opens != 2 {
			t.Errorf("the owner's result was lost: %+v, want State %v, Opens 2", row, Open)
		}
	}
	for name, outcome := range outcomes {
		t.Run(name+" by an owner that does not know", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, outcome, false) })
		})
		t.Run(name+" by an owner that has heard", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(t, outcome, true) })
		})
	}
}

func TestAmbiguousClaim(t *testing.T) {
	for _, test := range []struct {
		name   string
		fault  fault
		writes int64
	}{
		{"the write had happened: owner", answerLost, 1},
		{"the write had not happened: written again", requestLost, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := openFleet(t, 2)
				a, b := f.instances[0], f.instances[1]
				writes := f.store.count(write)
				f.store.do(once(write, test.fault))
				pass := a.trial(t)
				if n := f.store.count(write) - writes; n != test.writes {
					t.Errorf("%d writes, want %d", n, test.writes)
				}
				b.refused(t)
				if row := f.row(t); row.Trial != 1 {
					t.Errorf("row %+v, want the first trial", row)
				}
				pass.Success()
				synctest.Wait()
				if row := f.row(t); row.State != Closed {
					t.Errorf("row %+v, want it closed", row)
				}
			})
		})
	}
}

// The answer of the claim is lost and the request ends before the row can be
// read again. The trial belongs to this instance and nobody runs it.
func TestClaimThatNobodyRunsIsFreed(t *testing.T) {
	abandonClaim := func(t *testing.T, f *fleet) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		leave := func(o operation) {
			if o == write {
				cancel()
			}
		}
		f.store.before.Store(&leave)
		f.store.do(once(write, answerLost))
		// The memory store would not write for a context that has ended.
		f.store.inner = uncancelled{f.store.inner}
		if _, ok := f.instances[0].d.Admit(ctx); ok {
			t.Fatal("admitted on an unknown outcome")
		}
		f.store.before.Store(nil)
		if row := f.row(t); row.State != HalfOpen {
			t.Fatalf("row %+v, want the lost claim in it", row)
		}
	}
	t.Run("by the next request", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := openFleet(t, 2)
			abandonClaim(t, f)
			f.instances[1].refused(t)
			elapse(time.Second)
			pass := f.instances[0].trial(t)
			if want := time.Now().Add(28 * time.Second); !pass.Deadline().Equal(want) {
				t.Errorf("deadline %v, want a whole trial's, %v", pass.Deadline(), want)
			}
		})
	})
	t.Run("at once by the request after it", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := openFleet(t, 2)
			abandonClaim(t, f)
			f.instances[0].trial(t)
			f.instances[1].refused(t)
			if row := f.row(t); row.Trial != 1 {
				t.Errorf("row %+v, want trial 1 to be used", row)
			}
		})
	})
	t.Run("for the others by a refresh", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := openFleet(t, 2)
			abandonClaim(t, f)
			f.instances[1].refused(t)
			f.refresh()
			f.instances[0].is(t, Open)
			f.instances[1].trial(t)
		})
	})
	t.Run("for the others by a refresh, although it happened twice", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := openFleet(t, 2)
			abandonClaim(t, f)
			elapse(time.Second)
			abandonClaim(t, f)
			f.refresh()
			f.instances[0].is(t, Open)
			f.instances[1].trial(t)
		})
	})
	t.Run("without it, by its deadline", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := openFleet(t, 2)
			abandonClaim(t, f)
			f.instances[1].refused(t)
			elapse(30 * time.Second)
			f.instances[1].trial(t)
		})
	})
}

func TestClaimLosesToAnotherOneInBetween(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFleet(t, 2)
		a, b := f.instances[0], f.instances[1]
		var fired atomic.Bool
		overtake := func(o operation) {
			if o == write && fired.CompareAndSwap(false, true) {
				b.trial(t)
			}
		}
		f.store.before.Store(&overtake)
		a.refused(t)
		if !fired.Load() {
			t.Fatal("void: nobody overtook")
		}
		a.is(t, HalfOpen)
		if row := f.row(t); row.Owner != "b" || row.Trial != 1 {
			t.Errorf("row %+v, want b's trial", row)
		}
		if a.Degraded() {
			t.Error("a conflict is no outage")
		}
	})
}

func TestClaimFindsThatItHasClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFleet(t, 2)
		a, b := f.instances[0], f.instances[1]
		b.trial(t).Success()
		synctest.Wait()
		a.is(t, Open) // It does not know yet.
		if pass := a.admit(t); pass.Trial() {
			t.Error("a trial of a closed breaker")
		}
		a.is(t, Closed)
	})
}

func TestClaimFindsThatItIsOpenForLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFleet(t, 2)
		a, b := f.instances[0], f.instances[1]
		b.trial(t).Failure(500)
		synctest.Wait()
		a.refused(t)
		if got, want := a.d.View(), b.d.View(); got.OpenUntil != want.OpenUntil || got.Opens != 2 {
			t.Errorf("a: %+v, want %+v", got, want)
		}
	})
}
