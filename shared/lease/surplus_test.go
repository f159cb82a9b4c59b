package lease_test

import (
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/lease"
	"spillway/shared/quota"
)

// TestGiveBackSurplus: fifteen instances join the one that served all requests, at the
// edge of a window for which it has taken units ahead by itself. It is never idle, but
// will not spend them any more: without giving them back it refused the others to the end.
func TestGiveBackSurplus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const amount, size = 4200, 48
		w := newWorld(t)
		engines := []*lease.Engine{w.engine(lease.Deny, nil)}
		// Three requests a second, in turns.
		serve := func(seconds int) (granted int64) {
			for turn := range 3 * seconds {
				e := engines[turn%len(engines)]
				if r, v := e.Limit("k", amount, quota.Minute).Reserve(t.Context(), size); v.Outcome == lease.Granted {
					granted += size
					r.Settle(size)
				}
				if turn%15 == 0 {
					for _, e := range engines {
						e.GiveBackIdle(t.Context(), 6*time.Second) // Each is asked every 5 s.
					}
				}
				pass(time.Second / 3)
			}
			return granted
		}
		serve(59)
		pass(time.Second)
		if row := w.row("k", quota.Minute, 0); row.NextGranted < amount/4 {
			t.Fatalf("only %d were taken ahead: nothing is shown", row.NextGranted)
		}
		for range 15 {
			engines = append(engines, w.engine(lease.Deny, nil))
		}
		if granted := serve(59); granted < amount-size {
			t.Errorf("%d of %d units were granted", granted, amount)
		}
	})
}

// TestGiveBackLeavesSteadyDemand: an instance that goes on as it did gives nothing back,
// be its requests few or many: it would take it again at once.
func TestGiveBackLeavesSteadyDemand(t *testing.T) {
	for _, every := range []time.Duration{20 * time.Millisecond, time.Second, 3 * time.Second, 4 * time.Second, 4900 * time.Millisecond} {
		t.Run(every.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				e := w.engine(lease.Deny, nil)
				l := e.Limit("k", 10_000_000, quota.Minute)
				tended := time.Now()
				for began := time.Now(); time.Since(began) < 3*time.Minute; pass(every) {
					r := reserve(t, l, 1000, lease.Granted)
					r.Settle(900)
					if time.Since(tended) >= 5*time.Second {
						tended = time.Now()
						e.GiveBackIdle(t.Context(), 5*time.Second)
					}
				}
				if n := w.log.count(lease.EventGiveBack); n != 0 {
					t.Errorf("it gave back %d times", n)
				}
			})
		})
	}
}
