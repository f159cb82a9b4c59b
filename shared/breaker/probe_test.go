package breaker

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func probe(i *instance) (Pass, bool) { return i.d.Probe(context.Background()) }

func TestProbeOfClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newFleet(t, 1).instances[0]
		if _, ok := probe(a); ok {
			t.Error("probed")
		}
	})
}

func TestProbeClosesEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2)
		a, b := f.instances[0], f.instances[1]
		a.breakDown(t)
		pass, ok := probe(a)
		if !ok || !pass.Trial() {
			t.Fatal("no trial")
		}
		b.refresh()
		if _, ok := probe(b); ok {
			t.Error("two probes at once")
		}
		pass.Success()
		f.refresh()
		a.is(t, Closed)
		b.is(t, Closed)
	})
}

// However many instances probe, there is one probe in five seconds; and one that fails
// leaves the open time as it was.
func TestProbeThatFailsLeavesTheOpenTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2)
		a, b := f.instances[0], f.instances[1]
		a.breakDown(t)
		synctest.Wait()
		b.refresh()
		before := a.d.View()
		for second := range 8 {
			elapse(time.Second)
			pass, ok := probe(f.instances[second%2])
			if ok != (second%5 == 0) {
				t.Errorf("second %d: probed: %v, want %v", second, ok, second%5 == 0)
			}
			if ok {
				pass.Failure(503)
			}
			synctest.Wait()
		}
		a.refresh()
		b.refresh()
		for _, i := range f.instances {
			if got := i.d.View(); got != before {
				t.Errorf("%s: %+v, want %+v", i.instance, got, before)
			}
		}
	})
}

func TestProbeDoesNotDisturbATrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFleet(t, 2)
		f.instances[0].trial(t)
		for _, i := range f.instances {
			if _, ok := probe(i); ok {
				t.Errorf("%s probed during a trial", i.instance)
			}
		}
	})
}

func TestProbeFindsThatItHasClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFleet(t, 2)
		f.instances[1].trial(t).Success()
		synctest.Wait()
		if _, ok := probe(f.instances[0]); ok {
			t.Error("probed a closed breaker")
		}
		f.instances[0].is(t, Closed)
	})
}
