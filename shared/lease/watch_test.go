package lease_test

import (
	"context"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/lease"
	"spillway/shared/quota"
)

// TestIdleIsLookedForWhereItMayBe: of a hundred limits that took no more than nobody misses,
// and one that took more, only that one is looked at, and not once its window is over.
func TestIdleIsLookedForWhereItMayBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine(lease.Deny, nil)
		for i := range 100 {
			reserve(t, e.Limit(strconv.Itoa(i), 160, quota.Minute), 10, lease.Granted)
		}
		reserve(t, e.Limit("large", 160, quota.Minute), 11, lease.Granted)
		if got := e.Watched(); !slices.Equal(got, []string{"large"}) {
			t.Errorf("looked at: %v, want the large one", got)
		}
		pass(time.Minute)
		e.GiveBackIdle(t.Context(), 5*time.Second)
		if got := e.Watched(); len(got) > 0 {
			t.Errorf("looked at after the window: %v, want none", got)
		}
	})
}

// TestLessIsMissed: what nobody missed others miss after the limit was cut, or once they
// are known to share it.
func TestLessIsMissed(t *testing.T) {
	for name, after := range map[string]func(t *testing.T, w *world, e *lease.Engine, l *lease.Limit){
		"the limit is cut": func(_ *testing.T, _ *world, e *lease.Engine, _ *lease.Limit) {
			e.Limit("k", 80, quota.Minute)
		},
		"another shares it": func(t *testing.T, w *world, _ *lease.Engine, l *lease.Limit) {
			reserve(t, w.engine(lease.Deny, nil).Limit("k", 160, quota.Minute), 150, lease.Granted)
			reserve(t, l, 20, lease.Full)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				e := w.engine(lease.Deny, nil)
				l := e.Limit("k", 160, quota.Minute)
				r := reserve(t, l, 10, lease.Granted)
				r.Cancel()
				if got := e.Watched(); len(got) > 0 {
					t.Fatalf("looked at: %v, want none", got)
				}
				after(t, w, e, l)
				if got := e.Watched(); !slices.Equal(got, []string{"k"}) {
					t.Errorf("looked at: %v, want the limit", got)
				}
			})
		})
	}
}

// TestForgottenGoesBack: what a limit holds that was forgotten goes back, however little
// it is, although nobody misses it.
func TestForgottenGoesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine(lease.Deny, nil)
		l := e.Limit("k", 160, quota.Minute)
		r := reserve(t, l, 5, lease.Granted)
		r.Cancel()
		e.Forget(l)
		e.GiveBackIdle(t.Context(), 5*time.Second)
		if got := w.row("k", quota.Minute, 0).Granted; got != 0 {
			t.Errorf("the row counts %d, want 0", got)
		}
	})
}

// TestDebtIsLookedFor: an idle limit that owes pays, although it holds nothing.
func TestDebtIsLookedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine(lease.Deny, nil)
		r := reserve(t, e.Limit("k", 160, quota.Minute), 1, lease.Granted)
		if got := e.Watched(); len(got) > 0 {
			t.Fatalf("looked at: %v, want none", got)
		}
		r.Settle(3)
		pass(5 * time.Second)
		e.GiveBackIdle(t.Context(), 5*time.Second)
		if got := w.row("k", quota.Minute, 0).Granted; got != 3 {
			t.Errorf("the row counts %d, want 3", got)
		}
	})
}

// TestWatchAfterGiveBackOfNothing: who has nothing left to give back, and learns then that
// others share the limit, is watched for what comes back to it later.
func TestWatchAfterGiveBackOfNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLocalWorld(t)
		e := w.engine(lease.Deny, nil)
		l := e.Limit("k", 48, quota.Minute)
		r := reserve(t, l, 2, lease.Granted) // Nobody misses three, as long as nobody else is there.
		reserve(t, w.engine(lease.Deny, nil).Limit("k", 48, quota.Minute), 1, lease.Granted)
		r.Settle(1)
		w.store.once("get", fault{delay: 10 * time.Millisecond})
		go e.GiveBack(context.Background())
		pass(5 * time.Millisecond)
		reserve(t, l, 1, lease.Granted)
		pass(time.Second)
		if amiss := e.Amiss(); len(amiss) > 0 {
			t.Error(amiss)
		}
	})
}
