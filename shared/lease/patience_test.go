package lease_test

import (
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/lease"
	"spillway/shared/quota"
	"spillway/shared/store"
)

// TestSlowStoreCostsOnce: a request that passes many limits waits for a slow store
// once, not at each of them. What it is granted without the rows is debited.
func TestSlowStoreCostsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine(lease.Allow, nil)
		w.store.set(func(string) fault { return fault{delay: 60 * time.Millisecond} })
		ctx := store.WithPatience(t.Context(), longest)
		begin := time.Now()
		keys := []string{"a", "b", "c", "d"}
		for _, key := range keys {
			if _, v := e.Limit(key, 100, quota.Minute).Reserve(ctx, 10); !v.OK() {
				t.Errorf("limit %s: %v", key, v.Outcome)
			}
		}
		if took := time.Since(begin); took > longest {
			t.Errorf("waited %v in all, want %v at most", took, longest)
		}
		if w.log.units(lease.EventUnmetered) == 0 {
			t.Error("void: every limit was in time")
		}
		pass(time.Second)
		for _, key := range keys {
			if got := w.row(key, quota.Minute, 0).Granted; got < 10 {
				t.Errorf("the row of %s counts %d, want the 10 that were granted", key, got)
			}
		}
	})
}

// TestPatienceRefusesNobody: where a policy refuses without the store, each limit is
// waited for.
func TestPatienceRefusesNobody(t *testing.T) {
	for _, policy := range []lease.Policy{lease.FairShare, lease.Deny} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			e := w.engine(policy, nil)
			w.store.set(func(string) fault { return fault{delay: 60 * time.Millisecond} })
			ctx := store.WithPatience(t.Context(), longest)
			for _, key := range []string{"a", "b", "c", "d"} {
				if _, v := e.Limit(key, 100, quota.Minute).Reserve(ctx, 10); v.Outcome != lease.Granted {
					t.Errorf("%v, limit %s: %v", policy, key, v.Outcome)
				}
			}
		})
	}
}

// TestContentionCostsNoPatience: others' writes are no fault of the store. A request
// that waited for them is not granted without a row at the next limit.
func TestContentionCostsNoPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e := w.engine(lease.Allow, nil)
		w.store.set(func(call string) fault {
			if call == "get" {
				return fault{delay: 5 * time.Millisecond}
			}
			return fault{delay: 5 * time.Millisecond, drop: store.ErrConflict}
		})
		ctx := store.WithPatience(t.Context(), longest)
		if _, v := e.Limit("contended", 100, quota.Minute).Reserve(ctx, 10); v.Outcome != lease.Contended {
			t.Errorf("%v, want contended", v.Outcome)
		}
		w.store.set(func(string) fault { return fault{delay: 5 * time.Millisecond} })
		if _, v := e.Limit("free", 100, quota.Minute).Reserve(ctx, 10); v.Outcome != lease.Granted {
			t.Errorf("%v, want granted", v.Outcome)
		}
	})
}

// TestRefusedOnlyByTheStore: who would be refused without the store waits for its
// trial, so that nobody is refused when it is back.
func TestRefusedOnlyByTheStore(t *testing.T) {
	for _, policy := range []lease.Policy{lease.FairShare, lease.Deny} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.store.set(func(string) fault { return down })
			l := w.engine(policy, nil).Limit("k", 100, quota.Minute)
			reserve(t, l, 1, lease.Refused)
			w.store.set(nil)
			pass(6 * time.Second)
			reserve(t, l, 1, lease.Granted)
		})
	}
}
