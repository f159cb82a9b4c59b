package lease_test

import (
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/lease"
	"spillway/shared/quota"
)

// TestOneLargeRequest: a single large request does not make its instance ask the store
// for every small one that follows. (Chunks were once multiples of the largest request
// of the last many windows.)
func TestOneLargeRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		l := w.engine(lease.Deny, nil).Limit("k", 300_000, quota.Minute)
		others := w.engine(lease.Deny, nil).Limit("k", 300_000, quota.Minute)
		reserve(t, l, 50_000, lease.Granted)
		send := func(n int) {
			for range n {
				reserve(t, l, 100, lease.Granted)
				pass(100 * time.Millisecond)
			}
		}
		send(100)
		w.store.count()
		for range 10 { // Now and then somebody else takes some, so that rows must be read.
			reserve(t, others, 1000, lease.Granted)
			send(10)
		}
		synctest.Wait()
		if n := w.store.count(); n > 50 {
			t.Errorf("%d store calls for 110 requests", n)
		}
	})
}
