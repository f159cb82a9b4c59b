package lease_test

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/lease"
	"spillway/shared/quota"
	"spillway/shared/store"
)

// newLocalWorld is a world whose store is in the process of its engines.
func newLocalWorld(tb fataler) *world {
	w := newWorld(tb)
	w.local = true
	return w
}

// onRequest tells whether the caller runs on the goroutine of a Reserve.
func onRequest() bool {
	stack := make([]byte, 1<<16)
	return strings.Contains(string(stack[:runtime.Stack(stack, false)]), "(*Limit).Reserve(")
}

// callsOfRequests counts the store calls by kind, and fails the test if one is not made by
// a request on its own goroutine.
func callsOfRequests(t *testing.T, w *world) map[string]int {
	calls := make(map[string]int)
	w.store.set(func(call string) fault {
		if calls[call]++; !onRequest() {
			t.Errorf("%s on another goroutine", call)
		}
		return fault{}
	})
	return calls
}

// TestLocalRequestFliesItself: a request that needs units from a store in this process
// asks it on its own goroutine, whether the row is new or as last seen.
func TestLocalRequestFliesItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLocalWorld(t)
		calls := callsOfRequests(t, w)
		l := w.engine(lease.Deny, nil).Limit("k", 100, quota.Minute)
		for range 3 {
			reserve(t, l, 10, lease.Granted)
			pass(time.Minute)
		}
		for _, call := range []string{"get", "insert", "replace"} {
			if calls[call] == 0 {
				t.Errorf("void: no %s", call)
			}
		}
	})
}

// TestLocalTakesNothingEarly: however many requests there are, a store in this process is
// asked by those alone that run short, also where a window ends: nothing is taken before
// it is needed.
func TestLocalTakesNothingEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLocalWorld(t)
		callsOfRequests(t, w)
		l := w.engine(lease.Deny, nil).Limit("k", 1000, quota.Minute)
		for range 300 {
			reserve(t, l, 10, lease.Granted)
			pass(time.Second)
		}
	})
}

// TestLocalStoreTakesNoPatience: nobody waits for a store in this process, so who has
// no patience left is granted what the row grants, and no more.
func TestLocalStoreTakesNoPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLocalWorld(t)
		l := w.engine(lease.Allow, nil).Limit("k", 100, quota.Minute)
		ctx := store.WithPatience(t.Context(), 0)
		for range 10 {
			if _, v := l.Reserve(ctx, 10); v.Outcome != lease.Granted {
				t.Fatalf("%v, want granted", v.Outcome)
			}
		}
		if _, v := l.Reserve(ctx, 10); v.Outcome != lease.Full {
			t.Errorf("%v, want full", v.Outcome)
		}
	})
}

// TestLocalConflicts: a row that others in this process always write first is waited for
// as any: up to 150 ms, unless the caller goes, and it is over when they are done.
func TestLocalConflicts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLocalWorld(t)
		l := w.engine(lease.Allow, nil).Limit("k", 100, quota.Minute)
		conflicts := func(string) fault { return fault{drop: store.ErrConflict} }
		w.store.set(conflicts)
		begin := time.Now()
		reserve(t, l, 10, lease.Contended)
		if took := time.Since(begin); took != longest {
			t.Errorf("refused after %v, want %v", took, longest)
		}
		pass(time.Second)

		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if _, v := l.Reserve(ctx, 10); v.Outcome != lease.Canceled {
			t.Errorf("%v, want canceled", v.Outcome)
		}
		pass(time.Second)

		w.store.once("insert", fault{drop: store.ErrConflict})
		reserve(t, l, 100, lease.Granted)
		if n := w.log.count(lease.EventDegraded); n != 0 {
			t.Error("contention was taken for an outage")
		}
	})
}

// TestLocalStorm: many requests of several engines in one process share a limit, and
// exactly what it has is granted.
func TestLocalStorm(t *testing.T) {
	const amount, engines, each = 500, 4, 200
	w := newLocalWorld(t)
	results := make(chan int64, engines)
	for range engines {
		l := w.engine(lease.Deny, nil).Limit("k", amount, quota.Month)
		go func() {
			var granted int64
			for range each { // One after another, beside those of the other engines.
				if _, v := l.Reserve(context.Background(), 1); v.OK() {
					granted++
				}
			}
			results <- granted
		}()
	}
	var granted int64
	for range engines {
		granted += <-results
	}
	if granted > amount {
		t.Errorf("%d granted of %d", granted, amount)
	}
	l := newLocalWorld(t).engine(lease.Deny, nil).Limit("k", amount, quota.Month)
	if got, full := storm(t, l, sizes(2*amount, 1)); got != amount || len(full) != amount {
		t.Errorf("%d granted and %d refused as full, want %d each", got, len(full), amount)
	}
}

// TestLocalForeignRow: what others wrote as columns counts, and what is none of our rows
// is left to the policy.
func TestLocalForeignRow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newLocalWorld(t)
		row, _ := quota.New(quota.Minute.Window(time.Now()), 100).Grant(0, 90, true)
		w.put("k", quota.Minute, 0, row.Columns())
		e := w.engine(lease.Deny, nil)
		l := e.Limit("k", 100, quota.Minute)
		reserve(t, l, 20, lease.Full)
		reserve(t, l, 10, lease.Granted)
		if got := w.row("k", quota.Minute, 0); got.Granted != 100 {
			t.Errorf("the row has granted %d, want 100", got.Granted)
		}
		w.put("garbage", quota.Minute, 0, store.Columns{"Format": "none"})
		reserve(t, e.Limit("garbage", 100, quota.Minute), 1, lease.Refused)
		if w.log.count(lease.EventUnusable) != 1 {
			t.Error("nobody is told of the row that cannot be used")
		}
	})
}

// second is a world with a store in this process and a limit of 100 units that took 10 of
// them in the window before: what it keeps of its row is how the row is.
func second(t *testing.T) (*world, *lease.Engine, *lease.Limit) {
	w := newLocalWorld(t)
	e := w.engine(lease.Deny, nil)
	l := e.Limit("k", 100, quota.Minute)
	reserve(t, l, 10, lease.Granted)
	pass(time.Minute)
	return w, e, l
}

// TestLocalRowIsNotRead: who keeps how a row is takes a lease with one write.
func TestLocalRowIsNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _, l := second(t)
		calls := callsOfRequests(t, w)
		reserve(t, l, 10, lease.Granted)
		if len(calls) != 1 || calls["replace"] != 1 {
			t.Errorf("%v, want one replace", calls)
		}
	})
}

// TestLocalRowOfOthers: what others wrote to a row since it was seen counts.
func TestLocalRowOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _, l := second(t)
		reserve(t, l, 10, lease.Granted)
		w.grant("k", 0, 70)
		reserve(t, l, 30, lease.Full)
		reserve(t, l, 20, lease.Granted)
		if got := w.row("k", quota.Minute, 0).Granted; got != 100 {
			t.Errorf("the row has granted %d, want 100", got)
		}
		if n := w.log.count(lease.EventConflict); n != 1 {
			t.Errorf("%d conflicts are told of, want 1", n)
		}
		w.put("k", quota.Minute, 0, store.Columns{"Format": "none"})
		pass(time.Minute)
		reserve(t, l, 1, lease.Refused)
	})
}

// TestLocalWriteUnderWay: while a request writes a row, others wait for it, and so does
// who gives back.
func TestLocalWriteUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, e, l := second(t)
		w.store.once("replace", fault{delay: 20 * time.Millisecond})
		first := make(chan lease.Outcome)
		go func() {
			_, v := l.Reserve(context.Background(), 10)
			first <- v.Outcome
		}()
		pass(10 * time.Millisecond)
		over := make(chan struct{})
		go func() {
			e.GiveBack(context.Background())
			close(over)
		}()
		reserve(t, l, 90, lease.Granted)
		if got := <-first; got != lease.Granted {
			t.Errorf("the first is %v", got)
		}
		<-over
		reserve(t, l, 1, lease.Full)
	})
}

// TestLocalWriteOverTheEdge: what a write took of a window that ended meanwhile is lost,
// and the request is granted in the next one.
func TestLocalWriteOverTheEdge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _, l := second(t)
		w.store.once("replace", fault{delay: 70 * time.Second})
		go func() {
			pass(time.Minute)
			l.Headroom()
		}()
		reserve(t, l, 10, lease.Granted)
		if got := w.log.units(lease.EventLost); got < 10 {
			t.Errorf("%d units are lost, want 10", got)
		}
		row := w.row("k", quota.Minute, 0)
		if row.Window != quota.Minute.Window(time.Now()) || row.Granted < 10 {
			t.Errorf("the row is %+v", row)
		}
	})
}

// TestLocalDebtIsPaid: what was settled beyond its reservation is paid by the write that
// takes a lease; a request for which there is too little left besides takes nothing, and
// does not count as one more who shares the row.
func TestLocalDebtIsPaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, _, l := second(t)
		r := reserve(t, l, 10, lease.Granted)
		r.Settle(30)
		calls := callsOfRequests(t, w)
		r = reserve(t, l, 20, lease.Granted)
		if got := w.row("k", quota.Minute, 0); len(calls) != 1 || calls["replace"] != 1 || got.Granted != 50 || got.Holders != 1 {
			t.Errorf("%v left %+v, want one replace, and 50 granted to one", calls, got)
		}
		r.Settle(60)
		reserve(t, l, 20, lease.Full) // There are 50 left, and 40 are owed.
		if got := w.row("k", quota.Minute, 0); got.Granted > 90 || got.Holders != 1 {
			t.Errorf("the row is %+v, want at most 90 granted to one", got)
		}
	})
}
