package lease_test

import (
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/lease"
	"spillway/shared/quota"
)

// TestPrefetch: under steady load, once the demand is known, no request waits for
// the store although every call takes 20 ms, and there are few calls.
func TestPrefetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.store.set(func(string) fault { return fault{delay: 20 * time.Millisecond} })
		l := w.engine(lease.Deny, nil).Limit("k", 10_000_000, quota.Hour)
		for range 500 { // Five seconds to learn the demand.
			reserve(t, l, 100, lease.Granted)
			pass(10 * time.Millisecond)
		}
		w.store.count()
		for range 5000 {
			if v, took := timed(l, 100); v.Outcome != lease.Granted || took != 0 {
				t.Fatalf("%v after %v", v.Outcome, took)
			}
			pass(10 * time.Millisecond)
		}
		if n := w.store.count(); n == 0 || n > 50 {
			t.Errorf("%d store calls for 5,000 requests, want 1 to 50", n)
		}
	})
}

// TestPrefetchHidesNothing: at the end of a limit, with load and prefetch, the last
// unit is still granted.
func TestPrefetchHidesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.store.set(func(string) fault { return fault{delay: 20 * time.Millisecond} })
		l := w.engine(lease.Deny, nil).Limit("k", 100_000, quota.Hour)
		for range 1000 {
			reserve(t, l, 100, lease.Granted)
			pass(10 * time.Millisecond)
		}
		reserve(t, l, 1, lease.Full)
	})
}

// TestIdleLimitTakesNothingAhead: a request now and then is no reason to hold units
// that others could use.
func TestIdleLimitTakesNothingAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.engine(lease.Deny, nil).Limit("k", 100_000, quota.Minute)
		for range 20 {
			reserve(t, l, 100, lease.Granted)
			if got := w.row("k", quota.Minute, 0); got.Granted%100 != 0 || got.NextGranted != 0 || got.Granted > 500 {
				t.Fatalf("row granted %d, ahead %d", got.Granted, got.NextGranted)
			}
			pass(20 * time.Second)
		}
	})
}

// TestNextWindowIsTakenEarly: under load the next window's first units are taken at
// a random moment in the second half of the minute, so that the edge costs nobody a
// wait, and they are not spent before.
func TestNextWindowIsTakenEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.store.set(func(string) fault { return fault{delay: 20 * time.Millisecond} })
		l := w.engine(lease.Deny, nil).Limit("k", 1_000_000, quota.Minute)
		taken := 0
		for range 3 {
			for i := range 600 {
				v, took := timed(l, 100)
				if v.Outcome != lease.Granted {
					t.Fatal(v)
				}
				if i == 0 && taken > 0 && took != 0 {
					t.Errorf("the first request of the window waited %v", took)
				}
				row := w.row("k", quota.Minute, 0)
				if second := time.Now().Second(); row.Window != quota.Minute.Window(time.Now()) {
					// Still as the last window left it.
				} else if row.NextGranted > 0 {
					taken++
					if second < 30 {
						t.Fatalf("units of the next window taken in second %d", second)
					}
				} else if second >= 58 {
					t.Fatalf("second %d and nothing taken ahead", second)
				}
				pass(100*time.Millisecond - took)
			}
			pass(time.Until(time.Now().Truncate(time.Minute).Add(time.Minute)) % time.Minute)
		}
		if taken == 0 {
			t.Error("no units were ever taken ahead")
		}
	})
}

// TestTakenAheadCountsInItsWindow: units taken early are part of the next window's
// limit, to the last one.
func TestTakenAheadCountsInItsWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.engine(lease.Deny, nil).Limit("k", 6000, quota.Minute)
		for window := range 4 {
			granted := 0
			for range 1200 { // Twice the limit.
				if _, v := l.Reserve(t.Context(), 10); v.OK() {
					granted += 10
				}
				pass(50 * time.Millisecond)
			}
			if granted != 6000 {
				t.Errorf("window %d: granted %d, want 6000", window, granted)
			}
		}
	})
}

// TestEarlyUnitsAreSplitFairly: two instances under load both start the next window
// with units, and the limit holds.
func TestEarlyUnitsAreSplitFairly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.engine(lease.Deny, nil).Limit("k", 60_000, quota.Minute)
		b := w.engine(lease.Deny, nil).Limit("k", 60_000, quota.Minute)
		// load runs both at twice the limit until a second of the clock's minute.
		load := func(minute, second int) (byA, byB int64) {
			end := time.Date(2000, 1, 1, 0, minute, second, 0, time.UTC)
			for time.Now().Before(end) {
				if _, v := a.Reserve(t.Context(), 50); v.OK() {
					byA += 50
				}
				if _, v := b.Reserve(t.Context(), 50); v.OK() {
					byB += 50
				}
				pass(min(50*time.Millisecond, time.Until(end)))
			}
			return byA, byB
		}
		load(1, 0)
		w.store.set(func(string) fault { return down })
		byA, byB := load(1, 1)
		if byA == 0 || byB == 0 {
			t.Errorf("with the store down right at the edge a spends %d and b %d, want both something", byA, byB)
		}
		granted := byA + byB
		w.store.set(nil)
		byA, byB = load(2, 0)
		if granted += byA + byB; granted > 60_000 || granted < 59_000 {
			t.Errorf("granted %d of 60000", granted)
		}
	})
}

// TestAheadIsRecalledAfterTheEdge: the answer to the write that took units ahead is
// lost, and what became of it is found out only when the next request comes, in the
// window that the units are for. What the row had left of the window before says
// nothing about this one.
func TestAheadIsRecalledAfterTheEdge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.engine(lease.Deny, nil).Limit("k", 1000, quota.Minute)
		for second := range 59 {
			if second < 25 {
				reserve(t, l, 40, lease.Granted)
			} else { // Those who are refused now will be back.
				w.store.set(func(call string) fault { return fault{lose: call == "replace"} })
				reserve(t, l, 40, lease.Full)
			}
			pass(time.Second)
		}
		w.store.set(nil)
		if got := w.row("k", quota.Minute, 0); got.NextGranted == 0 {
			t.Fatal("nothing was taken ahead: the test tests nothing")
		}
		pass(2 * time.Second)
		reserve(t, l, 1, lease.Granted)
		if got := l.Headroom(); got != 999 {
			t.Errorf("headroom %d, want 999", got)
		}
	})
}
