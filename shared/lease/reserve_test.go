package lease_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/lease"
	"spillway/shared/quota"
)

// TestSingleInstanceIsExact: with one instance a request that fits is granted and
// one that does not is refused, to the last unit, for every period.
func TestSingleInstanceIsExact(t *testing.T) {
	for _, p := range []quota.Period{quota.TenSeconds, quota.Minute, quota.Hour, quota.Day, quota.Week, quota.Month} {
		t.Run(p.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				l := w.engine(lease.Deny, nil).Limit("k", 1000, p)
				var used int64
				for i := range 400 {
					n := int64(i*7%23 + 1)
					if used+n > 1000 {
						reserve(t, l, n, lease.Full)
					} else {
						r := reserve(t, l, n, lease.Granted)
						actual := n * int64(i%3) / 2
						if used+actual <= 1000 {
							r.Settle(actual)
							used += actual
						} else {
							used += n
						}
					}
					if got := l.Headroom(); got != 1000-used {
						t.Fatalf("step %d: headroom %d, want %d", i, got, 1000-used)
					}
				}
				if rest := 1000 - used; rest > 0 {
					reserve(t, l, rest, lease.Granted)
				}
				reserve(t, l, 1, lease.Full)
				if got := w.row("k", p, 0).Granted; got != 1000 {
					t.Errorf("row granted %d, want 1000", got)
				}
			})
		})
	}
}

// TestEdgeWithWaiters: several hundred requests at once at a window's edge, on one
// instance with a store that takes 7 ms a call: exactly what fits is granted.
func TestEdgeWithWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.store.set(func(string) fault { return fault{delay: 7 * time.Millisecond} })
		l := w.engine(lease.Deny, nil).Limit("k", 2000, quota.Minute)
		for window := range 4 {
			granted, full := storm(t, l, sizes(300, 10))
			if granted != 2000 || len(full) != 100 {
				t.Fatalf("window %d: granted %d units, refused %d requests; want 2000 and 100", window, granted, len(full))
			}
			if row := w.row("k", quota.Minute, 0); row.Granted > row.Limit {
				t.Fatalf("row granted %d of %d", row.Granted, row.Limit)
			}
			pass(time.Until(l.Status().ResetAt))
		}
	})
}

// TestManyGoroutines: five hundred goroutines reserve and settle at once, window after
// window, with a store in memory. What each window's limit has left is to the unit
// what was not used, and no answer depends on luck.
func TestManyGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.engine(lease.Deny, nil).Limit("k", 3000, quota.Minute)
		for window := range 10 {
			if granted, full := storm(t, l, sizes(250, 8)); granted != 2000 || len(full) != 0 {
				t.Fatalf("window %d: granted %d, refused %d; all of 2000 fit", window, granted, len(full))
			}
			var group sync.WaitGroup
			for i := range 100 {
				group.Go(func() { // Each takes 10, and 5 in the end.
					r, v := l.Reserve(context.Background(), 10)
					if !v.OK() {
						t.Errorf("%v with room for all", v.Outcome)
					}
					if i%2 == 0 {
						r.Settle(0)
					} else {
						r.Settle(10)
					}
				})
			}
			group.Wait()
			if got := l.Headroom(); got != 500 {
				t.Fatalf("window %d: headroom %d, want 500", window, got)
			}
			if granted, full := storm(t, l, sizes(500, 3)); granted != 498 || len(full) != 500-166 {
				t.Fatalf("window %d: granted %d, refused %d; want 498 and 334", window, granted, len(full))
			}
			pass(time.Until(l.Status().ResetAt))
		}
	})
}

// TestMixedSizesFillTheLimit: whatever is refused did not fit, so that less is left
// than the smallest refused request.
func TestMixedSizesFillTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.store.set(func(string) fault { return fault{delay: 3 * time.Millisecond} })
		l := w.engine(lease.Deny, nil).Limit("k", 5000, quota.Minute)
		var all []int64
		for i := range 400 {
			all = append(all, int64(i*31%97+1))
		}
		granted, full := storm(t, l, all)
		if granted > 5000 {
			t.Fatalf("granted %d of 5000", granted)
		}
		for _, n := range full {
			if granted+n <= 5000 {
				t.Errorf("refused %d although only %d of 5000 are taken", n, granted)
			}
		}
	})
}

// TestFullUntilTheWindowEnds: a refusal says when there is room again, costs no
// further store call, and changes nothing.
func TestFullUntilTheWindowEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.engine(lease.Deny, nil).Limit("k", 100, quota.Minute)
		pass(13 * time.Second)
		reserve(t, l, 70, lease.Granted)
		before := w.row("k", quota.Minute, 0)
		w.store.count()
		for range 50 {
			_, v := l.Reserve(context.Background(), 31)
			if want := time.Date(2000, 1, 1, 0, 1, 0, 0, time.UTC); v.Outcome != lease.Full || !v.RetryAt.Equal(want) {
				t.Fatalf("got %v until %v, want full until %v", v.Outcome, v.RetryAt, want)
			}
		}
		if n := w.store.count(); n > 1 {
			t.Errorf("50 refusals took %d store calls", n)
		}
		if after := w.row("k", quota.Minute, 0); after != before {
			t.Errorf("a refused request changed the row: %+v, was %+v", after, before)
		}
		if got := l.Headroom(); got != 30 {
			t.Errorf("headroom %d, want 30", got)
		}
		reserve(t, l, 30, lease.Granted)
		pass(47 * time.Second)
		reserve(t, l, 100, lease.Granted)
	})
}

// TestExhaustedByOthers: what other instances took is not asked for again.
func TestExhaustedByOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.engine(lease.Deny, nil).Limit("k", 100, quota.Minute)
		b := w.engine(lease.Deny, nil).Limit("k", 100, quota.Minute)
		reserve(t, a, 90, lease.Granted)
		reserve(t, b, 20, lease.Full)
		w.store.count()
		reserve(t, b, 20, lease.Full)
		reserve(t, b, 11, lease.Full)
		if n := w.store.count(); n != 0 {
			t.Errorf("refusing again took %d store calls", n)
		}
		reserve(t, b, 10, lease.Granted)
	})
}

func TestTooLarge(t *testing.T) {
	w := newWorld(t)
	l := w.engine(lease.Deny, nil).Limit("k", 100, quota.Minute)
	for _, n := range []int64{101, 1 << 62, 1<<63 - 1} {
		if _, v := l.Reserve(context.Background(), n); v.Outcome != lease.TooLarge || !v.RetryAt.IsZero() {
			t.Errorf("Reserve(%d) is %+v", n, v)
		}
	}
	if n := w.store.count(); n != 0 {
		t.Errorf("%d store calls", n)
	}
	reserve(t, l, 100, lease.Granted)
}

// TestNothingToReserve: a request of no units is granted without the store, and
// what it then takes is a debt.
func TestNothingToReserve(t *testing.T) {
	w := newWorld(t)
	l := w.engine(lease.Deny, nil).Limit("k", 100, quota.Month)
	zero := reserve(t, l, 0, lease.Granted)
	negative := reserve(t, l, -5, lease.Granted)
	if n := w.store.count(); n != 0 || zero.Reserved() != 0 || negative.Reserved() != 0 {
		t.Fatalf("%d store calls, reserved %d and %d", n, zero.Reserved(), negative.Reserved())
	}
	zero.Settle(40)
	reserve(t, l, 61, lease.Full)
	reserve(t, l, 60, lease.Granted)
}

// TestWaiterCanLeave: a caller whose context ends gets nothing and takes nothing.
func TestWaiterCanLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.store.set(func(string) fault { return fault{delay: 20 * time.Millisecond} })
		l := w.engine(lease.Deny, nil).Limit("k", 100, quota.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if _, v := l.Reserve(ctx, 60); v.Outcome != lease.Canceled {
			t.Fatalf("got %v, want canceled", v.Outcome)
		}
		if _, v := l.Reserve(ctx, 60); v.Outcome != lease.Canceled {
			t.Fatalf("got %v, want canceled", v.Outcome)
		}
		reserve(t, l, 100, lease.Granted)
	})
}

// TestStatus: what clients are told, before any use and after.
func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.engine(lease.Deny, nil).Limit("k", 100, quota.Hour)
		pass(90 * time.Second)
		reset := time.Date(2000, 1, 1, 1, 0, 0, 0, time.UTC)
		if got, want := l.Status(), (lease.Status{Amount: 100, Remaining: 100, ResetAt: reset}); got != want {
			t.Errorf("unused: %+v, want %+v", got, want)
		}
		if n := w.store.count(); n != 0 {
			t.Errorf("status took %d store calls", n)
		}
		r := reserve(t, l, 30, lease.Granted)
		if got, want := l.Status(), (lease.Status{Amount: 100, Remaining: 70, ResetAt: reset}); got != want {
			t.Errorf("after 30: %+v, want %+v", got, want)
		}
		r.Settle(50)
		if got := l.Status().Remaining; got != 50 {
			t.Errorf("settled for 50: remaining %d, want 50", got)
		}
	})
}

// TestHeadroomCountsOthers: once the row was seen, what others took is gone.
func TestHeadroomCountsOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.engine(lease.Deny, nil).Limit("k", 100, quota.Minute)
		b := w.engine(lease.Deny, nil).Limit("k", 100, quota.Minute)
		reserve(t, a, 40, lease.Granted)
		if got := b.Headroom(); got != 100 {
			t.Errorf("never seen: headroom %d, want 100", got)
		}
		reserve(t, b, 10, lease.Granted)
		if got := b.Headroom(); got != 50 {
			t.Errorf("headroom %d, want 50", got)
		}
		pass(time.Minute)
		if got := b.Headroom(); got != 100 {
			t.Errorf("next window: headroom %d, want 100", got)
		}
	})
}
