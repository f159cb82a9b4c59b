package breaker

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

// The draws of these tests: the one most and the one least in favour of a
// request that is the last resort of its pool.
func luckiest(o *Options)   { o.Random = func(n uint64) uint64 { return n - 1 } }
func unluckiest(o *Options) { o.Random = func(uint64) uint64 { return 0 } }

func last(i *instance) (Pass, bool) { return i.d.AdmitLast(context.Background()) }

func TestAdmitLastOfClosedIsAdmit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newFleet(t, 1, unluckiest).instances[0]
		for range 4 {
			pass, ok := last(a)
			if !ok || pass.Trial() {
				t.Fatal("no ordinary pass")
			}
			pass.Failure(503)
		}
		pass, _ := last(a)
		pass.Failure(503)
		a.is(t, Open)
	})
}

func TestAdmitLastIsThrottledByWhatWasAccepted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newFleet(t, 1, unluckiest).instances[0]
		for range 10 {
			a.admit(t).Success()
		}
		a.breakDown(t)
		// 15 requests, 10 accepted: free until requests exceed 2 × 10.
		for n := range 6 {
			pass, ok := last(a)
			if !ok || pass.Trial() {
				t.Fatalf("request %d was refused", n)
			}
			pass.Failure(503)
		}
		if _, ok := last(a); ok {
			t.Error("admitted although most requests fail")
		}
		elapse(8 * time.Second)
		if _, ok := last(a); ok {
			t.Error("admitted although most requests of the last minute failed")
		}
		a.is(t, Open)
	})
}

func TestAdmitLastCountsRequestsThatHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newFleet(t, 1, unluckiest).instances[0]
		a.breakDown(t)
		if _, ok := last(a); ok {
			t.Error("admitted: five of five have failed")
		}
	})
}

func TestAdmitLastIsNeverCertainlyRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newFleet(t, 1, luckiest).instances[0]
		a.breakDown(t)
		for range 1000 {
			if _, ok := last(a); !ok {
				t.Fatal("refused by the most favourable draw")
			}
		}
	})
}

func TestAdmitLastSuccessInvitesATrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newFleet(t, 1, luckiest).instances[0]
		a.breakDown(t)
		pass, ok := last(a)
		if !ok || pass.Trial() {
			t.Fatal("no forced pass")
		}
		a.refused(t)
		before := a.d.facts
		pass.Success()
		a.is(t, Open)
		if !a.d.View().Usable(time.Now()) {
			t.Error("not usable")
		}
		a.trial(t).Failure(502)
		a.is(t, Open)
		if got := a.d.facts; !got.Until.Equal(before.Until) || got.Opens != before.Opens {
			t.Errorf("failed early: %+v, want the open time of %+v", got, before)
		}
		a.refused(t)
		pass, _ = last(a)
		pass.Success()
		a.trial(t).Success()
		a.is(t, Closed)
	})
}

func TestAdmitLastWhenDueIsTheTrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newFleet(t, 1, unluckiest).instances[0]
		a.breakDown(t)
		elapse(10 * time.Second)
		pass, ok := last(a)
		if !ok || !pass.Trial() {
			t.Error("no trial")
		}
	})
}

func TestAdmitLastAbandonedWasNoRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newFleet(t, 1, luckiest).instances[0]
		a.breakDown(t)
		before := a.d.demand.sum()
		pass, _ := last(a)
		pass.Abandon()
		if got := a.d.demand.sum(); got != before {
			t.Errorf("counted %+v, want %+v", got, before)
		}
	})
}

func TestRejection(t *testing.T) {
	for _, test := range []struct {
		requests, bad int64
		want          float64
	}{
		{0, 0, 0},
		{1, 1, 0.5},
		{10, 0, 0},
		{10, 5, 0},
		{10, 6, 2.0 / 11},
		{99, 99, 0.99},
	} {
		if got := rejection(tally{test.requests, test.bad}); math.Abs(got-test.want) > 1e-12 {
			t.Errorf("%d of %d bad: rejected with %v, want %v", test.bad, test.requests, got, test.want)
		}
	}
}
