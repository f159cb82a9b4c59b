package lease_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/lease"
	"spillway/shared/quota"
	"spillway/shared/store"
)

// TestConflictStorm: a row that others always write first ends in "contended" after
// at most 150 ms, which is no outage: nothing is granted, and it is over at once
// when the storm is.
func TestConflictStorm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.engine(lease.Allow, nil).Limit("k", 100, quota.Minute)
		w.store.set(func(call string) fault {
			if call == "get" {
				return fault{delay: 5 * time.Millisecond}
			}
			return fault{delay: 5 * time.Millisecond, drop: store.ErrConflict}
		})
		var group sync.WaitGroup
		for range 50 {
			group.Go(func() {
				begin := time.Now()
				_, v := l.Reserve(context.Background(), 10)
				took := time.Since(begin)
				if v.Outcome != lease.Contended || took > longest {
					t.Errorf("%v after %v, want contended within %v", v.Outcome, took, longest)
				}
				if wait := time.Until(v.RetryAt); wait <= 0 || wait > time.Second {
					t.Errorf("retry in %v", wait)
				}
			})
		}
		group.Wait()
		if n := w.log.count(lease.EventDegraded); n != 0 {
			t.Errorf("a contended row was taken for an outage")
		}
		w.store.set(nil)
		pass(time.Second)
		reserve(t, l, 100, lease.Granted)
	})
}

// TestConflictOfLongAgo: a store that is slow is taken for slow, and the policy
// decides, although the last write before, of which nobody waited for the end, met a
// conflict.
func TestConflictOfLongAgo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.engine(lease.Allow, nil).Limit("k", 100, quota.Minute)
		w.store.set(func(call string) fault {
			if call == "get" {
				return fault{}
			}
			return fault{drop: store.ErrConflict}
		})
		reserve(t, l, 10, lease.Contended)
		pass(time.Second)
		w.store.set(func(string) fault { return fault{delay: 100 * time.Millisecond} })
		reserve(t, l, 10, lease.Unmetered)
		pass(time.Second) // The call ends.
	})
}

// TestWorkAheadGivesUp: when nobody waits, a contended row is left alone after a few
// tries.
func TestWorkAheadGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.engine(lease.Deny, nil).Limit("k", 10_000_000, quota.Minute)
		for range 250 {
			reserve(t, l, 100, lease.Granted)
			pass(100 * time.Millisecond)
		}
		w.store.count()
		w.store.set(func(call string) fault {
			if call == "replace" {
				return fault{drop: store.ErrConflict}
			}
			return fault{}
		})
		for range 330 { // Until second 58: the time to take the next window's units.
			if _, v := l.Reserve(t.Context(), 1); !v.OK() {
				t.Fatal(v)
			}
			pass(100 * time.Millisecond)
		}
		if n := w.store.count(); n == 0 || n > 40 {
			t.Errorf("%d store calls, want 1 to 40", n)
		}
	})
}

// TestManyInstances: twenty instances on one limit, with a store that takes 7 ms a
// call, grant no more than the limit together and at least 98 % of it, at few store
// calls; when one answer in fifty is lost, still no more.
func TestManyInstances(t *testing.T) {
	for _, c := range []struct {
		name  string
		loss  uint64 // One write in so many loses its answer; 0: none.
		fixed int64  // The size of every request; 0: up to 1 % of the limit.
		least int64  // Units granted in each window, of 100,000.
	}{
		{"mixed sizes", 0, 0, 98_000},
		{"each 1 % of the limit", 0, 1000, 98_000},
		{"each 0.4 % of the limit", 0, 400, 98_000},
		{"lost answers", 50, 0, 90_000},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.store.set(func(call string) fault {
					lose := call != "get" && c.loss > 0 && w.random(c.loss) == 0
					return fault{delay: 7 * time.Millisecond, lose: lose}
				})
				requests, granted := w.saturate(20, 100_000, 3, c.fixed)
				calls := w.store.count()
				for window, n := range granted {
					if n > 100_000 || n < c.least {
						t.Errorf("window %v: granted %d, want %d to 100000", window, n, c.least)
					}
				}
				if len(granted) != 3 || calls*10 > requests {
					t.Errorf("%d windows, %d store calls for %d requests", len(granted), calls, requests)
				}
				t.Logf("%d requests, %d store calls, %d conflicts, %d units lost, granted %v", requests, calls,
					w.log.count(lease.EventConflict), w.log.units(lease.EventLost), granted)
			})
		})
	}
}

// saturate runs instances far above the limit of units a minute, with requests of
// one size or of up to 1 % of the limit, and returns what was granted in each window.
func (w *world) saturate(instances int, limit int64, minutes int, fixed int64) (requests int, granted map[int64]int64) {
	granted = make(map[int64]int64)
	var mu sync.Mutex
	var group sync.WaitGroup
	for range instances {
		l := w.engine(lease.Deny, nil).Limit("k", limit, quota.Minute)
		group.Go(func() {
			for {
				pass(time.Duration(w.random(uint64(300 * time.Millisecond))))
				if time.Now().Minute() >= minutes {
					return
				}
				n := fixed
				if n == 0 {
					n = int64(w.random(uint64(limit/100))) + 1
				}
				_, v := l.Reserve(context.Background(), n)
				mu.Lock()
				requests++
				if v.OK() {
					granted[l.Status().ResetAt.Unix()] += n
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	pass(time.Second)
	delete(granted, time.Date(2000, 1, 1, 0, minutes+1, 0, 0, time.UTC).Unix()) // A last request over the edge.
	return requests, granted
}

// TestBehindTheRow: an instance whose clock is behind adopts the row's window and
// never moves it back.
func TestBehindTheRow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		pass(30 * time.Second)
		ahead := w.engine(lease.Deny, skewed(31*time.Second)).Limit("k", 100, quota.Minute)
		behind := w.engine(lease.Deny, nil).Limit("k", 100, quota.Minute)
		reserve(t, behind, 10, lease.Granted)
		reserve(t, ahead, 60, lease.Granted)
		row := w.row("k", quota.Minute, 0)
		reserve(t, behind, 80, lease.Full) // 30 more of this window would have fit.
		if got := behind.Status().ResetAt; !got.Equal(quota.Minute.End(row.Window)) {
			t.Errorf("window ends at %v, want the row's %v", got, quota.Minute.End(row.Window))
		}
		reserve(t, behind, 40, lease.Granted)
		after := w.row("k", quota.Minute, 0)
		if after.Window != row.Window || after.Granted != 100 {
			t.Errorf("row %+v, was %+v", after, row)
		}
		pass(31 * time.Second)
		reserve(t, behind, 1, lease.Full)
		pass(time.Minute)
		reserve(t, behind, 100, lease.Granted)
	})
}

// TestRowFarAhead: a row that is two minutes ahead keeps nobody waiting for two minutes:
// when it moves on, those who adopted it follow.
func TestRowFarAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		pass(time.Second)
		ahead := w.engine(lease.Deny, skewed(2*time.Minute)).Limit("k", 100, quota.Minute)
		behind := w.engine(lease.Deny, nil).Limit("k", 100, quota.Minute)
		reserve(t, ahead, 60, lease.Granted)
		for range 5 {
			reserve(t, behind, 40, lease.Granted)
			reserve(t, behind, 1, lease.Full)
			pass(time.Minute)
			reserve(t, ahead, 60, lease.Granted)
		}
	})
}

// TestLimitChanges: a cut acts at once for all, a raise at the next window.
func TestLimitChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine(lease.Deny, nil)
		l := e.Limit("k", 100, quota.Minute)
		reserve(t, l, 10, lease.Granted)
		if e.Limit("k", 50, quota.Minute) != l {
			t.Fatal("another limit for the same key and period")
		}
		reserve(t, l, 41, lease.Full)
		reserve(t, l, 40, lease.Granted)
		e.Limit("k", 200, quota.Minute)
		if got := l.Amount(); got != 200 {
			t.Errorf("amount %d, want 200", got)
		}
		reserve(t, l, 1, lease.Full)
		pass(time.Minute)
		reserve(t, l, 50, lease.Granted) // The row learns of the raise here…
		pass(time.Minute)
		reserve(t, l, 200, lease.Granted) // …and follows at its edge.
		reserve(t, l, 1, lease.Full)
	})
}

// TestRaiseThatNobodyCouldWaitFor: a row learned of a raise by the first request that it
// could serve. Where each needed more than the limit had been, or it had been nothing, there
// was none, and all were refused, window after window.
func TestRaiseThatNobodyCouldWaitFor(t *testing.T) {
	for _, local := range []bool{false, true} {
		for _, before := range []int64{0, 1} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.local = local
				e := w.engine(lease.Deny, nil)
				first := reserve(t, e.Limit("k", 50, quota.Minute), 50, lease.Granted)
				l := e.Limit("k", before, quota.Minute)
				first.Settle(0)
				e.GiveBack(t.Context()) // The row learns of the cut.
				pass(time.Minute)
				e.Limit("k", 50, quota.Minute)
				reserve(t, l, 50, lease.Full)
				w.store.count()
				reserve(t, l, 50, lease.Full)
				if calls := w.store.count(); calls > 0 {
					t.Errorf("who is told that there is no room asks the store %d times again", calls)
				}
				pass(time.Minute)
				reserve(t, l, 50, lease.Granted)
			})
		}
	}
}
