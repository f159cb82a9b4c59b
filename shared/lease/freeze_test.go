package lease_test

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/clock"
	"spillway/shared/lease"
	"spillway/shared/quota"
)

// skewed is a clock that is wrong by a fixed time.
func skewed(by time.Duration) *clock.Clock {
	begin := time.Now()
	return clock.New(func() (time.Time, time.Duration) {
		now := time.Now()
		return now.Add(by), now.Sub(begin)
	})
}

// machine is a pair of clocks that can be disturbed.
type machine struct {
	step   atomic.Int64 // What the wall clock was stepped by.
	frozen atomic.Int64 // How long the monotonic clock stood still.
}

func (m *machine) clock() *clock.Clock {
	begin := time.Now()
	return clock.New(func() (time.Time, time.Duration) {
		now := time.Now()
		return now.Add(time.Duration(m.step.Load())), now.Sub(begin) - time.Duration(m.frozen.Load())
	})
}

// TestFrozenProcess: the monotonic clock stood still, the wall clock did not. The
// lease of the old window is dead.
func TestFrozenProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var m machine
		frozen := w.engine(lease.Deny, m.clock()).Limit("k", 100, quota.Minute)
		r := reserve(t, frozen, 60, lease.Granted)
		r.Settle(0) // It holds 60.
		pass(70 * time.Second)
		m.frozen.Store(int64(70 * time.Second))
		other := w.engine(lease.Deny, nil).Limit("k", 100, quota.Minute)
		reserve(t, other, 90, lease.Granted)
		reserve(t, frozen, 11, lease.Full)
		reserve(t, frozen, 10, lease.Granted)
	})
}

// TestSteppedWallClock: the wall clock was set back by a minute, the monotonic clock
// knows better. The lease is dead, and its reservations settle to nothing.
func TestSteppedWallClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var m machine
		stepped := w.engine(lease.Deny, m.clock()).Limit("k", 100, quota.Minute)
		open := reserve(t, stepped, 20, lease.Granted)
		r := reserve(t, stepped, 60, lease.Granted)
		r.Settle(0) // It holds 60.
		pass(time.Minute)
		m.step.Store(-int64(time.Minute))
		other := w.engine(lease.Deny, nil).Limit("k", 100, quota.Minute)
		reserve(t, other, 70, lease.Granted)
		reserve(t, stepped, 31, lease.Full)
		open.Settle(0)
		reserve(t, stepped, 31, lease.Full)
		reserve(t, stepped, 30, lease.Granted)
		if row := w.row("k", quota.Minute, 0); row.Granted != 100 || row.Window.Start().Minute() != 1 {
			t.Errorf("row %+v, want 100 granted in minute 1", row)
		}
	})
}

// TestFreezeDuringACall: a call during which the process was frozen says nothing
// about the store.
func TestFreezeDuringACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var m machine
		l := w.engine(lease.Deny, m.clock()).Limit("k", 100, quota.Hour)
		calls := 0
		w.store.set(func(string) fault {
			if calls++; calls > 3 {
				return fault{}
			}
			m.step.Add(int64(10 * time.Second))
			return down
		})
		reserve(t, l, 100, lease.Granted)
		if n := w.log.count(lease.EventDegraded); n != 0 {
			t.Error("a frozen process took the store for down")
		}
	})
}
