package breaker

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// throttledFleet is a fleet whose deployment is throttled for a minute, known to
// all; three seconds of it are over.
func throttledFleet(t fatal, n int, change ...func(*Options)) *fleet {
	t.Helper()
	f := newFleet(t, n, change...)
	f.instances[0].admit(t).Throttled(time.Now().Add(time.Minute), 429)
	f.refresh()
	elapse(time.Second)
	for _, i := range f.instances {
		i.throttled(t, true)
	}
	return f
}

func (i *instance) throttled(t fatal, want bool) {
	t.Helper()
	if v := i.d.View(); v.Throttled(i.clock.Now()) != want || v.State == Closed && v.Usable(i.clock.Now()) == want {
		t.Fatalf("%s: throttled %v, want %v (%+v)", i.instance, !want, want, v)
	}
}

// lifting takes the pass of a probe of a throttled deployment, or fails.
func (i *instance) lifting(t fatal) Pass {
	t.Helper()
	pass, ok := probe(i)
	if !ok || pass.Trial() || !pass.Deadline().IsZero() {
		t.Fatalf("%s: no probe of the throttle (%+v)", i.instance, i.d.View())
	}
	return pass
}

func TestProbeLiftsTheThrottleEverywhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := throttledFleet(t, 3)
		a, b := f.instances[0], f.instances[1]
		pass := b.lifting(t)
		b.throttled(t, true)
		pass.Success()
		b.throttled(t, false)
		if got := b.count(EventLifted, ReasonProbeSucceeded); got != 1 {
			t.Errorf("b: events %+v", b.happened())
		}
		a.throttled(t, true)
		f.refresh()
		for _, i := range f.instances {
			i.throttled(t, false)
			if got := i.count(EventLifted, ""); got != 1 {
				t.Errorf("%s: events %+v", i.instance, i.happened())
			}
		}
		if row := f.row(t); !row.Throttle.End().IsZero() {
			t.Errorf("row %+v", row)
		}
	})
}

func TestProbesOfAThrottleAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := throttledFleet(t, 3)
		passes := 0
		for second := range 30 {
			for _, i := range f.instances {
				if pass, ok := probe(i); ok {
					passes++
					pass.Failure(500)
				}
			}
			if want := second/10 + 1; passes != want {
				t.Fatalf("%d probes in %d s, want %d", passes, second, want)
			}
			elapse(time.Second)
		}
	})
}

func TestProbesOfAThrottleAtTheSameMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := throttledFleet(t, 3)
		slow := func(operation) { <-time.After(10 * time.Millisecond) }
		f.store.before.Store(&slow)
		passes := make(chan Pass, 10)
		for _, i := range f.instances {
			go func() {
				if pass, ok := probe(i); ok {
					passes <- pass
				}
			}()
		}
		elapse(time.Second)
		if len(passes) != 1 {
			t.Errorf("%d probes, want 1", len(passes))
		}
	})
}

func TestThrottleThatIsNotProbed(t *testing.T) {
	for _, test := range []struct {
		name  string
		asked time.Duration
		wait  time.Duration
		want  bool
	}{
		{"long and not fresh", time.Minute, 3 * time.Second, true},
		{"fresh: a success might be older than the 429", time.Minute, 2 * time.Second, false},
		{"ends before the others would hear of it", 5 * time.Second, 3*time.Second + 1, false},
		{"short: it is local", 1900 * time.Millisecond, 0, false},
		{"over", 3 * time.Second, 4 * time.Second, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, 1)
				f.instances[0].admit(t).Throttled(time.Now().Add(test.asked), 429)
				elapse(test.wait)
				if _, ok := probe(f.instances[0]); ok != test.want {
					t.Errorf("probed: %v, want %v", ok, test.want)
				}
			})
		})
	}
}

func TestOutcomesOfAProbeThatLiftNothing(t *testing.T) {
	for _, test := range []struct {
		name    string
		outcome func(Pass)
		until   time.Duration // of the throttle, after the 429
	}{
		{"failure", func(p Pass) { p.Failure(503) }, time.Minute},
		{"abandoned", Pass.Abandon, time.Minute},
		{"throttled for less", func(p Pass) { p.Throttled(time.Now().Add(10*time.Second), 429) }, time.Minute},
		{"throttled for longer", func(p Pass) { p.Throttled(time.Now().Add(time.Minute), 429) }, time.Minute + 3*time.Second + time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				f := throttledFleet(t, 2)
				test.outcome(f.instances[0].lifting(t))
				f.refresh()
				for _, i := range f.instances {
					if got, want := i.d.View().ThrottledUntil, start.Add(test.until); !got.Equal(want) {
						t.Errorf("%s: throttled until %v, want %v", i.instance, got, want)
					}
				}
			})
		})
	}
}

func TestFailedProbesOfAThrottleOpenTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := throttledFleet(t, 1).instances[0]
		for range testTolerance.failures - 1 {
			a.admit(t).Failure(500)
		}
		a.lifting(t).Failure(500)
		a.is(t, Open)
	})
}

// While the probe is under way another instance gets a 429. The success lifts
// what was known before, and not that.
func TestNewerThrottleWinsOverALift(t *testing.T) {
	for _, order := range []string{"published before", "published after"} {
		t.Run(order+" the lift", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := throttledFleet(t, 3)
				a, b := f.instances[0], f.instances[1]
				pass := a.lifting(t)
				elapse(time.Second)
				newer := b.admit(t)
				if order == "published before" {
					newer.Throttled(time.Now().Add(time.Minute), 429)
					synctest.Wait()
					pass.Success()
				} else {
					pass.Success()
					synctest.Wait()
					newer.Throttled(time.Now().Add(time.Minute), 429)
				}
				want := b.d.View().ThrottledUntil
				f.refresh()
				f.refresh()
				for _, i := range f.instances {
					i.throttled(t, true)
					if got := i.d.View().ThrottledUntil; !got.Equal(want) {
						t.Errorf("%s: throttled until %v, want %v", i.instance, got, want)
					}
				}
			})
		})
	}
}

// What is short stays a matter of one instance: it does not revive what was
// lifted.
func TestShortThrottleAfterALift(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := throttledFleet(t, 2)
		a := f.instances[0]
		a.lifting(t).Success()
		synctest.Wait()
		until := time.Now().Add(500 * time.Millisecond)
		a.admit(t).Throttled(until, 429)
		if got := a.d.View().ThrottledUntil; !got.Equal(until) {
			t.Errorf("throttled until %v, want %v", got, until)
		}
		f.refresh()
		f.instances[1].throttled(t, false)
		a.throttled(t, false)
	})
}

func TestProbeOfAnOpenBreakerLiftsToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := throttledFleet(t, 2)
		a := f.instances[0]
		a.breakDown(t)
		pass, ok := probe(a)
		if !ok || !pass.Trial() {
			t.Fatal("no trial")
		}
		pass.Success()
		f.refresh()
		for _, i := range f.instances {
			i.is(t, Closed)
			i.throttled(t, false)
		}
	})
}

func TestProbeOfAThrottleAndTheStore(t *testing.T) {
	t.Run("down: each instance alone", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := throttledFleet(t, 2)
			f.store.do(always(unavailable))
			for range 3 {
				f.refresh()
			}
			for _, i := range f.instances {
				if !i.Degraded() {
					t.Fatal("void: not degraded")
				}
				gets := f.store.count(get)
				i.lifting(t).Success()
				i.throttled(t, false)
				if n := f.store.count(get) - gets; n != 0 {
					t.Errorf("asked the store %d times, want 0", n)
				}
			}
			f.store.do(nil)
			f.refresh()
			f.refresh()
			f.refresh()
			if row := f.row(t); !row.Throttle.End().IsZero() {
				t.Errorf("the lift was not published: %+v", row)
			}
		})
	})
	t.Run("slow: at most 150 ms", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := throttledFleet(t, 1)
			f.store.do(always(hang))
			start := time.Now()
			probe(f.instances[0])
			if waited := time.Since(start); waited > 150*time.Millisecond {
				t.Errorf("waited %v, want at most %v", waited, 150*time.Millisecond)
			}
		})
	})
	t.Run("lost answer: no probe, and none by others for a while", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := throttledFleet(t, 2)
			f.store.do(once(write, answerLost))
			for _, i := range f.instances {
				if _, ok := probe(i); ok {
					t.Errorf("%s probes", i.instance)
				}
			}
			elapse(10 * time.Second)
			f.instances[1].lifting(t)
		})
	})
	t.Run("conflict: decided anew", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			f := throttledFleet(t, 2)
			a, b := f.instances[0], f.instances[1]
			var overtaken bool
			overtake := func(o operation) {
				if o == write && !overtaken {
					overtaken = true
					b.lifting(t)
				}
			}
			f.store.before.Store(&overtake)
			if _, ok := a.d.Probe(context.Background()); ok || !overtaken {
				t.Errorf("probes beside another one: %v (overtaken: %v), want false, true", ok, overtaken)
			}
		})
	})
}
