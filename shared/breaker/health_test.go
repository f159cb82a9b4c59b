package breaker

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestStoreDownThenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2)
		a, b := f.instances[0], f.instances[1]
		f.refresh()
		f.store.do(always(unavailable))
		a.breakDown(t)
		a.is(t, Open)
		for range 4 {
			f.refresh()
		}
		if !a.Degraded() || a.count(EventDegraded, ReasonUnavailable) != 1 {
			t.Errorf("a is degraded: %v, events %+v", a.Degraded(), a.happened())
		}
		b.is(t, Closed)
		f.store.do(nil)
		for range 3 {
			f.refresh()
		}
		if a.Degraded() || a.count(EventRecovered, ReasonAnswered) != 1 {
			t.Errorf("a is degraded: %v, events %+v", a.Degraded(), a.happened())
		}
		if row := f.row(t); row.State != Open {
			t.Errorf("the opening was not published after the outage: %+v, want State %v", row, Open)
		}
		b.is(t, Open)
	})
}

func TestStoreThatIsDownIsAskedRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		a := f.instances[0]
		f.store.do(always(unavailable))
		a.breakDown(t)
		for range 6000 {
			a.refresh()
			a.admitAny().Failure(500)
			elapse(10 * time.Millisecond)
		}
		total := f.store.count(get) + f.store.count(write) + f.store.count(query)
		if total < 10 || total > 30 {
			t.Errorf("%d operations in a minute", total)
		}
	})
}

// admitAny takes a pass if there is one.
func (i *instance) admitAny() Pass {
	pass, _ := i.d.Admit(context.Background())
	return pass
}

func TestOneFailureOfTheStoreIsNoOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		a := f.instances[0]
		f.store.do(once(query, unavailable))
		a.refresh()
		f.refresh()
		if a.Degraded() || len(a.happened()) != 0 || f.store.count(query) != 2 {
			t.Errorf("degraded %v, events %+v, %d queries", a.Degraded(), a.happened(), f.store.count(query))
		}
	})
}

// A clock that was set back must not keep the view from being refreshed.
func TestClockSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h health
		now := time.Now()
		h.refreshed(now, 2*time.Second)
		for _, test := range []struct {
			by              time.Duration
			stale, outdated bool
		}{
			{0, false, false}, {2 * time.Second, true, false}, {31 * time.Second, true, true},
			{-time.Second, false, false}, {-time.Hour, true, false},
		} {
			if stale, outdated := h.age(now.Add(test.by)); stale != test.stale || outdated != test.outdated {
				t.Errorf("%v later: stale %v, outdated %v, want %v, %v", test.by, stale, outdated, test.stale, test.outdated)
			}
		}
	})
}

// An instance that was alone still runs its trial when the store comes back
// and tells of another one's, which ends: it does not begin a second one.
func TestOwnTrialIsAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFleet(t, 1)
		cut := &scripted{inner: f.store}
		a := newInstance(t, "cut-off", cut)
		a.refresh()
		cut.do(always(unavailable))
		own := a.trial(t)
		f.instances[0].trial(t).Failure(500) // Open for 20 s.
		cut.do(nil)
		elapse(6 * time.Second)
		a.refresh()
		a.is(t, Open)
		elapse(14 * time.Second)
		if !a.d.View().Usable(time.Now()) {
			t.Fatal("void: not due")
		}
		a.refused(t)
		own.Success() // Of the past: it closes nothing.
		a.is(t, Open)
		a.trial(t)
	})
}

func TestClientThatLeavesSaysNothingAboutTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFleet(t, 1)
		a := f.instances[0]
		for range 10 {
			ctx, cancel := context.WithCancel(t.Context())
			leave := func(operation) { cancel() }
			f.store.before.Store(&leave)
			if _, ok := a.d.Admit(ctx); ok {
				t.Fatal("admitted")
			}
		}
		f.store.before.Store(nil)
		if n := f.store.count(get); n < 10 {
			t.Fatalf("void: %d reads, want at least 10", n)
		}
		if a.Degraded() {
			t.Error("degraded")
		}
		a.trial(t)
	})
}

func TestStoreDownEachInstanceIsAlone(t *testing.T) {
	for name, f := range map[string]fault{"unavailable": unavailable, "hangs": hang} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fl := openFleet(t, 3)
				fl.store.do(always(f))
				var passes []Pass
				for _, i := range fl.instances {
					start := time.Now()
					passes = append(passes, i.trial(t))
					if waited := time.Since(start); waited > 150*time.Millisecond {
						t.Errorf("%s waited %v for the store, want at most %v", i.instance, waited, 150*time.Millisecond)
					}
					if !i.Degraded() || i.count(EventDegraded, "") != 1 {
						t.Errorf("%s: degraded %v, events %+v", i.instance, i.Degraded(), i.happened())
					}
					start = time.Now()
					for range 100 {
						i.refused(t)
					}
					if waited := time.Since(start); waited != 0 {
						t.Errorf("%s waited %v more, want 0", i.instance, waited)
					}
				}
				passes[0].Success()
				passes[1].Failure(500)
				synctest.Wait()
				fl.instances[0].is(t, Closed)
				fl.instances[1].is(t, Open)
				fl.instances[2].is(t, HalfOpen)
				elapse(30 * time.Second)
				gets := fl.store.count(get)
				fl.instances[2].trial(t)
				if n := fl.store.count(get) - gets; n != 0 {
					t.Errorf("a claim asked the store %d times although it is down, want 0", n)
				}

				// Once the store is back they agree again.
				fl.store.do(nil)
				for range 5 {
					fl.refresh()
				}
				a := fl.instances[0].d.View()
				for _, i := range fl.instances[1:] {
					if got := i.d.View(); got.State != a.State {
						t.Errorf("%s: %+v, want State %v, but a: %+v", i.instance, got, a.State, a)
					}
				}
			})
		})
	}
}

func TestReadsWorkAndWritesFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFleet(t, 1)
		a := f.instances[0]
		f.store.do(func(o operation) fault {
			if o == write {
				return unavailable
			}
			return none
		})
		for range 5 {
			if pass, ok := a.d.Admit(t.Context()); ok {
				pass.Success()
				break
			}
			f.refresh()
		}
		a.is(t, Closed)
	})
}
