package lease_test

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/lease"
	"spillway/shared/quota"
	"spillway/shared/store"
)

// TestLostAnswer: a write whose answer was lost is granted if the row carries its
// nonce, and never otherwise.
func TestLostAnswer(t *testing.T) {
	for _, c := range []struct {
		name    string
		fault   fault
		granted int64 // What the row has granted in the end, of 100.
		lost    int64 // What is stranded.
	}{
		{"landed", fault{lose: true}, 60, 0},
		{"did not land", fault{drop: store.ErrAmbiguous}, 60, 60},
		{"lands late, into a row that has moved on", fault{late: 20 * time.Millisecond}, 60, 60},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				l := w.engine(lease.Deny, nil).Limit("k", 100, quota.Minute)
				w.store.once("insert", c.fault)
				reserve(t, l, 60, lease.Granted)
				pass(time.Second)
				if got := w.row("k", quota.Minute, 0).Granted; got != c.granted {
					t.Errorf("row granted %d, want %d", got, c.granted)
				}
				if got := w.log.units(lease.EventLost); got != c.lost {
					t.Errorf("%d units lost, want %d", got, c.lost)
				}
				if got := w.log.units(lease.EventAmbiguous); got != 60 {
					t.Errorf("%d units in doubt, want 60", got)
				}
				reserve(t, l, 41, lease.Full)
				reserve(t, l, 40, lease.Granted)
			})
		})
	}
}

// TestLandsAfterItWasGivenUp: the write is read as lost, then lands before anyone
// else writes. Its units are stranded, never spent: together with what is granted
// afterwards they stay within the limit.
func TestLandsAfterItWasGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.engine(lease.Deny, nil).Limit("k", 100, quota.Minute)
		reserve(t, l, 10, lease.Granted)
		calls := 0
		w.store.set(func(call string) fault {
			calls++
			switch {
			case calls == 1: // The write of 50.
				return fault{late: 30 * time.Millisecond}
			case call == "replace" && calls == 3: // The next one waits until the first has landed.
				return fault{delay: 40 * time.Millisecond}
			}
			return fault{}
		})
		reserve(t, l, 50, lease.Full)
		if row := w.row("k", quota.Minute, 0); row.Granted > row.Limit {
			t.Fatalf("row granted %d of %d", row.Granted, row.Limit)
		}
		if got := w.log.units(lease.EventLost); got != 50 {
			t.Errorf("%d units lost, want 50", got)
		}
		reserve(t, l, 40, lease.Granted)
		reserve(t, l, 1, lease.Full)
	})
}

// TestDoubtOutlivesTheOutage: the answer is lost and the store goes down. Once it is
// back the doubt is settled by reading before anything else is written.
func TestDoubtOutlivesTheOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.engine(lease.Deny, nil).Limit("k", 100, quota.Hour)
		first := true
		w.store.set(func(call string) fault {
			if call == "insert" && first {
				first = false
				return fault{lose: true}
			}
			if !first {
				return down
			}
			return fault{}
		})
		reserve(t, l, 60, lease.Refused)
		w.store.set(nil)
		pass(6 * time.Second)
		reserve(t, l, 60, lease.Granted)
		if got := w.row("k", quota.Hour, 0).Granted; got != 60 {
			t.Errorf("row granted %d, want 60: the write that had landed is used", got)
		}
		reserve(t, l, 40, lease.Granted)
	})
}

// TestDoubtOutlivesTheWindow: units of a window that is over are not spent, even if
// their write had landed.
func TestDoubtOutlivesTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.engine(lease.Deny, nil).Limit("k", 100, quota.Minute)
		pass(59 * time.Second)
		landed := false
		w.store.set(func(call string) fault {
			if call == "insert" {
				landed = true
				return fault{lose: true}
			}
			if landed {
				return down
			}
			return fault{}
		})
		reserve(t, l, 60, lease.Refused)
		w.store.set(nil)
		pass(6 * time.Second)
		reserve(t, l, 100, lease.Granted)
		reserve(t, l, 1, lease.Full)
		if got := w.row("k", quota.Minute, 0).Granted; got != 100 {
			t.Errorf("row granted %d, want 100", got)
		}
		if got := w.log.units(lease.EventLost); got != 60 {
			t.Errorf("%d units lost, want 60", got)
		}
	})
}

// TestErrorsOutsideTheContract: an error that says nothing about the write is taken
// as a lost answer.
func TestErrorsOutsideTheContract(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.engine(lease.Deny, nil).Limit("k", 100, quota.Minute)
		w.store.once("insert", fault{err: io.ErrUnexpectedEOF})
		reserve(t, l, 60, lease.Granted)
		if got := w.row("k", quota.Minute, 0).Granted; got != 60 {
			t.Errorf("row granted %d, want 60", got)
		}
	})
}

// TestDoubtMeetsABrokenStore: reading a write in doubt was once tried again without a
// pause when the read failed in a way that did not count as an outage.
func TestDoubtMeetsABrokenStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.engine(lease.Deny, nil).Limit("k", 100, quota.Minute)
		doubt := false
		w.store.set(func(call string) fault {
			if call == "get" && doubt {
				return fault{drop: store.ErrConflict}
			}
			doubt = call == "insert"
			return fault{lose: call == "insert"}
		})
		if v, took := timed(l, 60); v.OK() || took > longest {
			t.Errorf("%v after %v", v.Outcome, took)
		}
		if n := w.store.count(); n > 40 {
			t.Errorf("%d store calls", n)
		}
		w.store.set(nil)
		pass(time.Second)
		reserve(t, l, 60, lease.Granted)
		if got := w.row("k", quota.Minute, 0).Granted; got != 60 {
			t.Errorf("row granted %d, want 60", got)
		}
	})
}
