package breaker

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestViewUsable(t *testing.T) {
	for _, test := range []struct {
		name  string
		v     View
		ready float64 // seconds after now at which it is usable
	}{
		{"closed", View{}, 0},
		{"throttled", View{ThrottledUntil: after(3)}, 3},
		{"throttle is over", View{ThrottledUntil: after(-3)}, 0},
		{"open", View{State: Open, OpenUntil: after(10)}, 10},
		{"due", View{State: Open, OpenUntil: after(0)}, 0},
		{"open and throttled for longer", View{State: Open, OpenUntil: after(10), ThrottledUntil: after(40)}, 40},
		{"open and throttled for less", View{State: Open, OpenUntil: after(10), ThrottledUntil: after(4)}, 10},
		{"half-open", View{State: HalfOpen, OpenUntil: after(30)}, 30},
		{"half-open, owner late", View{State: HalfOpen, OpenUntil: after(-1)}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			ready := test.v.ReadyAt(epoch0)
			if want := after(test.ready); !ready.Equal(want) {
				t.Errorf("ready at %v, want %v", ready, want)
			}
			if got, want := test.v.Usable(epoch0), test.ready == 0; got != want {
				t.Errorf("usable: %v, want %v", got, want)
			}
			if !test.v.Usable(ready) || test.ready > 0 && test.v.Usable(ready.Add(-1)) {
				t.Error("ReadyAt is not the first moment at which it is usable")
			}
		})
	}
}

func TestOpenRefusesWithoutTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		a := f.instances[0]
		a.breakDown(t)
		gets := f.store.count(get)
		elapse(9*time.Second + 999*time.Millisecond)
		for range 100 {
			a.refused(t)
		}
		if n := f.store.count(get) - gets; n != 0 {
			t.Errorf("%d reads while open, want 0", n)
		}
		elapse(time.Millisecond)
		a.trial(t)
	})
}

func TestRatioOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newFleet(t, 1).instances[0]
		for range 10 {
			a.admit(t).Success()
			a.admit(t).Failure(500)
		}
		a.is(t, Open)
		if a.count(EventOpened, ReasonRatio) != 1 {
			t.Errorf("events %+v", a.happened())
		}
	})
}
