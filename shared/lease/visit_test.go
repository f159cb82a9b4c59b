package lease_test

import (
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/lease"
	"spillway/shared/quota"
)

// roundTrip is how long a table takes.
const roundTrip = 7 * time.Millisecond

// TestDebtOverManyShards: an instance owes more than its home shard has left, and each
// other shard has a few units. A request is refused for want of room once some of them
// were asked, all of which pay what they have. (It once began anew after each such
// payment, until the time was up, and then the policy stood in for a store that worked:
// allow granted what no row had.)
func TestDebtOverManyShards(t *testing.T) {
	for _, policy := range []lease.Policy{lease.Allow, lease.FairShare, lease.Deny} {
		t.Run(policy.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const shards = 32
				defer pass(time.Second) // What is still under way comes to its end.
				w := newWorld(t)
				row := quota.New(quota.Minute.Window(time.Now()), 100*shards)
				row.Shards, row.NextShards, row.WantShards = shards, shards, shards
				row.Holders = 30
				for i := range int64(shards) {
					w.put("k", quota.Minute, i, row.Columns())
				}
				l := w.engine(policy, nil).Limit("k", 100*shards, quota.Minute)
				r := reserve(t, l, 10, lease.Granted)
				r.Settle(1000)
				for i := range int64(shards) {
					w.grant("k", i, 97-w.row("k", quota.Minute, i).Granted)
				}
				w.store.set(func(string) fault { return fault{delay: roundTrip} })
				w.store.count()
				before := w.granted("k", shards)
				reserve(t, l, 50, lease.Full)
				if n := w.store.count(); n > 12 {
					t.Errorf("%d store calls", n)
				}
				if paid := w.granted("k", shards) - before; paid < 6 || paid > 12 {
					t.Errorf("%d units were paid of what is owed, want 3 of each shard that was asked", paid)
				}
			})
		})
	}
}

// TestFullShardsAreNoOutage: the last instance of a fleet that shrank finds one of many
// shards full after another. When most of the time is up the request is refused for want
// of room, and not left to the policy: the store works.
func TestFullShardsAreNoOutage(t *testing.T) {
	for _, policy := range []lease.Policy{lease.Allow, lease.FairShare, lease.Deny} {
		t.Run(policy.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				defer pass(time.Second) // What is still under way comes to its end.
				w := newWorld(t)
				w.sharded("k", 32)
				for i := range int64(32) {
					w.grant("k", i, quota.Share(1200, 32, i))
				}
				w.store.set(func(string) fault { return fault{delay: roundTrip} })
				l := w.engine(policy, nil).Limit("k", 1200, quota.Minute)
				began := time.Now()
				reserve(t, l, 1, lease.Full)
				if took := time.Since(began); took < 100*time.Millisecond {
					t.Errorf("void: it took only %v", took)
				}
			})
		})
	}
}
