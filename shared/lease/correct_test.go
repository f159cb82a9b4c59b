package lease_test

import (
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/lease"
	"spillway/shared/quota"
)

// TestCorrectRemaining: a backend's figure lowers the headroom, what is reserved
// after it counts against it, and it ends by time.
func TestCorrectRemaining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.engine(lease.Deny, nil).Limit("k", 1000, quota.Minute)
		before := reserve(t, l, 200, lease.Granted)
		until := time.Now().Add(20 * time.Second)
		l.CorrectRemaining(300, until)
		if got := l.Headroom(); got != 300 {
			t.Fatalf("headroom %d, want 300", got)
		}
		after := reserve(t, l, 100, lease.Granted)
		_, v := l.Reserve(t.Context(), 201)
		if v.Outcome != lease.Full || !v.RetryAt.Equal(until) {
			t.Errorf("%v until %v, want full until %v", v.Outcome, v.RetryAt, until)
		}
		before.Settle(0) // Counted before the figure: brings nothing back.
		if got := l.Headroom(); got != 200 {
			t.Errorf("headroom %d, want 200", got)
		}
		after.Settle(40)
		if got := l.Headroom(); got != 260 {
			t.Errorf("headroom %d, want 260", got)
		}
		reserve(t, l, 260, lease.Granted)
		reserve(t, l, 1, lease.Full)
		pass(20 * time.Second)
		if got := l.Headroom(); got != 700 {
			t.Errorf("after the correction: headroom %d, want 700", got)
		}
		reserve(t, l, 700, lease.Granted)
	})
}

// TestCorrectionsNeverRaise: no sequence of figures lifts the headroom above what it
// was, and the lowest one rules.
func TestCorrectionsNeverRaise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.engine(lease.Deny, nil).Limit("k", 1000, quota.Minute)
		reserve(t, l, 900, lease.Granted)
		end := l.Status().ResetAt
		headroom := int64(100)
		for _, figure := range []int64{5000, 100, 70, 90, 0, 60, -1} {
			l.CorrectRemaining(figure, end.Add(time.Hour))
			headroom = min(headroom, max(figure, 0))
			if got := l.Headroom(); got != headroom {
				t.Errorf("after %d: headroom %d, want %d", figure, got, headroom)
			}
		}
		l.CorrectRemaining(0, time.Now().Add(-time.Second)) // Past: says nothing.
		pass(time.Minute)
		reserve(t, l, 1000, lease.Granted)
	})
}

// TestCorrectionOfTheNextWindow: an instance whose clock is behind came to the next window by
// its row. What a backend had said of the window before still held by that clock, so that a
// figure of the new window that was not lower was dropped, and forgotten at the edge.
func TestCorrectionOfTheNextWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		pass(59 * time.Second)
		ahead := w.engine(lease.Deny, skewed(time.Second)).Limit("k", 100, quota.Minute)
		behind := w.engine(lease.Deny, nil).Limit("k", 100, quota.Minute)
		behind.CorrectRemaining(10, behind.Status().ResetAt)
		reserve(t, ahead, 1, lease.Granted)
		reserve(t, behind, 10, lease.Granted) // The row is of the next window.
		behind.CorrectRemaining(10, behind.Status().ResetAt)
		pass(30 * time.Second)
		reserve(t, behind, 11, lease.Full)
		reserve(t, behind, 10, lease.Granted)
	})
}

// TestSettleUnderALaterCorrection: units reserved before the figure that rules do not
// lift it when they come back, also if an earlier figure had counted them.
func TestSettleUnderALaterCorrection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.engine(lease.Deny, nil).Limit("k", 1000, quota.Minute)
		end := l.Status().ResetAt
		l.CorrectRemaining(500, end)
		r := reserve(t, l, 100, lease.Granted)
		l.CorrectRemaining(200, end)
		r.Settle(0)
		if got := l.Headroom(); got != 200 {
			t.Errorf("headroom %d, want 200", got)
		}
	})
}

// TestCorrectAmount: a lower amount acts at once, on what was granted before too; a
// header that is not lower lifts it from the next window on.
func TestCorrectAmount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.engine(lease.Deny, nil).Limit("k", 1000, quota.Minute)
		r := reserve(t, l, 800, lease.Granted)
		r.Settle(100)
		l.CorrectAmount(300)
		if got := l.Amount(); got != 300 {
			t.Errorf("amount %d, want 300", got)
		}
		if got := l.Headroom(); got != 200 {
			t.Errorf("headroom %d, want 200", got)
		}
		reserve(t, l, 301, lease.Full) // Not too large: the cut may pass.
		reserve(t, l, 201, lease.Full)
		reserve(t, l, 200, lease.Granted)
		pass(time.Minute)
		reserve(t, l, 301, lease.Full)
		reserve(t, l, 100, lease.Granted)
		l.CorrectAmount(0) // Says nothing.
		if got := l.Amount(); got != 300 {
			t.Errorf("amount %d, want 300", got)
		}
		l.CorrectAmount(2000)
		if got := l.Amount(); got != 1000 {
			t.Errorf("amount %d, want 1000", got)
		}
		reserve(t, l, 200, lease.Granted)
		reserve(t, l, 1, lease.Full)
		pass(2 * time.Minute)
		reserve(t, l, 1000, lease.Granted)
	})
}
