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

// TestLittleIsTakenAtOnce: who asks for little of a large limit, now and then, takes what
// nobody misses, and does not write for each request. Of a limit whose window lasts a day
// or longer that is less: what a crash strands is missed for that long.
func TestLittleIsTakenAtOnce(t *testing.T) {
	for _, test := range []struct {
		period quota.Period
		most   int64 // The share of the amount that may be granted beyond what was asked for.
	}{{quota.Minute, 256}, {quota.Hour, 256}, {quota.Day, 1024}, {quota.Month, 1024}} {
		t.Run(test.period.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const amount, size = 10_000_000, 100
				w := newWorld(t)
				l := w.engine(lease.Deny, nil).Limit("k", amount, test.period)
				for range 5 {
					reserve(t, l, size, lease.Granted)
					pass(10 * time.Second)
				}
				if n := w.store.count(); n > 2 {
					t.Errorf("%d store calls for 5 requests within a minute, want a read and a write", n)
				}
				if got := w.row("k", test.period, 0).Granted; got < 5*size || got > amount/test.most {
					t.Errorf("%d units are granted, want at most %d", got, amount/test.most)
				}
			})
		})
	}
}
