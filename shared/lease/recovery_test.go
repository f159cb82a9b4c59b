package lease_test

import (
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/lease"
	"spillway/shared/quota"
)

// TestRecoveryHoweverLate: nobody asks whether the store is back as long as the lease
// covers every request. The first that it does not cover has the store asked, however
// late it comes, and is answered without it; those that come after the answer are not.
func TestRecoveryHoweverLate(t *testing.T) {
	for _, policy := range []lease.Policy{lease.Allow, lease.FairShare} {
		t.Run(policy.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				e := w.engine(policy, nil)
				held := e.Limit("held", 1000, quota.Hour)
				whole := reserve(t, held, 1000, lease.Granted)
				whole.Settle(0) // The lease is the whole limit.
				other := e.Limit("other", 1000, quota.Hour)
				reserve(t, other, 1, lease.Granted)

				w.store.set(func(string) fault { return down })
				for range 3 {
					other.Reserve(t.Context(), 100)
				}
				w.store.set(nil)
				w.store.count()
				for range 10 {
					pass(time.Minute)
					reserve(t, held, 1, lease.Granted)
				}
				if n := w.store.count(); n != 0 || !e.Degraded() {
					t.Fatalf("void: %d store calls, degraded %v", n, e.Degraded())
				}

				reserve(t, other, 100, lease.Unmetered)
				reserve(t, other, 100, lease.Unmetered) // The answer is not there yet.
				synctest.Wait()
				if e.Degraded() {
					t.Error("still degraded after the store has answered")
				}
				reserve(t, other, 100, lease.Granted)
			})
		})
	}
}
