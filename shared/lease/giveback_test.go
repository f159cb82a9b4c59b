package lease_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/lease"
	"spillway/shared/quota"
	"spillway/shared/store"
)

// TestGiveBack: what an instance holds and does not need is there for others, its
// open reservations stay its own.
func TestGiveBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ea := w.engine(lease.Deny, nil)
		a := ea.Limit("k", 100, quota.Minute)
		b := w.engine(lease.Deny, nil).Limit("k", 100, quota.Minute)
		open := reserve(t, a, 30, lease.Granted)
		r := reserve(t, a, 60, lease.Granted)
		r.Settle(10)
		ea.GiveBack(t.Context())
		if row := w.row("k", quota.Minute, 0); row.Granted != 40 {
			t.Fatalf("row granted %d, want 40", row.Granted)
		}
		if got := w.log.units(lease.EventGiveBack); got != 50 {
			t.Errorf("%d units given back, want 50", got)
		}
		reserve(t, b, 60, lease.Granted)
		open.Settle(20)
		reserve(t, a, 11, lease.Full)
		reserve(t, a, 10, lease.Granted)
	})
}

// TestGiveBackThenGoOn: a single instance that gave back is still exact.
func TestGiveBackThenGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine(lease.Deny, nil)
		l := e.Limit("k", 100, quota.Minute)
		r := reserve(t, l, 100, lease.Granted)
		reserve(t, l, 1, lease.Full)
		r.Settle(20)
		e.GiveBack(t.Context())
		e.GiveBack(t.Context()) // Nothing left to give.
		reserve(t, l, 81, lease.Full)
		reserve(t, l, 80, lease.Granted)
		reserve(t, l, 1, lease.Full)
	})
}

// TestGiveBackAfterExhaustion: an instance that knew the row to be spent asks it again
// once it gave back itself.
func TestGiveBackAfterExhaustion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine(lease.Deny, nil)
		l := e.Limit("k", 100, quota.Minute)
		r := reserve(t, l, 50, lease.Granted)
		reserve(t, w.engine(lease.Deny, nil).Limit("k", 100, quota.Minute), 40, lease.Granted)
		reserve(t, l, 20, lease.Full)
		r.Cancel()
		e.GiveBack(t.Context())
		reserve(t, l, 60, lease.Granted)
		reserve(t, l, 1, lease.Full)
	})
}

// TestGiveBackOnlyIdle: limits in use keep their lease.
func TestGiveBackOnlyIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine(lease.Deny, nil)
		idle, busy := e.Limit("idle", 100, quota.Minute), e.Limit("busy", 100, quota.Minute)
		r := reserve(t, idle, 50, lease.Granted)
		r.Cancel()
		pass(5 * time.Second)
		r = reserve(t, busy, 50, lease.Granted)
		r.Cancel()
		e.GiveBackIdle(t.Context(), 5*time.Second)
		if got := w.row("idle", quota.Minute, 0).Granted; got != 0 {
			t.Errorf("the idle limit still holds %d", got)
		}
		if got := w.row("busy", quota.Minute, 0).Granted; got != 50 {
			t.Errorf("the busy limit holds %d, want 50", got)
		}
	})
}

// TestIdleSmallChange: what nobody would miss is not worth a write. The process's end
// gives back everything.
func TestIdleSmallChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine(lease.Deny, nil)
		small, large := e.Limit("small", 160, quota.Minute), e.Limit("large", 160, quota.Minute)
		for limit, units := range map[*lease.Limit]int64{small: 10, large: 11} {
			r := reserve(t, limit, units, lease.Granted)
			r.Cancel()
		}
		pass(5 * time.Second)
		e.GiveBackIdle(t.Context(), 5*time.Second)
		if got := w.row("small", quota.Minute, 0).Granted; got != 10 {
			t.Errorf("of the small lease the row counts %d, want 10", got)
		}
		if got := w.row("large", quota.Minute, 0).Granted; got != 0 {
			t.Errorf("of the large lease the row counts %d, want 0", got)
		}
		e.GiveBack(t.Context())
		if got := w.row("small", quota.Minute, 0).Granted; got != 0 {
			t.Errorf("after the end the row counts %d, want 0", got)
		}
	})
}

// TestGiveBackPays: what a limit owes is in the row before its instance ends, as far as
// the row has room, so that others cannot spend it.
func TestGiveBackPays(t *testing.T) {
	for _, c := range []struct{ others, granted int64 }{{0, 90}, {30, 100}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			e := w.engine(lease.Deny, nil)
			r := reserve(t, e.Limit("k", 100, quota.Minute), 20, lease.Granted)
			reserve(t, w.engine(lease.Deny, nil).Limit("k", 100, quota.Minute), c.others, lease.Granted)
			r.Settle(90)
			e.GiveBack(t.Context())
			if got := w.row("k", quota.Minute, 0).Granted; got != c.granted {
				t.Errorf("with %d taken by others the row counts %d, want %d", c.others, got, c.granted)
			}
		})
	}
}

// TestGiveBackAfterADoubt: a write whose answer was lost is looked for first, and its
// units are given back too.
func TestGiveBackAfterADoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine(lease.Allow, nil)
		l := e.Limit("k", 100, quota.Minute)
		r := reserve(t, l, 10, lease.Granted)
		r.Cancel()
		lost := false
		w.store.set(func(call string) fault {
			switch {
			case call == "replace" && !lost:
				lost = true
				return fault{lose: true}
			case lost:
				return down
			}
			return fault{}
		})
		r = reserve(t, l, 60, lease.Unmetered)
		r.Cancel()
		w.store.set(nil)
		pass(6 * time.Second)
		e.GiveBack(t.Context())
		if got := w.row("k", quota.Minute, 0).Granted; got != 0 {
			t.Errorf("the row counts %d, want 0", got)
		}
		if got := w.log.units(lease.EventLost); got != 0 || !lost {
			t.Errorf("%d units lost", got)
		}
	})
}

// TestGiveBackFails: a write in doubt is never repeated and its units are not spent
// again; what was certainly not written stays spendable.
func TestGiveBackFails(t *testing.T) {
	for _, c := range []struct {
		name    string
		fault   func(call string) fault
		granted int64 // What the row has granted afterwards, of 100.
		left    int64 // What the instance can still reserve.
	}{
		{"answer lost, landed", func(string) fault { return fault{lose: true} }, 40, 60},
		{"answer lost, not landed", func(string) fault { return fault{drop: store.ErrAmbiguous} }, 100, 0},
		{"store down", func(string) fault { return down }, 100, 60},
		{"conflict", func(string) fault { return fault{drop: store.ErrConflict} }, 100, 60},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				e := w.engine(lease.Deny, nil)
				l := e.Limit("k", 100, quota.Minute)
				r := reserve(t, l, 100, lease.Granted)
				r.Settle(40)
				writes := 0
				w.store.set(func(call string) fault {
					if call == "get" {
						return fault{}
					}
					writes++
					return c.fault(call)
				})
				e.GiveBack(t.Context())
				if c.name != "conflict" && writes != 1 {
					t.Errorf("%d writes, want 1", writes)
				}
				w.store.set(nil)
				if got := w.row("k", quota.Minute, 0).Granted; got != c.granted {
					t.Errorf("row granted %d, want %d", got, c.granted)
				}
				if c.left > 0 {
					reserve(t, l, c.left, lease.Granted)
				}
				reserve(t, l, 1, lease.Full)
				if row := w.row("k", quota.Minute, 0); row.Granted > row.Limit {
					t.Errorf("row granted %d of %d", row.Granted, row.Limit)
				}
			})
		})
	}
}

// TestGiveBackSentTwice: something on the way to the store may send a write twice and
// return the second answer, a conflict; and others may have written the row before the
// instance looks. The row remembers its last writes, so what came back is not given back
// again, and what did not is. What the row has forgotten counts as given back.
func TestGiveBackSentTwice(t *testing.T) {
	const given, others = 60, 2 // Units: of a hundred taken, and in each write of another.
	for _, c := range []struct {
		name     string
		happened bool
		writes   int64 // Of others, between the answer and the look.
		back     int64 // Units that are known to have come back.
		granted  int64 // What the row has granted of those hundred in the end.
	}{
		{"it happened", true, 0, given, 40},
		{"it happened, and another wrote", true, 1, given, 40},
		{"it happened, and all who share the row wrote", true, quota.InstancesPerShard - 1, given, 40},
		{"it happened, and the row has forgotten it", true, quota.InstancesPerShard, 0, 40},
		{"another wrote instead", false, 1, given, 40},
		{"all who share the row wrote instead", false, quota.InstancesPerShard - 1, given, 40},
		{"it did not happen, and the row has forgotten", false, quota.InstancesPerShard, 0, 100},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				e := w.engine(lease.Deny, nil)
				l := e.Limit("k", 1000, quota.Minute)
				r := reserve(t, l, 100, lease.Granted)
				r.Settle(100 - given)
				before := w.row("k", quota.Minute, 0).Granted
				answered := false
				w.store.set(func(call string) fault {
					switch {
					case call == "replace" && !answered:
						answered = true
						if c.happened {
							return fault{err: store.ErrConflict}
						}
						return fault{drop: store.ErrConflict}
					case call == "get" && answered:
						w.store.fault = nil
						for i := range c.writes {
							row, _ := w.row("k", quota.Minute, 0).Grant(0, others, false)
							w.put("k", quota.Minute, 0, row.Signed(fmt.Sprintf("other-%d", i), "other").Columns())
						}
					}
					return fault{}
				})
				e.GiveBack(t.Context())
				lost := given - c.back
				if back, lostNow := w.log.units(lease.EventGiveBack), w.log.units(lease.EventLost); back != c.back || lostNow != lost {
					t.Errorf("%d units came back and %d are lost, want %d and %d", back, lostNow, c.back, lost)
				}
				if got, want := w.row("k", quota.Minute, 0).Granted, before-100+c.granted+others*c.writes; !answered || got != want {
					t.Errorf("the row has granted %d, want %d", got, want)
				}
			})
		})
	}
}

// TestGiveBackAfterTheEdge: units of a window that is over are not given back.
func TestGiveBackAfterTheEdge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine(lease.Deny, nil)
		l := e.Limit("k", 100, quota.Minute)
		r := reserve(t, l, 100, lease.Granted)
		r.Cancel()
		pass(time.Minute)
		other := w.engine(lease.Deny, nil).Limit("k", 100, quota.Minute)
		reserve(t, other, 70, lease.Granted)
		e.GiveBack(t.Context())
		if got := w.row("k", quota.Minute, 0).Granted; got != 70 {
			t.Errorf("row granted %d, want 70", got)
		}
	})
}

// TestGiveBackWithTraffic: requests that come during the write wait for it and are
// then served exactly.
func TestGiveBackWithTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine(lease.Deny, nil)
		l := e.Limit("k", 1000, quota.Minute)
		r := reserve(t, l, 500, lease.Granted)
		r.Settle(0)
		w.store.set(func(string) fault { return fault{delay: 10 * time.Millisecond} })
		done := make(chan struct{})
		go func() {
			e.GiveBack(context.Background())
			close(done)
		}()
		pass(5 * time.Millisecond)
		granted, full := storm(t, l, sizes(150, 10))
		<-done
		if granted != 1000 || len(full) != 50 {
			t.Errorf("granted %d, refused %d; want 1000 and 50", granted, len(full))
		}
	})
}

// TestGiveBackWhatWasTakenAhead: an instance that ends also returns its units of the
// next window.
func TestGiveBackWhatWasTakenAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine(lease.Deny, nil)
		l := e.Limit("k", 1_000_000, quota.Minute)
		for range 585 {
			reserve(t, l, 100, lease.Granted)
			pass(100 * time.Millisecond)
		}
		if row := w.row("k", quota.Minute, 0); row.NextGranted == 0 {
			t.Fatal("nothing was taken ahead")
		}
		e.GiveBack(t.Context())
		if row := w.row("k", quota.Minute, 0); row.NextGranted != 0 || row.Granted != 58500 {
			t.Errorf("row %+v, want 58500 granted and nothing ahead", row)
		}
		w.store.set(func(string) fault { return down })
		pass(2 * time.Second)
		reserve(t, l, 100, lease.Refused) // It holds nothing of the window it gave back.
	})
}

// TestGiveBackEndsWithItsContext: nothing is started once the context has ended.
func TestGiveBackEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine(lease.Deny, nil)
		r := reserve(t, e.Limit("k", 100, quota.Minute), 50, lease.Granted)
		r.Cancel()
		w.store.count()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		e.GiveBack(ctx)
		if n := w.store.count(); n != 0 {
			t.Errorf("%d store calls", n)
		}
	})
}
