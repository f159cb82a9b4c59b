package lease_test

import (
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/clock"
	"spillway/shared/lease"
	"spillway/shared/quota"
)

// TestPeek: a look says what Reserve would say, changes nothing and asks nobody.
func TestPeek(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.engine(lease.Deny, nil).Limit("k", 100, quota.Minute)
		peek := func(n int64, want lease.Outcome) lease.Verdict {
			t.Helper()
			w.store.count()
			v := l.Peek(n)
			if v.Outcome != want {
				t.Errorf("Peek(%d) is %v, want %v", n, v.Outcome, want)
			}
			if n := w.store.count(); n != 0 {
				t.Errorf("a look took %d store calls", n)
			}
			return v
		}
		peek(100, lease.Granted)
		peek(101, lease.TooLarge)
		r := reserve(t, l, 60, lease.Granted)
		end := l.Status().ResetAt
		peek(40, lease.Granted)
		if v := peek(41, lease.Full); !v.RetryAt.Equal(end) {
			t.Errorf("retry at %v, want %v", v.RetryAt, end)
		}
		r.Settle(10)
		peek(90, lease.Granted)
		until := time.Now().Add(7 * time.Second)
		l.CorrectRemaining(20, until)
		if v := peek(21, lease.Full); !v.RetryAt.Equal(until) {
			t.Errorf("retry at %v, want %v", v.RetryAt, until)
		}
		peek(20, lease.Granted)
		pass(time.Minute)
		peek(100, lease.Granted)
		reserve(t, w.engine(lease.Deny, nil).Limit("k", 100, quota.Minute), 70, lease.Granted)
		reserve(t, l, 10, lease.Granted)
		peek(20, lease.Granted)
		peek(21, lease.Full) // What the other took is known by now.
	})
}

// TestCurrent: a reservation is current in its own window, until it is settled.
func TestCurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		clk := new(clock.Clock)
		l := w.engine(lease.Deny, clk).Limit("k", 100, quota.Minute)
		var zero lease.Reservation
		settled, open := reserve(t, l, 10, lease.Granted), reserve(t, l, 10, lease.Granted)
		settled.Settle(10)
		now := clk.Read()
		if zero.Current(now) || settled.Current(now) || !open.Current(now) {
			t.Errorf("current: zero %v, settled %v, open %v; want only the open one", zero.Current(now), settled.Current(now), open.Current(now))
		}
		pass(time.Minute)
		if open.Current(clk.Read()) {
			t.Error("still current after the window's end")
		}
	})
}
