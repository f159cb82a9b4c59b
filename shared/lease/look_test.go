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

// pauses are the shortest and the longest time between two looks at a row that was full.
var pauses = []struct {
	period      quota.Period
	least, most time.Duration
}{
	{quota.TenSeconds, 2 * time.Second, 2400 * time.Millisecond},
	{quota.Minute, 5 * time.Second, 6 * time.Second},
	{quota.Hour, time.Minute, 72 * time.Second},
	{quota.Month, time.Minute, 72 * time.Second},
}

// fullRow makes a limit of 100 units whose row is full: another instance holds 90 of
// them, and the one returned was refused 20.
func fullRow(w *world, t *testing.T, policy lease.Policy, p quota.Period) (one *lease.Limit, other *lease.Engine, held lease.Reservation) {
	t.Helper()
	other = w.engine(policy, nil)
	held = reserve(t, other.Limit("k", 100, p), 90, lease.Granted)
	one = w.engine(policy, nil).Limit("k", 100, p)
	reserve(t, one, 20, lease.Full)
	w.store.count()
	return one, other, held
}

// TestFullRowIsAskedAgain: what another instance gives back to a full row serves the
// requests of this one in the same window, a while after it knew the row to be full. (It
// once took the row for full until the window ended.) Till then they are told to come back
// when the window ends, which is all that is known.
func TestFullRowIsAskedAgain(t *testing.T) {
	for _, c := range pauses {
		t.Run(c.period.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				l, other, held := fullRow(w, t, lease.Deny, c.period)
				held.Cancel()
				other.GiveBack(t.Context())
				w.store.count()
				end := l.Status().ResetAt
				for began := time.Now(); ; pass(10 * time.Millisecond) {
					passed, calls := time.Since(began), w.store.count()
					r, v := l.Reserve(t.Context(), 20)
					if v.OK() {
						if passed < c.least || passed > c.most {
							t.Errorf("served after %v, want %v to %v", passed, c.least, c.most)
						}
						r.Cancel()
						break
					}
					if v.Outcome != lease.Full || !v.RetryAt.Equal(end) || calls != 0 || passed > c.most {
						t.Fatalf("after %v it is %v until %v, with %d store calls; want full until %v, without any", passed, v.Outcome, v.RetryAt, calls, end)
					}
				}
				reserve(t, l, 100, lease.Granted)
			})
		})
	}
}

// TestRefusedRequestsRarelyAsk: a row that stays full is asked once in so long, however
// many requests are refused meanwhile and however many of them come at once.
func TestRefusedRequestsRarelyAsk(t *testing.T) {
	for _, c := range pauses {
		t.Run(c.period.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				l, _, _ := fullRow(w, t, lease.Deny, c.period)
				w.store.set(func(string) fault { return fault{delay: 7 * time.Millisecond} })
				looks, last := 0, time.Now()
				for until := time.Now().Add(4 * c.most); time.Now().Before(until) && time.Now().Before(l.Status().ResetAt.Add(-c.least)); pass(c.least / 50) {
					if granted, full := storm(t, l, sizes(50, 20)); granted > 0 || len(full) != 50 {
						t.Fatalf("granted %d units of a full row, refused %d of 50", granted, len(full))
					}
					switch n := w.store.count(); {
					case n > 1:
						t.Fatalf("%d store calls for requests that come at once", n)
					case n == 1:
						if pause := time.Since(last); pause < c.least {
							t.Fatalf("looked again after %v, want at least %v", pause, c.least)
						}
						looks, last = looks+1, time.Now()
					}
				}
				if looks == 0 || looks > 4*int(c.most/c.least)+4 {
					t.Errorf("%d looks", looks)
				}
			})
		})
	}
}

// TestWhoIsAloneNeverLooks: no other instance can give back where none holds anything.
func TestWhoIsAloneNeverLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.engine(lease.Deny, nil).Limit("k", 100, quota.Hour)
		reserve(t, l, 70, lease.Granted)
		reserve(t, l, 31, lease.Full)
		w.store.count()
		for range 1000 {
			pass(3 * time.Second)
			reserve(t, l, 31, lease.Full)
		}
		if n := w.store.count(); n != 0 {
			t.Errorf("a thousand refusals in an hour took %d store calls", n)
		}
	})
}

// TestManyLookRarely: the more instances share a limit, the more rarely each looks, so
// that all of them together ask fifty times a second.
func TestManyLookRarely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		row := quota.New(quota.Minute.Window(time.Now()), 1000)
		row.Granted, row.Holders = 1000, 1000
		w.put("k", quota.Minute, 0, row.Columns())
		l := w.engine(lease.Deny, nil).Limit("k", 1000, quota.Minute)
		reserve(t, l, 1, lease.Full)
		w.store.count()
		for range 199 {
			pass(100 * time.Millisecond)
			reserve(t, l, 1, lease.Full)
		}
		if n := w.store.count(); n != 0 {
			t.Errorf("%d store calls within 20 s of one of a thousand instances", n)
		}
		pass(5 * time.Second)
		reserve(t, l, 1, lease.Full)
		if n := w.store.count(); n != 1 {
			t.Errorf("%d store calls after 25 s, want 1", n)
		}
	})
}

// TestLookThatFails: nothing is granted by a look that learns nothing, and it is not
// made again at once, under any policy.
func TestLookThatFails(t *testing.T) {
	for _, policy := range []lease.Policy{lease.Allow, lease.FairShare, lease.Deny} {
		for name, f := range map[string]fault{"down": down, "slow": {delay: time.Second}} {
			t.Run(policy.String()+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					w := newWorld(t)
					l, _, _ := fullRow(w, t, policy, quota.Minute)
					w.store.set(func(string) fault { return f })
					pass(6 * time.Second)
					reserve(t, l, 20, lease.Full)
					if n := w.store.count(); n == 0 || n > 4 {
						t.Errorf("%d store calls, want a few", n)
					}
					for range 40 {
						pass(100 * time.Millisecond)
						reserve(t, l, 20, lease.Full)
						if v := l.Peek(20); v.Outcome != lease.Full {
							t.Fatalf("a look says %v", v.Outcome)
						}
					}
					if n := w.store.count(); n != 0 {
						t.Errorf("%d more store calls before it is time to look again", n)
					}
				})
			})
		}
	}
}

// TestLookReachesOtherShards: what is given back to another shard is found as well.
func TestLookReachesOtherShards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.sharded("k", 4)
		l := w.engine(lease.Deny, nil).Limit("k", 1200, quota.Minute)
		for shard := range int64(4) {
			w.grant("k", shard, 300)
		}
		reserve(t, l, 10, lease.Full)
		for shard := range int64(4) {
			pass(7 * time.Second)
			w.grant("k", shard, -100)
			if v := l.Peek(100); !v.OK() {
				t.Errorf("shard %d has room again, and routing is told %v", shard, v.Outcome)
			}
			reserve(t, l, 100, lease.Granted)
			reserve(t, l, 10, lease.Full)
		}
	})
}

// grant has a shard of a limit by the minute grant so many units more to somebody.
func (w *world) grant(key string, shard, units int64) {
	row := w.row(key, quota.Minute, shard)
	row.Granted += units
	row.Nonces = "somebody's"
	w.put(key, quota.Minute, shard, row.Columns())
}

// TestPeekLooksAgain: routing takes a member that had no room for one that may have room
// again after a while, so that a request goes there and asks; but not while the store
// could not be asked.
func TestPeekLooksAgain(t *testing.T) {
	for _, reachable := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			other := w.engine(lease.Allow, nil)
			reserve(t, other.Limit("k", 100, quota.Minute), 80, lease.Granted)
			e := w.engine(lease.Allow, nil)
			l := e.Limit("k", 100, quota.Minute)
			reserve(t, l, 10, lease.Granted)
			end := l.Status().ResetAt
			if v := l.Peek(20); v.Outcome != lease.Full || !v.RetryAt.Equal(end) {
				t.Errorf("at once it is %v until %v, want full until %v", v.Outcome, v.RetryAt, end)
			}
			pass(6 * time.Second)
			if !reachable {
				w.store.set(func(string) fault { return down })
				reserve(t, e.Limit("any", 100, quota.Minute), 1, lease.Unmetered)
			}
			w.store.count()
			want := map[bool]lease.Outcome{true: lease.Granted, false: lease.Full}[reachable]
			for range 100 {
				if v := l.Peek(20); v.Outcome != want {
					t.Fatalf("later it is %v, want %v", v.Outcome, want)
				}
			}
			if n := w.store.count(); n != 0 {
				t.Errorf("routing took %d store calls", n)
			}
			if got := l.Headroom(); got != 10 {
				t.Errorf("headroom %d, want the 10 that were seen last", got)
			}
			if !reachable {
				return
			}
			reserve(t, l, 20, lease.Full)
			if v := l.Peek(20); v.Outcome != lease.Full {
				t.Errorf("after another request has asked it is %v, want full", v.Outcome)
			}
		})
	}
}

// TestPeekForMoreThanIsReserved: a member may be asked for more headroom than a request
// needs. That the rows had less is looked up again behind a request that the lease
// covers, and is then known again.
func TestPeekForMoreThanIsReserved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		reserve(t, w.engine(lease.Deny, nil).Limit("k", 100, quota.Minute), 60, lease.Granted)
		l := w.engine(lease.Deny, nil).Limit("k", 100, quota.Minute)
		r := reserve(t, l, 20, lease.Granted)
		r.Cancel()
		for range 5 {
			if v := l.Peek(50); v.Outcome != lease.Full {
				t.Fatalf("it is %v, want full", v.Outcome)
			}
			pass(6 * time.Second)
			if v := l.Peek(50); !v.OK() {
				t.Fatalf("after a while it is %v, want granted", v.Outcome)
			}
			w.store.set(func(string) fault { return fault{delay: 7 * time.Millisecond} })
			w.store.count()
			began := time.Now()
			for range 100 {
				r := reserve(t, l, 1, lease.Granted)
				r.Cancel()
			}
			if waited := time.Since(began); waited > 0 {
				t.Errorf("requests that the lease covers waited for %v", waited)
			}
			pass(10 * time.Millisecond)
			if n := w.store.count(); n != 1 {
				t.Errorf("%d store calls, want 1", n)
			}
		}
	})
}

// TestLookServesAllWhoWait: requests that come while the rows are being asked again wait
// for the answer, the large and the small, and are served as far as there is room.
func TestLookServesAllWhoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l, other, held := fullRow(w, t, lease.Deny, quota.Minute)
		held.Settle(25)
		other.GiveBack(t.Context())
		pass(6 * time.Second)
		w.store.set(func(string) fault { return fault{delay: 7 * time.Millisecond} })
		var mu sync.Mutex
		var group sync.WaitGroup
		served := map[int64]int{}
		for _, n := range []int64{20, 60, 20, 60, 20, 20} {
			group.Go(func() {
				if _, v := l.Reserve(context.Background(), n); v.OK() {
					mu.Lock()
					defer mu.Unlock()
					served[n]++
				}
			})
			pass(time.Millisecond)
		}
		group.Wait()
		if got := 20*served[20] + 60*served[60]; got < 60 || got > 75 {
			t.Errorf("75 units came back, %d were served: %v", got, served)
		}
	})
}

// TestLookAfterAConflict: another instance writes the row between the look and the write
// that follows from it. The look goes on, and serves.
func TestLookAfterAConflict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l, other, held := fullRow(w, t, lease.Deny, quota.Minute)
		held.Cancel()
		other.GiveBack(t.Context())
		pass(6 * time.Second)
		w.store.once("replace", fault{drop: store.ErrConflict})
		reserve(t, l, 20, lease.Granted)
	})
}
