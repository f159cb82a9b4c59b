package lease_test

import (
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/lease"
	"spillway/shared/quota"
)

// TestSettle: what a reservation of 40 out of 100 leaves, however it ends.
func TestSettle(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(r *lease.Reservation)
		left int64
	}{
		{"open", func(*lease.Reservation) {}, 60},
		{"exactly", func(r *lease.Reservation) { r.Settle(40) }, 60},
		{"less", func(r *lease.Reservation) { r.Settle(15) }, 85},
		{"nothing", func(r *lease.Reservation) { r.Settle(0) }, 100},
		{"negative", func(r *lease.Reservation) { r.Settle(-7) }, 100},
		{"more", func(r *lease.Reservation) { r.Settle(55) }, 45},
		{"far more", func(r *lease.Reservation) { r.Settle(1 << 62) }, 0},
		{"cancel", func(r *lease.Reservation) { r.Cancel() }, 100},
		{"twice", func(r *lease.Reservation) { r.Settle(15); r.Settle(0) }, 85},
		{"settle, then cancel", func(r *lease.Reservation) { r.Settle(15); r.Cancel() }, 85},
		{"cancel, then settle", func(r *lease.Reservation) { r.Cancel(); r.Settle(15) }, 100},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			l := w.engine(lease.Deny, nil).Limit("k", 100, quota.Month)
			r := reserve(t, l, 40, lease.Granted)
			c.end(&r)
			if r.Reserved() != 40 {
				t.Errorf("reserved %d, want 40", r.Reserved())
			}
			if got := l.Headroom(); got != c.left {
				t.Errorf("headroom %d, want %d", got, c.left)
			}
			reserve(t, l, c.left+1, map[bool]lease.Outcome{true: lease.TooLarge, false: lease.Full}[c.left == 100])
			if c.left > 0 {
				reserve(t, l, c.left, lease.Granted)
			}
			if row := w.row("k", quota.Month, 0); row.Granted > row.Limit {
				t.Errorf("row granted %d of %d", row.Granted, row.Limit)
			}
		})
	}
}

// TestZeroReservation: a reservation of nothing may be settled at will.
func TestZeroReservation(t *testing.T) {
	var r lease.Reservation
	r.Settle(10)
	r.Cancel()
	if r.Reserved() != 0 {
		t.Errorf("reserved %d", r.Reserved())
	}
}

// TestSettleAcrossTheEdge: a reservation of a window that is over changes nothing
// in the next one, whether it took less or more.
func TestSettleAcrossTheEdge(t *testing.T) {
	for _, actual := range []int64{0, 40, 90} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			l := w.engine(lease.Deny, nil).Limit("k", 100, quota.Minute)
			pass(50 * time.Second)
			old := reserve(t, l, 40, lease.Granted)
			pass(10 * time.Second)
			reserve(t, l, 70, lease.Granted)
			old.Settle(actual)
			if got := l.Headroom(); got != 30 {
				t.Errorf("settled for %d: headroom %d, want 30", actual, got)
			}
			reserve(t, l, 31, lease.Full)
			reserve(t, l, 30, lease.Granted)
		})
	}
}

// TestSettleBeforeAnyoneSeesTheEdge: the first settle after the edge comes before
// the first reserve; it must not be spendable in the new window.
func TestSettleBeforeAnyoneSeesTheEdge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.engine(lease.Deny, nil).Limit("k", 100, quota.Minute)
		old := reserve(t, l, 100, lease.Granted)
		pass(time.Minute)
		old.Settle(0)
		reserve(t, l, 100, lease.Granted)
		reserve(t, l, 1, lease.Full)
		if row := w.row("k", quota.Minute, 0); row.Granted != 100 {
			t.Errorf("row granted %d, want 100", row.Granted)
		}
	})
}

// TestDebtIsPaid: what a request took beyond its reservation is taken from the row
// with the next acquisition, even if that request is then refused, so that others
// cannot spend it.
func TestDebtIsPaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a := w.engine(lease.Deny, nil).Limit("k", 1000, quota.Minute)
		b := w.engine(lease.Deny, nil).Limit("k", 1000, quota.Minute)
		r := reserve(t, a, 100, lease.Granted)
		r.Settle(950)
		if got := a.Headroom(); got != 50 {
			t.Errorf("headroom %d, want 50", got)
		}
		reserve(t, b, 30, lease.Granted)
		// 1000 − 950 − 30 = 20: a request of 50 may fit for all that a knows.
		reserve(t, a, 50, lease.Full)
		if got := w.row("k", quota.Minute, 0).Granted; got != 980 {
			t.Errorf("row granted %d, want 980 (950 and 30)", got)
		}
		reserve(t, b, 21, lease.Full)
		reserve(t, b, 20, lease.Granted)
	})
}

// TestRefundServesWaiters: units that come back while a request waits are given to
// it at once.
func TestRefundServesWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.engine(lease.Deny, nil).Limit("k", 100, quota.Minute)
		r := reserve(t, l, 60, lease.Granted)
		w.store.set(func(string) fault { return fault{delay: 100 * time.Millisecond} })
		begin := time.Now()
		done := make(chan time.Duration)
		go func() {
			reserve(t, l, 40, lease.Granted)
			done <- time.Since(begin)
		}()
		synctest.Wait()
		r.Settle(0)
		if took := <-done; took != 0 {
			t.Errorf("the waiter was served after %v, want at once", took)
		}
		pass(time.Second) // The write goes on without it.
		if got := l.Headroom(); got != 60 {
			t.Errorf("headroom %d, want 60", got)
		}
	})
}
