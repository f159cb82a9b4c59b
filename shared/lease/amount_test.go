package lease_test

import (
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/lease"
	"spillway/shared/quota"
	"spillway/shared/store"
)

// hoard makes an instance hold more of a limit than it has used: a request that is settled
// for less leaves units over.
func hoard(t *testing.T, l *lease.Limit, held, used int64) {
	t.Helper()
	r := reserve(t, l, held, lease.Granted)
	r.Settle(used)
}

// A quota of a month that is cut below what is used refuses at once; cut to more than
// that it grants the rest to the unit, whether the instance held units or not.
func TestCutActsAtOnce(t *testing.T) {
	for _, test := range []struct {
		name             string
		held, used       int64 // Of 1000.
		amount           int64
		granted, refused int64 // Requests after the cut. 0: none.
		room             int64
	}{
		{"below what is used", 900, 600, 500, 0, 1, 0},
		{"to what is used", 900, 600, 600, 0, 1, 0},
		{"to one more", 900, 600, 601, 1, 1, 1},
		{"below what is held", 900, 600, 800, 200, 1, 200},
		{"above what is held", 900, 600, 950, 350, 1, 350},
		{"to nothing", 900, 600, 0, 0, 0, 0},
		{"with nothing held", 600, 600, 700, 100, 1, 100},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				e := w.engine(lease.Deny, nil)
				l := e.Limit("k", 1000, quota.Month)
				hoard(t, l, test.held, test.used)
				if e.Limit("k", test.amount, quota.Month) != l {
					t.Fatal("another limit")
				}
				if got := l.Status(); got.Amount != test.amount || got.Remaining != test.room {
					t.Errorf("amount %d, remaining %d; want %d, %d", got.Amount, got.Remaining, test.amount, test.room)
				}
				if v := l.Peek(1); test.room == 0 && v.OK() {
					t.Errorf("Peek(1) is %v with no room", v.Outcome)
				}
				if test.granted > 0 {
					reserve(t, l, test.granted, lease.Granted)
				}
				if test.refused > 0 {
					reserve(t, l, test.refused, lease.Full)
				}
			})
		})
	}
}

// After a cut the use of others counts: what an instance still holds beyond the new
// amount goes back, and the next request is refused if all together have used it up.
func TestCutCountsWhatOthersUse(t *testing.T) {
	for _, test := range []struct {
		name            string
		amount, granted int64 // After a cut, how much the holder of 400, 100 of them used, may have.
	}{
		{"used up by others", 600, 0},
		{"used up by all together", 700, 0},
		{"a rest", 750, 50},
		{"more than all hold", 1000, 300},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				e, other := w.engine(lease.Deny, nil), w.engine(lease.Deny, nil)
				l := e.Limit("k", 1200, quota.Month)
				hoard(t, l, 400, 100)
				reserve(t, other.Limit("k", 1200, quota.Month), 600, lease.Granted)
				e.Limit("k", test.amount, quota.Month)
				if test.granted > 0 {
					reserve(t, l, test.granted, lease.Granted)
				}
				if test.amount < 1000 {
					reserve(t, l, 1, lease.Full)
					reserve(t, other.Limit("k", test.amount, quota.Month), 1, lease.Full)
				}
			})
		})
	}
}

// What the row was seen to have granted to others counts in what is said to be left, too.
func TestHeadroomAfterACut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e, other := w.engine(lease.Deny, nil), w.engine(lease.Deny, nil)
		reserve(t, other.Limit("k", 1200, quota.Month), 600, lease.Granted)
		l := e.Limit("k", 1200, quota.Month)
		hoard(t, l, 400, 100)
		for amount, want := range map[int64]int64{1100: 400, 1000: 300, 800: 100, 700: 0, 500: 0} {
			e.Limit("k", amount, quota.Month)
			if got, v := l.Headroom(), l.Peek(want+1); got != want || v.OK() {
				t.Errorf("cut to %d: headroom %d and Peek(%d) is %v, want %d and a refusal", amount, got, want+1, v.Outcome, want)
			}
		}
	})
}

// A cut that leaves the leases covered costs one read and no write, and the lease goes on.
func TestCutThatChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine(lease.Deny, nil)
		l := e.Limit("k", 1000, quota.Month)
		hoard(t, l, 400, 100)
		e.Limit("k", 900, quota.Month)
		reserve(t, l, 1, lease.Granted)
		w.store.count()
		for range 50 {
			reserve(t, l, 1, lease.Granted)
		}
		if n := w.store.count(); n != 0 {
			t.Errorf("%d calls of the store, want 0", n)
		}
	})
}

// What was reserved before a cut, and is settled for less after it, can be had again
// only as far as all together are below the new amount.
func TestSettlementAfterACut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e, other := w.engine(lease.Deny, nil), w.engine(lease.Deny, nil)
		l, others := e.Limit("k", 1000, quota.Month), other.Limit("k", 1000, quota.Month)
		open := reserve(t, l, 500, lease.Granted)
		theirs := reserve(t, others, 400, lease.Granted)
		e.Limit("k", 600, quota.Month)
		other.Limit("k", 600, quota.Month)
		reserve(t, l, 1, lease.Full)
		open.Settle(300) // 700 are used.
		reserve(t, l, 1, lease.Full)
		theirs.Settle(250) // 550 are used.
		reserve(t, others, 51, lease.Full)
		reserve(t, others, 50, lease.Granted)
		reserve(t, others, 1, lease.Full)
		reserve(t, l, 1, lease.Full)
	})
}

// Units taken ahead of the edge are held against the row at the edge, if the amount was
// cut since.
func TestCutOfWhatWasTakenAhead(t *testing.T) {
	for _, cut := range []int64{1000, 300, 20} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			defer pass(time.Second) // The flights end.
			engines := []*lease.Engine{w.engine(lease.Deny, nil), w.engine(lease.Deny, nil)}
			limits := make([]*lease.Limit, len(engines))
			for range 59 { // Demand, until both have taken units of the next minute.
				for i, e := range engines {
					limits[i] = e.Limit("k", 1000, quota.Minute)
					reserve(t, limits[i], 5, lease.Granted)
				}
				pass(time.Second)
			}
			if ahead := w.row("k", quota.Minute, 0).NextGranted; ahead <= 40 {
				t.Fatalf("void: only %d units were taken ahead", ahead)
			}
			for _, e := range engines {
				e.Limit("k", cut, quota.Minute)
			}
			pass(2 * time.Second)
			var granted int64
			for range 500 {
				for _, l := range limits {
					if _, v := l.Reserve(t.Context(), 1); v.OK() {
						granted++
					}
				}
			}
			if granted > cut || granted < cut-cut/10 {
				t.Errorf("in the next minute %d units were granted of %d", granted, cut)
			}
		})
	}
}

// A raise of a quota of a month helps at once, although the rows had no more; so does
// one of any window whose moment is known. One of a minute waits for the next else.
func TestRaiseOfALimitThatIsUsedUp(t *testing.T) {
	for _, test := range []struct {
		name   string
		period quota.Period
		known  bool // The moment of the change.
		atOnce bool
	}{
		{"month", quota.Month, false, true},
		{"hour", quota.Hour, false, true},
		{"month, with its moment", quota.Month, true, true},
		{"minute", quota.Minute, false, false},
		{"minute, with its moment", quota.Minute, true, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				var limits []*lease.Limit
				tell := func(amount int64, engines ...*lease.Engine) {
					limits = limits[:0]
					for _, e := range engines {
						if test.known {
							limits = append(limits, e.LimitSince("k", amount, test.period, time.Now()))
						} else {
							limits = append(limits, e.Limit("k", amount, test.period))
						}
					}
				}
				a, b := w.engine(lease.Deny, nil), w.engine(lease.Deny, nil)
				tell(100, a, b)
				reserve(t, limits[0], 100, lease.Granted)
				for _, l := range limits {
					reserve(t, l, 1, lease.Full)
				}
				pass(time.Second)
				tell(250, a, b)
				if !test.atOnce {
					reserve(t, limits[0], 1, lease.Full) // The row learns of it.
					pass(time.Minute)
					reserve(t, limits[0], 250, lease.Granted)
					return
				}
				if got := limits[0].Headroom(); got != 150 {
					t.Errorf("headroom %d, want 150", got)
				}
				reserve(t, limits[0], 50, lease.Granted)
				reserve(t, limits[1], 100, lease.Granted)
				for _, l := range limits {
					reserve(t, l, 1, lease.Full)
				}
			})
		})
	}
}

// A cut that was a mistake and is taken back leaves what there was.
func TestRaiseAfterACut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine(lease.Deny, nil)
		l := e.Limit("k", 1000, quota.Month)
		hoard(t, l, 700, 200)
		e.Limit("k", 100, quota.Month)
		reserve(t, l, 1, lease.Full)
		reserve(t, l, 101, lease.TooLarge)
		e.Limit("k", 1000, quota.Month)
		reserve(t, l, 800, lease.Granted)
		reserve(t, l, 1, lease.Full)
	})
}

// A cut while units are on their way to the lease is a cut of those, too.
func TestCutDuringAFlight(t *testing.T) {
	for _, call := range []string{"get", "insert"} {
		t.Run(call, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				e := w.engine(lease.Deny, nil)
				l := e.Limit("k", 1000, quota.Month)
				w.store.once(call, fault{delay: 100 * time.Millisecond})
				verdicts := make(chan lease.Verdict)
				for _, n := range []int64{400, 500} {
					go func() {
						_, v := l.Reserve(t.Context(), n)
						verdicts <- v
					}()
				}
				pass(50 * time.Millisecond)
				e.Limit("k", 550, quota.Month)
				granted := 0
				for range 2 {
					if v := <-verdicts; v.OK() {
						granted++
					} else if v.Outcome != lease.Full {
						t.Errorf("%v, want full", v.Outcome)
					}
				}
				room := l.Headroom()
				if granted != 1 || room != 150 && room != 50 {
					t.Fatalf("%d of two were granted, headroom %d", granted, room)
				}
				reserve(t, l, room, lease.Granted)
				reserve(t, l, 1, lease.Full)
			})
		})
	}
}

// An instance that does not know yet of a change learns of it from the row as soon as it
// An instance that holds a lease tells the others of a cut before it goes on: what one
// A moment ahead of the clock is no moment: neither one that an instance is told, nor one
// Without the store nobody knows what others use. After a cut the lease is not spent
// under Deny; under Allow each goes on by itself up to the new amount; under FairShare up
// to an even part of it.
func TestCutWhileTheStoreIsDown(t *testing.T) {
	for _, test := range []struct {
		policy  lease.Policy
		granted int64
		refused lease.Outcome
	}{
		{lease.Deny, 0, lease.Refused},
		{lease.Allow, 400, lease.Full},
		{lease.FairShare, 150, lease.Refused},
	} {
		t.Run(test.policy.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				e, other := w.engine(test.policy, nil), w.engine(test.policy, nil)
				reserve(t, other.Limit("k", 2000, quota.Month), 10, lease.Granted)
				l := e.Limit("k", 2000, quota.Month)
				hoard(t, l, 600, 100)
				w.store.set(func(string) fault { return down })
				e.Limit("k", 500, quota.Month)
				if test.granted > 0 {
					reserve(t, l, test.granted, lease.Granted)
				}
				reserve(t, l, 1, test.refused)
				w.store.set(nil)
				pass(6 * time.Second)
				e.GiveBack(t.Context())
				if row := w.row("k", quota.Month, 0); row.Granted != 110+test.granted {
					t.Errorf("with the store back the row has granted %d, used are %d", row.Granted, 110+test.granted)
				}
			})
		})
	}
}

// Whatever becomes of the write that gives back after a cut, nothing is spent twice; a
// conflict, or a request that got lost, costs nothing.
func TestFaultsAfterACut(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault fault
		lost  int64
	}{
		{"conflict", fault{drop: store.ErrConflict}, 0},
		{"not sent", fault{drop: store.ErrUnavailable}, 0},
		{"conflict, although it happened", fault{err: store.ErrConflict}, 0},
		{"answer lost", fault{lose: true}, 0},
		{"request lost", fault{drop: store.ErrAmbiguous}, 300},
		{"it happens later", fault{late: time.Second}, 300},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				e := w.engine(lease.Deny, nil)
				l := e.Limit("k", 1000, quota.Month)
				hoard(t, l, 900, 100)
				w.store.once("replace", test.fault)
				e.Limit("k", 600, quota.Month)
				granted, full := storm(t, l, sizes(500, 1))
				if want := 500 - test.lost; granted != want || int64(len(full)) != test.lost {
					t.Errorf("%d granted, %d refused; want %d, %d", granted, len(full), want, test.lost)
				}
				pass(time.Minute)
				if row := w.row("k", quota.Month, 0); row.Granted > 600 || row.Granted < 100+granted {
					t.Errorf("the row has granted %d, used are %d of 600", row.Granted, 100+granted)
				}
			})
		})
	}
}

// While the write that tells of a cut is under way nothing of the lease is spent: it may
