package swarm_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/clock"
	"spillway/shared/lease"
	"spillway/shared/quota"
	"spillway/shared/store"
	"spillway/shared/store/memory"
)

// What the swarm has found, each as the shortest way there.

// hooked is a store some of whose writes go wrong.
type hooked struct {
	store.Store
	replaced atomic.Int64
	slow     time.Duration // How long a read takes.
	replace  func(n int64, key store.Key, do func() (string, error)) (string, error)
}

func (h *hooked) Get(ctx context.Context, key store.Key) (store.Row, error) {
	wait(h.slow)
	return h.Store.Get(ctx, key)
}

func (h *hooked) Replace(ctx context.Context, key store.Key, columns store.Columns, etag string) (string, error) {
	do := func() (string, error) { return h.Store.Replace(ctx, key, columns, etag) }
	return h.replace(h.replaced.Add(1), key, do)
}

func newEngine(t *testing.T, s store.Store, c *clock.Clock, name string) *lease.Engine {
	t.Helper()
	e, err := lease.New(lease.Options{Store: s, Clock: c, Instance: name})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// wait lets time go by.
func wait(d time.Duration) {
	if d > 0 {
		<-time.After(d)
	}
}

// rowOf names the row of a shard.
func rowOf(key string, shard int64) store.Key {
	return store.Key{Partition: quota.Partition(key, quota.Minute, shard), Row: quota.RowKey}
}

// granted is what the row of "key" has granted.
func granted(t *testing.T, s store.Store) int64 {
	t.Helper()
	row, err := s.Get(t.Context(), rowOf("key", 0))
	if err != nil {
		t.Fatal(err)
	}
	units, _ := row.Columns["Granted"].(int64)
	return units
}

// split makes the rows of a limit of 2,000 units with two shards, of which so many
// units are granted.
func split(t *testing.T, s store.Store, key string, taken ...int64) {
	t.Helper()
	for shard, units := range taken {
		row := quota.New(quota.Minute.Window(time.Now()), 2000)
		row.Shards, row.NextShards, row.WantShards = 2, 2, 2
		row.Granted, row.Holders = units, 40
		if _, err := s.Insert(t.Context(), rowOf(key, int64(shard)), row.Columns()); err != nil {
			t.Fatal(err)
		}
	}
}

// A machine's clock is half a second ahead and is corrected within the window. By
// the monotonic clock the lease then ends half a second before its window. What was
// spent in the window stays spent.
func TestSpentStaysSpentWhenTheLeaseEndsEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const amount, ahead = 100, 500 * time.Millisecond
		started := time.Now()
		c := clock.New(func() (time.Time, time.Duration) { return time.Now().Add(ahead), time.Since(started) })
		down := &hooked{Store: memory.New(), replace: func(int64, store.Key, func() (string, error)) (string, error) {
			return "", store.ErrUnavailable
		}}
		e := newEngine(t, down, c, "one")
		l := e.Limit("key", amount, quota.Minute)
		if _, v := l.Reserve(t.Context(), 1); !v.OK() {
			t.Fatal(v)
		}
		for range 20 { // Dates seen at all phases of a second correct the clock.
			wait(1050 * time.Millisecond)
			local := time.Now().Add(ahead)
			c.Observe(time.Now().Truncate(time.Second), local, local)
		}
		for spent := int64(1); spent < amount; spent++ {
			if _, v := l.Reserve(t.Context(), 1); !v.OK() {
				t.Fatalf("unit %d: %v", spent+1, v.Outcome)
			}
		}
		wait(time.Until(started.Add(time.Minute - 200*time.Millisecond)))
		if _, v := l.Reserve(t.Context(), 1); v.OK() {
			t.Errorf("one more than the limit of %d is %v in the same window", amount, v.Outcome)
		}
	})
}

// Something on the way sends a give-back twice and returns the second answer, a
// conflict. The row carries the nonce of the give-back: it has happened.
func TestGiveBackThatHappenedIsNotRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows := memory.New()
		twice := &hooked{Store: rows, replace: func(_ int64, _ store.Key, do func() (string, error)) (string, error) {
			if etag, err := do(); err != nil {
				return etag, err
			}
			return do()
		}}
		one, other := newEngine(t, twice, nil, "one"), newEngine(t, rows, nil, "other")
		r, v := one.Limit("key", 100, quota.Minute).Reserve(t.Context(), 10)
		if !v.OK() {
			t.Fatal(v.Outcome)
		}
		held := granted(t, rows)
		if _, v := other.Limit("key", 100, quota.Minute).Reserve(t.Context(), 50); !v.OK() {
			t.Fatal(v.Outcome)
		}
		want := granted(t, rows) - held
		r.Cancel()
		one.GiveBack(t.Context())
		if got := granted(t, rows); got != want {
			t.Errorf("after the give-back %d units are granted, want the %d of the other instance", got, want)
		}
	})
}

// The home shard of an instance is spent and the other one serves it. While it asks
// for more, a settled request makes room, so that nobody waits any more when the
// answer of the home shard comes. That says nothing about the other shard.
func TestRefundDuringAVisitRefusesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows := memory.New()
		var last string
		s := &hooked{Store: rows, replace: func(_ int64, key store.Key, do func() (string, error)) (string, error) {
			last = key.Partition
			return do()
		}}
		e := newEngine(t, s, nil, "one")
		split(t, rows, "probe", 0, 0)
		if _, v := e.Limit("probe", 2000, quota.Minute).Reserve(t.Context(), 10); !v.OK() {
			t.Fatal(v.Outcome)
		}
		taken := []int64{100, 997}
		if last == rowOf("probe", 0).Partition { // Its home is shard 0.
			taken = []int64{997, 100}
		}
		split(t, rows, "key", taken...)
		l := e.Limit("key", 2000, quota.Minute)
		first, v := l.Reserve(t.Context(), 10)
		if !v.OK() {
			t.Fatal(v.Outcome)
		}
		s.slow = 5 * time.Millisecond
		var group sync.WaitGroup
		group.Go(func() {
			if _, v := l.Reserve(t.Context(), 10); !v.OK() {
				t.Errorf("the second request is %v", v.Outcome)
			}
		})
		wait(time.Millisecond)
		first.Cancel()
		group.Wait()
		wait(time.Second)
		if _, v := l.Reserve(t.Context(), 10); !v.OK() {
			t.Errorf("the third request is %v, but one of two shards has nearly 900 of 1000 left", v.Outcome)
		}
	})
}
