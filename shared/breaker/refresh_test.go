package breaker

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/store"
)

func TestOneQueryPerInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		a := f.instances[0]
		for range 1000 {
			a.refresh()
			elapse(10 * time.Millisecond)
		}
		if n := f.store.count(query); n != 5 {
			t.Errorf("%d queries in 10 s, want 5", n)
		}
		if n := f.store.count(get) + f.store.count(write); n != 0 {
			t.Errorf("%d other operations, want 0", n)
		}
	})
}

func TestIdleInstancesLeaveTheStoreAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		f.instances[0].refresh()
		elapse(time.Hour)
		if n := f.store.count(query); n != 1 {
			t.Errorf("%d queries, want 1", n)
		}
	})
}

func TestRefreshDoesNotBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		a := f.instances[0]
		f.store.do(always(hang))
		start := time.Now()
		for range 10 {
			a.arrive(t.Context())
		}
		if waited := time.Since(start); waited != 0 {
			t.Errorf("a store that never answered was waited for: %v, want 0", waited)
		}
		synctest.Wait()
		f.store.do(nil)
		elapse(5 * time.Second)
		a.refresh()
		f.store.do(always(hang))
		elapse(25 * time.Second)
		start = time.Now()
		a.arrive(t.Context())
		if waited := time.Since(start); waited != 0 {
			t.Errorf("a view of 25 s was waited for: %v, want 0", waited)
		}
		elapse(operationTime)
	})
}

func TestSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2)
		a, b := f.instances[0], f.instances[1]
		f.store.do(always(unavailable))
		a.breakDown(t)
		if err := a.Sync(t.Context()); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("error %v, want that the store is unavailable", err)
		}
		f.store.do(nil)
		if err := a.Sync(t.Context()); err != nil { // It does not wait for the rest to end.
			t.Error(err)
		}
		if err := b.Sync(t.Context()); err != nil {
			t.Error(err)
		}
		b.is(t, Open)
		f.store.do(always(hang))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.Sync(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want the deadline", err)
		}
		elapse(2 * time.Second)
	})
}

// A trial that is claimed while a query is on its way must survive the older
// row that the query brings.
func TestQueryOlderThanTheClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFleet(t, 1)
		a := f.instances[0]
		f.store.after.Store(delays(query, 100*time.Millisecond))
		a.arrive(t.Context())
		synctest.Wait()
		pass := a.trial(t)
		elapse(200 * time.Millisecond)
		a.is(t, HalfOpen)
		pass.Success()
		a.is(t, Closed)
		synctest.Wait()
		if row := f.row(t); row.State != Closed {
			t.Errorf("row %+v, want State %v", row, Closed)
		}
	})
}

// A query may see our own claim before the claim's answer is there. It is not
// to be taken for one that nobody runs.
func TestQueryThatSeesAClaimBeforeItsAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFleet(t, 1)
		a := f.instances[0]
		f.store.before.Store(delays(query, 30*time.Millisecond))
		f.store.after.Store(delays(write, 60*time.Millisecond))
		past := len(a.happened())
		a.arrive(t.Context())
		a.trial(t)
		elapse(time.Second)
		if got := a.happened()[past:]; len(got) != 1 || got[0].Reason != ReasonTrialClaimed {
			t.Errorf("events %+v, want the claim alone", got)
		}
		if row := f.row(t); row.State != HalfOpen {
			t.Errorf("row %+v, want State %v", row, HalfOpen)
		}
	})
}

func TestOutdatedViewIsAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2)
		a, b := f.instances[0], f.instances[1]
		a.refresh()
		elapse(time.Minute) // a is frozen.
		b.admit(t).Throttled(time.Now().Add(time.Minute), 429)
		synctest.Wait()
		f.store.before.Store(delays(query, 100*time.Millisecond))
		start := time.Now()
		a.arrive(t.Context())
		if waited := time.Since(start); waited != 100*time.Millisecond {
			t.Errorf("waited %v, want %v", waited, 100*time.Millisecond)
		}
		if a.d.View().Usable(time.Now()) {
			t.Error("the request does not see what it waited for")
		}
	})
}

func TestOutdatedViewCosts150msOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		a := f.instances[0]
		a.refresh()
		elapse(time.Minute)
		f.store.before.Store(delays(query, time.Second))
		start := time.Now()
		a.arrive(t.Context())
		if waited := time.Since(start); waited != 150*time.Millisecond {
			t.Errorf("the first request waited %v, want %v", waited, 150*time.Millisecond)
		}
		a.arrive(t.Context())
		if waited := time.Since(start); waited != 150*time.Millisecond {
			t.Errorf("the second request waited %v more", waited-150*time.Millisecond)
		}
		elapse(operationTime)
	})
}

func TestOutdatedViewIsNotAwaitedByAnEndedRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		a := f.instances[0]
		a.refresh()
		elapse(time.Minute)
		f.store.before.Store(delays(query, time.Second))
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		start := time.Now()
		a.arrive(ctx)
		if waited := time.Since(start); waited != 20*time.Millisecond {
			t.Errorf("waited %v, want %v", waited, 20*time.Millisecond)
		}
		elapse(operationTime)
	})
}

func TestOutdatedViewOfAStoreThatIsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 1)
		a := f.instances[0]
		a.refresh()
		f.store.do(always(hang))
		elapse(time.Minute)
		a.arrive(t.Context()) // Finds out, for 150 ms.
		elapse(3 * time.Second)
		start := time.Now()
		for range 10 {
			a.arrive(t.Context())
		}
		if waited := time.Since(start); waited > 150*time.Millisecond {
			t.Errorf("ten requests waited %v, want at most %v", waited, 150*time.Millisecond)
		}
		elapse(operationTime)
	})
}
