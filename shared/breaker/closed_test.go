package breaker

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/store/memory"
)

func TestClosedCountsFailures(t *testing.T) {
	ok := func(n int) string { return strings.Repeat("+", n) }
	bad := func(n int) string { return strings.Repeat("-", n) }
	for _, test := range []struct {
		name     string
		outcomes string // + success, - failure, . a second passes
		want     Reason // at the last outcome
	}{
		{"four in a row are not enough", bad(4), ""},
		{"five in a row open", bad(5), ReasonConsecutive},
		{"five in a row open however slowly they come", "-" + strings.Repeat(strings.Repeat(".", 60)+"-", 4), ReasonConsecutive},
		{"a success ends the run", bad(4) + ok(1) + bad(4), ""},
		{"half of twenty opens", strings.Repeat("+-", 10), ReasonRatio},
		{"half of nineteen does not", strings.Repeat("-+", 9) + "-", ""},
		{"less than half of twenty-two does not", ok(2) + strings.Repeat("+-", 10), ""},
		{"failures of a past interval do not count", strings.Repeat("-+", 9) + strings.Repeat(".", 10) + "-", ""},
		{"successes of a past interval do not hide failures", ok(1000) + strings.Repeat(".", 10) + strings.Repeat("+-", 10), ReasonRatio},
	} {
		t.Run(test.name, func(t *testing.T) {
			var c closed
			now := epoch0
			var got Reason
			for i, outcome := range test.outcomes {
				if got != "" {
					t.Fatalf("opened (%v) before outcome %d of %q", got, i, test.outcomes)
				}
				switch outcome {
				case '+':
					c.succeed(now, testTolerance)
				case '-':
					got = c.fail(now, testTolerance)
				case '.':
					now = now.Add(time.Second)
				}
			}
			if got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestClosedAdmitsWithoutTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		a := f.instances[0]
		for range 100 {
			a.admit(t).Success()
		}
		for range 4 {
			a.admit(t).Failure(503)
		}
		a.admit(t).Throttled(time.Now().Add(time.Second), 429)
		a.admit(t).Abandon()
		synctest.Wait()
		a.is(t, Closed)
		if n := f.store.count(get) + f.store.count(write) + f.store.count(query); n != 0 {
			t.Errorf("%d store operations, want 0", n)
		}
	})
}

func TestClosedPathDoesNotAllocate(t *testing.T) {
	a := newInstance(t, "a", memory.New())
	if n := testing.AllocsPerRun(1000, func() {
		pass, ok := a.d.Admit(t.Context())
		if !ok || pass.Trial() || !pass.Deadline().IsZero() {
			t.Fatal("not an ordinary pass")
		}
		pass.Success()
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func TestThrottleIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newFleet(t, 1).instances[0]
		until := time.Now().Add(300 * time.Millisecond)
		for range 50 {
			a.admit(t).Throttled(until, 429)
		}
		a.is(t, Closed)
		v := a.d.View()
		if !v.ThrottledUntil.Equal(until) || v.LastStatus != 429 {
			t.Errorf("view %+v, want throttled until %v", v, until)
		}
		if v.Usable(time.Now()) || !v.Usable(until) {
			t.Error("usable while throttled, or not usable afterwards")
		}
		if n := a.count(EventThrottled, ReasonAnswer); n != 1 {
			t.Errorf("%d throttle events, want 1", n)
		}
	})
}

func TestThrottleIsCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newFleet(t, 1).instances[0]
		a.admit(t).Throttled(time.Now().Add(86_400*time.Second), 429)
		if got, want := a.d.View().ThrottledUntil, time.Now().Add(time.Minute); !got.Equal(want) {
			t.Errorf("throttled until %v, want %v", got, want)
		}
		// A shorter one that comes later does not shorten it.
		a.admit(t).Throttled(time.Now().Add(time.Second), 429)
		if got, want := a.d.View().ThrottledUntil, time.Now().Add(time.Minute); !got.Equal(want) {
			t.Errorf("throttled until %v, want %v", got, want)
		}
	})
}

// A slow request that was admitted long ago speaks of the past: whatever becomes
// of it, the breaker has moved on.
func TestOutcomeOfAnOlderStateIsIgnored(t *testing.T) {
	outcomes := map[string]func(Pass){
		"success": Pass.Success,
		"failure": func(p Pass) { p.Failure(503) },
		"abandon": Pass.Abandon,
	}
	for name, outcome := range outcomes {
		t.Run(name+" after opening", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newFleet(t, 1).instances[0]
				slow := a.admit(t)
				a.breakDown(t)
				before := a.d.View()
				outcome(slow)
				synctest.Wait()
				if got := a.d.View(); got != before {
					t.Errorf("view became %+v, was %+v", got, before)
				}
			})
		})
		t.Run(name+" after closing again", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newFleet(t, 1).instances[0]
				var slow []Pass
				for range 2 * testTolerance.failures {
					slow = append(slow, a.admit(t))
				}
				a.breakDown(t)
				elapse(10 * time.Second)
				a.trial(t).Success()
				for _, pass := range slow {
					outcome(pass)
				}
				a.is(t, Closed)
			})
		})
	}
	t.Run("but a throttle is a fact of its own", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			a := newFleet(t, 1).instances[0]
			slow := a.admit(t)
			a.breakDown(t)
			slow.Throttled(time.Now().Add(30*time.Second), 429)
			a.is(t, Open)
			if got, want := a.d.View().ReadyAt(time.Now()), time.Now().Add(30*time.Second); !got.Equal(want) {
				t.Errorf("ready at %v, want %v", got, want)
			}
		})
	})
}

func TestZeroPassIsHarmless(t *testing.T) {
	var p Pass
	p.Success()
	p.Failure(500)
	p.Throttled(time.Now(), 429)
	p.Abandon()
	if p.Trial() || !p.Deadline().IsZero() {
		t.Error("the zero pass is a trial")
	}
}

func TestViewTellsTheLastStatus(t *testing.T) {
	a := newInstance(t, "a", memory.New())
	for _, status := range []int{500, 0, 502} {
		a.admit(t).Failure(status)
		if got := a.d.View().LastStatus; got != status {
			t.Errorf("last status %d, want %d", got, status)
		}
	}
}

// Two goroutines may read the time in one order and count in the other.
func TestWindowBearsTimesOutOfOrder(t *testing.T) {
	var w window
	w.at(after(0), 10*time.Second).total++
	w.at(after(-0.001), 10*time.Second).total++
	if got := w.sum().total; got != 2 {
		t.Errorf("counted %d, want 2", got)
	}
}

func TestWindowForgets(t *testing.T) {
	for _, test := range []struct {
		second float64
		want   int64 // of one count at second 0, in a window of 10 s
	}{{0, 1}, {4.9, 1}, {5, 1}, {9.9, 1}, {10, 0}, {1e6, 0}, {-3600, 0}} {
		t.Run(fmt.Sprint(test.second), func(t *testing.T) {
			var w window
			w.at(after(0), 10*time.Second).total++
			w.at(after(test.second), 10*time.Second)
			if got := w.sum().total; got != test.want {
				t.Errorf("holds %d, want %d", got, test.want)
			}
		})
	}
}

func TestEveryOutcomeIsConcurrencySafe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2)
		for k := range 200 {
			for _, i := range f.instances {
				go func() {
					i.arrive(context.Background())
					pass, ok := i.d.AdmitLast(context.Background())
					if !ok {
						return
					}
					switch k % 4 {
					case 0:
						pass.Success()
					case 1:
						pass.Failure(500)
					case 2:
						pass.Throttled(time.Now().Add(time.Minute), 429)
					case 3:
						pass.Abandon()
					}
				}()
			}
		}
		synctest.Wait()
		f.refresh()
		a, b := f.instances[0].d.facts, f.instances[1].d.facts
		if a.State != b.State || !a.Until.Equal(b.Until) || a.Throttle != b.Throttle {
			t.Errorf("the instances disagree: %+v and %+v", a, b)
		}
	})
}
