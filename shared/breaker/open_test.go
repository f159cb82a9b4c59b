package breaker

import (
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

func TestOpenTime(t *testing.T) {
	for _, test := range []struct {
		opens  int64
		jitter float64
		want   time.Duration
	}{
		{1, 1, 10 * time.Second},
		{1, 0.9, 9 * time.Second},
		{1, 1.1, 11 * time.Second},
		{2, 1, 20 * time.Second},
		{29, 1, 290 * time.Second},
		{30, 1, 300 * time.Second},
		{30, 1.1, 300 * time.Second},
		{31, 1, 300 * time.Second},
		{maxOpens, 1.1, 300 * time.Second},
		{math.MaxInt64, 1.1, 300 * time.Second},
	} {
		t.Run(fmt.Sprintf("%d times %v", test.opens, test.jitter), func(t *testing.T) {
			if got := openTime(test.opens, test.jitter, &testRules); got.Round(time.Microsecond) != test.want {
				t.Errorf("open for %v, want %v", got, test.want)
			}
		})
	}
}

func TestOpenCountsItsOpenings(t *testing.T) {
	f := facts{trial: 7, nonce: "n", throttledUntil: after(3)}
	f = f.open(epoch0, 502, 1, &testRules)
	want := facts{
		state: Open, until: after(10), opens: 1, trial: 7, nonce: "n", throttledUntil: after(3), lastStatus: 502,
	}
	if f != want {
		t.Errorf("opened to %+v, want %+v", f, want)
	}
	f.opens = maxOpens
	if got := f.open(epoch0, 502, 1, &testRules).opens; got != maxOpens {
		t.Errorf("%d openings, want them bounded by %d", got, maxOpens)
	}
}

func TestClaimable(t *testing.T) {
	for _, test := range []struct {
		name        string
		f           facts
		second      float64
		usual, soon bool // an ordinary claim, an early one
	}{
		{"closed", facts{}, 100, false, false},
		{"open", facts{state: Open, until: after(10)}, 9.9, false, true},
		{"open and due", facts{state: Open, until: after(10)}, 10, true, true},
		{"half-open", facts{state: HalfOpen, until: after(30)}, 29.9, false, false},
		{"half-open, owner late", facts{state: HalfOpen, until: after(30)}, 30, true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			now := after(test.second)
			if got := test.f.claimable(now, false); got != test.usual {
				t.Errorf("claimable: %v, want %v", got, test.usual)
			}
			if got := test.f.claimable(now, true); got != test.soon {
				t.Errorf("early: %v, want %v", got, test.soon)
			}
		})
	}
}

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
			t.Errorf("%d reads while open", n)
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
