package lease_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/lease"
	"spillway/shared/quota"
)

// sharded puts a limit of 1,200 in 4 shards into the store, as of now.
func (w *world) sharded(key string, shards int64) {
	row := quota.New(quota.Minute.Window(time.Now()), 1200)
	row.Shards, row.NextShards, row.WantShards = shards, shards, shards
	for i := range shards {
		w.put(key, quota.Minute, i, row.Columns())
	}
}

// granted sums what all shards have granted in the row's window, and checks that no
// shard is over its share.
func (w *world) granted(key string, shards int64) (sum int64) {
	w.tb.Helper()
	for i := range shards {
		row := w.row(key, quota.Minute, i)
		if share := quota.Share(row.Limit, shards, i); row.Granted > share {
			w.tb.Errorf("shard %d granted %d of its share of %d", i, row.Granted, share)
		}
		sum += row.Granted
	}
	return sum
}

// TestShards: each instance takes from its home shard, then from one other, and all
// together never more than the limit.
func TestShards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.sharded("k", 4)
		var total int64
		for range 40 {
			l := w.engine(lease.Deny, nil).Limit("k", 1200, quota.Minute)
			for {
				if _, v := l.Reserve(t.Context(), 10); !v.OK() {
					if v.Outcome != lease.Full {
						t.Fatal(v)
					}
					break
				}
				total += 10
			}
			if sum := w.granted("k", 4); sum < total || sum > 1200 {
				t.Fatalf("shards granted %d, instances %d of 1200", sum, total)
			}
		}
		if total != 1200 {
			t.Errorf("granted %d of 1200", total)
		}
	})
}

// TestOtherShardIsNew: when the home shard is spent, the other one serves although
// nobody has used it yet, wherever the instance is at home. (An instance at home in
// shard 0 once forgot how many shards there are, and refused.)
func TestOtherShardIsNew(t *testing.T) {
	homes := make(map[int64]int)
	for name := range 8 {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.names = name
			row := quota.New(quota.Minute.Window(time.Now()), 1200)
			row.Shards, row.NextShards, row.WantShards = 2, 2, 2
			w.put("k", quota.Minute, 0, row.Columns())
			l := w.engine(lease.Deny, nil).Limit("k", 1200, quota.Minute)
			reserve(t, l, 600, lease.Granted)
			home := 1 - w.row("k", quota.Minute, 0).Granted/600
			homes[home]++
			reserve(t, l, 600, lease.Granted)
			reserve(t, l, 1, lease.Full)
			if sum := w.granted("k", 2); sum != 1200 {
				t.Errorf("the shards granted %d, want 1200", sum)
			}
		})
	}
	if len(homes) != 2 {
		t.Errorf("void: the instances are at home in %v", homes)
	}
}

// TestFewInstancesOfManyShards: where the number of shards has not yet followed a fleet
// that shrank, the last instance still gets the whole limit.
func TestFewInstancesOfManyShards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.sharded("k", 16)
		l := w.engine(lease.Deny, nil).Limit("k", 1200, quota.Minute)
		for range 16 {
			reserve(t, l, 75, lease.Granted)
		}
		reserve(t, l, 1, lease.Full)
		if sum := w.granted("k", 16); sum != 1200 {
			t.Errorf("the shards granted %d, want 1200", sum)
		}
	})
}

// TestShardsFollowTheLoad: a limit that many instances share is split two edges
// later, and goes back to one row, by halves, when a few are left; the limit holds all the time.
func TestShardsFollowTheLoad(t *testing.T) {
	const limit = 600_000
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.store.set(func(string) fault { return fault{delay: 2 * time.Millisecond} })
		var mu sync.Mutex
		granted := make(map[time.Time]int64)
		var group sync.WaitGroup
		for i := range 100 {
			l := w.engine(lease.Deny, nil).Limit("k", limit, quota.Minute)
			until := 4
			if i < 3 {
				until = 12
			}
			group.Go(func() {
				for time.Now().Minute() < until {
					_, v := l.Reserve(context.Background(), 200)
					mu.Lock()
					if v.OK() {
						granted[l.Status().ResetAt] += 200
					}
					mu.Unlock()
					pass(time.Duration(w.random(uint64(2 * time.Second))))
				}
			})
		}
		most := int64(0)
		for range 12 {
			pass(59 * time.Second)
			most = max(most, w.row("k", quota.Minute, 0).Shards)
			pass(time.Second)
		}
		group.Wait()
		pass(time.Second)
		if most != 4 {
			t.Errorf("at most %d shards for 100 instances, want 4", most)
		}
		if got := w.row("k", quota.Minute, 0).Shards; got != 1 {
			t.Errorf("%d shards for 3 instances, want 1", got)
		}
		for window, n := range granted {
			if n > limit {
				t.Errorf("window to %v: granted %d of %d", window, n, limit)
			}
		}
	})
}

// TestTooLargeForAShard: a request that fits the limit but no shard is refused for
// now, and two windows later there are fewer shards, whichever shard is home.
func TestTooLargeForAShard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.sharded("k", 4)
		var limits []*lease.Limit
		for range 8 { // Some of them at home in other shards than 0.
			limits = append(limits, w.engine(lease.Deny, nil).Limit("k", 1200, quota.Minute))
		}
		for _, l := range limits[1:] {
			reserve(t, l, 500, lease.Full)
		}
		if got := w.row("k", quota.Minute, 0).WantShards; got != 1 {
			t.Errorf("%d shards wanted, want 1", got)
		}
		pass(time.Minute)
		for _, l := range limits {
			reserve(t, l, 1, lease.Granted)
		}
		pass(time.Minute)
		reserve(t, limits[3], 500, lease.Granted)
		if row := w.row("k", quota.Minute, 0); row.Shards != 1 || row.Granted > 1200 {
			t.Errorf("row %+v, want one shard", row)
		}
	})
}

// TestShardsAreSettledBeforeUse: an instance whose home is not shard 0 writes down
// how many shards the window has before it takes anything, when nobody else did for
// a while. Else two instances could see different numbers and grant too much.
func TestShardsAreSettledBeforeUse(t *testing.T) {
	guests := 0
	for name := range 8 {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.names = name
			w.sharded("k", 4)
			pass(5 * time.Minute)
			reserve(t, w.engine(lease.Deny, nil).Limit("k", 1200, quota.Minute), 10, lease.Granted)
			row := w.row("k", quota.Minute, 0)
			if row.Window != quota.Minute.Window(time.Now()) || row.Shards != 4 {
				t.Errorf("shard 0 is %+v after a grant", row)
			}
			if row.Granted == 0 {
				guests++
			}
			if sum := w.granted("k", 4); sum != 10 {
				t.Errorf("the shards granted %d, want 10", sum)
			}
		})
	}
	if guests == 0 {
		t.Error("void: every instance is at home in shard 0")
	}
}
