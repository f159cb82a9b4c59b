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

// longest is the longest a request may wait for the store.
const longest = 150 * time.Millisecond

// timed reserves and returns how long it took.
func timed(l *lease.Limit, n int64) (lease.Verdict, time.Duration) {
	begin := time.Now()
	_, v := l.Reserve(context.Background(), n)
	return v, time.Since(begin)
}

// TestHangingStore: the first request waits at most 150 ms, all others nothing,
// none is refused because of it.
func TestHangingStore(t *testing.T) {
	for _, f := range map[string]fault{"obeys its context": {delay: time.Hour}, "obeys nothing": {deaf: time.Minute}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			e := w.engine(lease.Allow, nil)
			if e.Degraded() {
				t.Error("degraded before the first call")
			}
			w.store.set(func(string) fault { return f })
			v, took := timed(e.Limit("a", 100, quota.Minute), 10)
			if v.Outcome != lease.Unmetered || took > longest {
				t.Errorf("first: %v after %v", v.Outcome, took)
			}
			for _, key := range []string{"a", "b", "c"} {
				v, took := timed(e.Limit(key, 100, quota.Minute), 10)
				if v.Outcome != lease.Unmetered || took != 0 {
					t.Errorf("limit %s: %v after %v, want unmetered at once", key, v.Outcome, took)
				}
			}
			if n := w.log.count(lease.EventDegraded); n != 1 || !e.Degraded() {
				t.Errorf("degraded %d times, want 1; Degraded is %v", n, e.Degraded())
			}
			pass(time.Hour)
		})
	}
}

// TestManyWaitOnAHangingStore: all who meet the outage together wait at most 150 ms.
func TestManyWaitOnAHangingStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.store.set(func(string) fault { return fault{delay: time.Hour} })
		e := w.engine(lease.Allow, nil)
		var group sync.WaitGroup
		for i := range 300 {
			group.Go(func() {
				key := string(rune('a' + i%26))
				if v, took := timed(e.Limit(key, 10000, quota.Minute), 10); v.Outcome != lease.Unmetered || took > longest {
					t.Errorf("%v after %v", v.Outcome, took)
				}
			})
		}
		group.Wait()
	})
}

// TestPolicies: what each policy grants while the store is down, of a limit of 100
// of which two instances hold 10 each.
func TestPolicies(t *testing.T) {
	for _, c := range []struct {
		policy  lease.Policy
		granted int64 // By one instance, its 10 included.
		then    lease.Outcome
	}{
		{lease.Allow, 100, lease.Full},
		{lease.FairShare, 50, lease.Refused},
		{lease.Deny, 10, lease.Refused},
	} {
		t.Run(c.policy.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.engine(c.policy, nil).Limit("k", 100, quota.Minute).Reserve(t.Context(), 10)
				l := w.engine(c.policy, nil).Limit("k", 100, quota.Minute)
				reserve(t, l, 10, lease.Granted)
				w.store.set(func(string) fault { return down })
				granted := int64(10)
				var last lease.Verdict
				for range 30 {
					v, took := timed(l, 5)
					if took > longest {
						t.Fatalf("waited %v", took)
					}
					if last = v; v.OK() {
						granted += 5
					}
				}
				if granted != c.granted || last.Outcome != c.then {
					t.Errorf("granted %d, then %v; want %d, then %v", granted, last.Outcome, c.granted, c.then)
				}
				if last.RetryAt.Before(time.Now()) {
					t.Errorf("retry at %v, which is past", last.RetryAt)
				}
				if got := w.log.units(lease.EventUnmetered); got != c.granted-10 {
					t.Errorf("%d units reported as unmetered, want %d", got, c.granted-10)
				}
			})
		})
	}
}

// TestFairShareOfWhatIsLeft: an instance takes its part of what the row had left, and
// not of what others hold. (Each once granted up to an even part of the whole limit: 150
// of these 100.) It is no exact bound, since each may have seen another row.
func TestFairShareOfWhatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.engine(lease.FairShare, nil).Limit("k", 100, quota.Minute)
		b := w.engine(lease.FairShare, nil).Limit("k", 100, quota.Minute)
		reserve(t, a, 80, lease.Granted) // Saw 20 left, for itself alone.
		reserve(t, b, 10, lease.Granted) // Saw 10 left, for two.
		w.store.set(func(string) fault { return down })
		for l, want := range map[*lease.Limit]int64{a: 20, b: 5} {
			granted := int64(0)
			for range 100 {
				if _, v := l.Reserve(t.Context(), 1); v.OK() {
					granted++
				}
			}
			if granted != want {
				t.Errorf("granted %d without the store, want %d", granted, want)
			}
		}
	})
}

// TestNeverSeen: without ever having seen the row there is no share to be fair with.
func TestNeverSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.store.set(func(string) fault { return down })
		l := w.engine(lease.FairShare, nil).Limit("k", 100, quota.Minute)
		reserve(t, l, 1, lease.Refused)
	})
}

// TestLiveLeaseGoesOn: units that were granted stay spendable in an outage, under
// every policy and without delay.
func TestLiveLeaseGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.engine(lease.Deny, nil).Limit("k", 100, quota.Minute)
		r := reserve(t, l, 80, lease.Granted)
		r.Settle(0)
		w.store.set(func(string) fault { return down })
		for range 8 {
			if v, took := timed(l, 10); v.Outcome != lease.Granted || took != 0 {
				t.Errorf("%v after %v", v.Outcome, took)
			}
		}
		reserve(t, l, 10, lease.Refused)
	})
}

// TestRecovery: when the store is back, one trial finds out within five seconds,
// and what was granted unmetered in this window is debited.
func TestRecovery(t *testing.T) {
	for _, policy := range []lease.Policy{lease.Allow, lease.FairShare, lease.Deny} {
		t.Run(policy.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				e := w.engine(policy, nil)
				l := e.Limit("k", 1000, quota.Minute)
				reserve(t, l, 10, lease.Granted)
				w.store.set(func(string) fault { return down })
				used := int64(10)
				for range 5 {
					if _, v := l.Reserve(t.Context(), 100); v.OK() {
						used += 100
					}
				}
				w.store.set(nil)
				w.store.count()
				if _, v := l.Reserve(t.Context(), 1); v.OK() {
					used++
				}
				if n := w.store.count(); n != 0 {
					t.Errorf("%d store calls while the store is out of the request path", n)
				}
				pass(5 * time.Second)
				if _, v := l.Reserve(t.Context(), 1); v.OK() {
					used++
				} else if policy == lease.Deny {
					t.Errorf("the trial request is %v, want granted", v.Outcome)
				}
				synctest.Wait()
				if n := w.log.count(lease.EventRecovered); n != 1 {
					t.Fatalf("recovered %d times, want 1", n)
				}
				reserve(t, l, 5, lease.Granted)
				used += 5
				if row := w.row("k", quota.Minute, 0); row.Granted < used || row.Granted > row.Limit {
					t.Errorf("row granted %d, used %d of %d", row.Granted, used, row.Limit)
				}
				reserve(t, l, 1000-used+1, lease.Full)
				reserve(t, l, 1000-used, lease.Granted)
			})
		})
	}
}

// TestTrialFails: while the store stays down, one request in one to five seconds
// asks it, in the background.
func TestTrialFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.store.set(func(string) fault { return fault{delay: time.Hour} })
		l := w.engine(lease.Allow, nil).Limit("k", 1000000, quota.Hour)
		timed(l, 1)
		w.store.count()
		for range 600 {
			pass(100 * time.Millisecond)
			if v, took := timed(l, 1); v.Outcome != lease.Unmetered || took != 0 {
				t.Fatalf("%v after %v", v.Outcome, took)
			}
		}
		if n := w.store.count(); n < 10 || n > 60 {
			t.Errorf("%d store calls in a minute, want 12 to 60", n)
		}
		if n := w.log.count(lease.EventDegraded); n != 1 {
			t.Errorf("degraded %d times, want 1", n)
		}
	})
}

// TestOneTrial: when the trial is due, one limit makes it and no other.
func TestOneTrial(t *testing.T) {
	for _, policy := range []lease.Policy{lease.Allow, lease.Deny} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			e := w.engine(policy, nil)
			w.store.set(func(string) fault { return fault{delay: time.Hour} })
			timed(e.Limit("a", 100, quota.Minute), 1)
			pass(6 * time.Second)
			w.store.count()
			var group sync.WaitGroup
			for i := range 100 {
				group.Go(func() { timed(e.Limit(string(rune('a'+i%10)), 100, quota.Minute), 1) })
			}
			group.Wait()
			synctest.Wait() // The trial runs in the background.
			if n := w.store.count(); n != 1 {
				t.Errorf("%v: %d store calls, want 1", policy, n)
			}
			pass(time.Second)
		})
	}
}

// TestOutageOverAnEdge: what was granted unmetered in a window that is over is not
// debited from the next.
func TestOutageOverAnEdge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.engine(lease.Allow, nil).Limit("k", 100, quota.Minute)
		pass(58 * time.Second)
		w.store.set(func(string) fault { return down })
		reserve(t, l, 100, lease.Unmetered)
		w.store.set(nil)
		pass(10 * time.Second)
		reserve(t, l, 10, lease.Unmetered) // Starts the trial.
		synctest.Wait()
		reserve(t, l, 90, lease.Granted)
		reserve(t, l, 1, lease.Full)
		if got := w.row("k", quota.Minute, 0).Granted; got != 100 {
			t.Errorf("row granted %d, want 100", got)
		}
	})
}

// TestSlowStoreStillWorks: a store that takes 60 ms a call is no outage.
func TestSlowStoreStillWorks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.store.set(func(string) fault { return fault{delay: 60 * time.Millisecond} })
		l := w.engine(lease.Deny, nil).Limit("k", 1000, quota.Minute)
		granted, full := storm(t, l, sizes(150, 10))
		if granted != 1000 || len(full) != 50 {
			t.Errorf("granted %d, refused %d; want 1000 and 50", granted, len(full))
		}
		if n := w.log.count(lease.EventDegraded); n != 0 {
			t.Errorf("degraded %d times", n)
		}
	})
}

// TestSingleErrors: one or two failed calls are retried within the time.
func TestSingleErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.engine(lease.Deny, nil).Limit("k", 100, quota.Minute)
		left := 2
		w.store.set(func(string) fault {
			if left > 0 {
				left--
				return down
			}
			return fault{}
		})
		v, took := timed(l, 100)
		if v.Outcome != lease.Granted || took > longest {
			t.Errorf("%v after %v", v.Outcome, took)
		}
		if n := w.log.count(lease.EventDegraded); n != 0 {
			t.Errorf("degraded %d times", n)
		}
	})
}

// TestUnusableRow: a row that is no quota row, or lies far in the future, makes its
// limit follow the policy and no other; when the row is mended, so is the limit.
func TestUnusableRow(t *testing.T) {
	future := quota.New(quota.Minute.Window(time.Date(2000, 1, 2, 0, 0, 0, 0, time.UTC)), 100)
	for name, columns := range map[string]store.Columns{
		"foreign":    {"Window": "yesterday"},
		"far future": future.Columns(),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				e := w.engine(lease.Allow, nil)
				w.put("k", quota.Minute, 0, columns)
				l := e.Limit("k", 100, quota.Minute)
				reserve(t, l, 30, lease.Unmetered)
				w.store.count()
				reserve(t, l, 30, lease.Unmetered)
				if n := w.store.count(); n != 0 {
					t.Errorf("%d store calls for a row known to be unusable", n)
				}
				reserve(t, e.Limit("other", 100, quota.Minute), 30, lease.Granted)
				if n := w.log.count(lease.EventUnusable); n != 1 {
					t.Errorf("%d events, want 1", n)
				}
				w.put("k", quota.Minute, 0, quota.New(quota.Minute.Window(time.Now()), 100).Columns())
				pass(6 * time.Second)
				reserve(t, l, 40, lease.Granted)
				if got := w.row("k", quota.Minute, 0).Granted; got != 100 {
					t.Errorf("row granted %d, want 100: the unmetered units are debited", got)
				}
			})
		})
	}
}

// TestWritesFailReadsWork: a store that answers every read and loses every write was
// once asked again and again without a pause, for as long as a request waited, since
// each good read counted as a sign of health. It must count as down.
func TestWritesFailReadsWork(t *testing.T) {
	for name, f := range map[string]fault{"lost": {drop: store.ErrAmbiguous}, "refused": down, "hanging": {delay: time.Hour}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.store.set(func(call string) fault {
					if call == "get" {
						return fault{}
					}
					return f
				})
				e := w.engine(lease.Allow, nil)
				for i := range 600 {
					v, took := timed(e.Limit("k", 1_000_000, quota.Hour), 1)
					if v.Outcome != lease.Unmetered || took > longest || i > 0 && name != "hanging" && took > 50*time.Millisecond {
						t.Fatalf("request %d: %v after %v", i, v.Outcome, took)
					}
					pass(100 * time.Millisecond)
				}
				if n := w.store.count(); n > 400 {
					t.Errorf("%d store calls in a minute", n)
				}
				w.store.set(nil)
				pass(6 * time.Second)
				reserve(t, e.Limit("k", 1_000_000, quota.Hour), 1, lease.Unmetered)
				synctest.Wait()
				reserve(t, e.Limit("k", 1_000_000, quota.Hour), 1, lease.Granted)
				if got := w.row("k", quota.Hour, 0).Granted; got < 602 {
					t.Errorf("row granted %d, want at least the 602 units used", got)
				}
			})
		})
	}
}
