package lease_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"spillway/shared/lease"
	"spillway/shared/quota"
	"spillway/shared/store"
)

// fleet is a random history of several instances on one limit, with faults.
type fleet struct {
	world    *world
	amount   int64
	limits   []*lease.Limit
	engines  []*lease.Engine
	open     []reserved
	spent    map[quota.Window]int64 // Reserved and not given back, by window.
	healthy  bool                   // Calls meet no faults.
	late     atomic.Int64           // When the last write that lands late has landed.
	lastSeen quota.Window
}

type reserved struct {
	reservation lease.Reservation
	limit       *lease.Limit
	window      quota.Window
	units       int64
}

// stored is the row as it is stored, or the zero row.
func (f *fleet) stored() quota.Row {
	row, _ := stored(f.world.store.Store, quota.Minute, quota.Partition("k", quota.Minute, 0))
	return row
}

func (f *fleet) reserve(t *rapid.T) {
	l := rapid.SampledFrom(f.limits).Draw(t, "instance")
	n := rapid.Int64Range(1, f.amount+5).Draw(t, "units")
	synctest.Wait() // Work that earlier requests started is done.
	before := f.stored()
	r, v := l.Reserve(context.Background(), n)
	if v.Outcome == lease.Unmetered {
		t.Fatal("unmetered under deny")
	}
	if v.OK() {
		f.spent[window(l, quota.Minute)] += n
		f.open = append(f.open, reserved{r, l, window(l, quota.Minute), n})
		return
	}
	if n > f.amount != (v.Outcome == lease.TooLarge) {
		t.Fatalf("Reserve(%d) of %d is %v", n, f.amount, v.Outcome)
	}
	synctest.Wait()
	// A refusal changes no counter.
	if after := f.stored(); f.quiet() && after.Window == before.Window && after.Granted != before.Granted {
		t.Fatalf("refused %d (%v), and the row went from %+v to %+v", n, v.Outcome, before, after)
	}
}

func (f *fleet) settle(t *rapid.T) {
	if len(f.open) == 0 {
		t.Skip("nothing open")
	}
	i := rapid.IntRange(0, len(f.open)-1).Draw(t, "reservation")
	r := f.open[i]
	actual := rapid.Int64Range(0, r.units).Draw(t, "actual")
	f.open = append(f.open[:i], f.open[i+1:]...)
	f.spent[r.window] -= r.units - actual
	if window(r.limit, quota.Minute) != r.window {
		f.spent[r.window] += r.units - actual // Too late to come back.
	}
	r.reservation.Settle(actual)
	r.reservation.Settle(0)
}

// fault makes some of the following calls fail.
func (f *fleet) fault(t *rapid.T) {
	faults := []fault{
		{}, down, {lose: true}, {drop: store.ErrAmbiguous}, {drop: store.ErrConflict},
		{late: 30 * time.Millisecond}, {late: 70 * time.Second}, {delay: 20 * time.Millisecond}, {delay: time.Minute},
	}
	if f.world.local {
		faults = []fault{{}, {drop: store.ErrConflict}}
	}
	chosen := rapid.SampledFrom(faults).Draw(t, "fault")
	every := rapid.Uint64Range(1, 4).Draw(t, "one call in")
	f.healthy = false
	f.world.store.set(func(call string) fault {
		if f.world.random(every) != 0 || call == "get" && (chosen.late > 0 || chosen.drop == store.ErrConflict) {
			return fault{}
		}
		if chosen.late > 0 {
			f.late.Store(max(f.late.Load(), time.Now().Add(chosen.late).UnixNano()))
		}
		return chosen
	})
}

// quiet tells whether nothing but the instances can have changed the row lately.
func (f *fleet) quiet() bool {
	return f.healthy && time.Now().UnixNano() > f.late.Load()+int64(time.Second)
}

func (f *fleet) heal(t *rapid.T) {
	f.world.store.set(nil)
	pass(6 * time.Second) // Now the next request is the trial.
	f.reserve(t)
	f.healthy = true
}

func (f *fleet) replace(t *rapid.T) {
	i := rapid.IntRange(0, len(f.limits)-1).Draw(t, "instance")
	f.start(t, i)
}

// start starts an instance, whose clock is wrong by up to half a window.
func (f *fleet) start(t *rapid.T, i int) {
	skew := time.Duration(rapid.IntRange(-30, 30).Draw(t, "skew")) * time.Second
	f.engines[i] = f.world.engine(lease.Deny, skewed(skew))
	f.limits[i] = f.engines[i].Limit("k", f.amount, quota.Minute)
}

// check is what holds at all times.
func (f *fleet) check(t *rapid.T) {
	for w, n := range f.spent {
		if n > f.amount {
			t.Fatalf("window %d: %d units reserved of %d", w, n, f.amount)
		}
	}
	for _, e := range f.engines {
		if amiss := e.Amiss(); len(amiss) > 0 {
			t.Fatal(amiss)
		}
	}
	row := f.stored()
	if row.Granted > row.Limit || row.NextGranted > row.NextLimit || row.Granted < 0 {
		t.Fatalf("row %+v", row)
	}
	if row.Window < f.lastSeen {
		t.Fatalf("the row moved back from %d to %d", f.lastSeen, row.Window)
	}
	f.lastSeen = row.Window
	if f.spent[row.Window] > row.Granted {
		t.Fatalf("%d units reserved, the row granted %d", f.spent[row.Window], row.Granted)
	}
}

// checkUntil draws histories until there were enough, which says that what must happen
// in some of them has happened; it gives up after fifty times the usual number.
func checkUntil(t *testing.T, enough func() bool, history func(*rapid.T)) {
	t.Helper()
	for range 50 {
		rapid.Check(t, history)
		if t.Failed() || enough() {
			return
		}
	}
}

// TestAnyHistoryHoldsTheLimit: whatever three instances do and whatever happens to
// their store calls, the units of a window stay within the limit, a refusal
// changes no counter, and the row never moves back.
func TestAnyHistoryHoldsTheLimit(t *testing.T) {
	kinds := map[lease.EventKind]string{
		lease.EventGrant: "grant", lease.EventConflict: "conflict", lease.EventAmbiguous: "ambiguous", lease.EventLost: "lost",
		lease.EventGiveBack: "give back", lease.EventDegraded: "degraded", lease.EventRecovered: "recovered",
	}
	happened := make(map[lease.EventKind]int)
	checkUntil(t, func() bool { return len(happened) == len(kinds) }, func(t *rapid.T) {
		rapid.SyncTest(t, func(t *rapid.T) {
			w := newWorld(t)
			w.local = rapid.Bool().Draw(t, "in one process")
			f := &fleet{
				world: w, amount: rapid.Int64Range(1, 300).Draw(t, "amount"),
				limits: make([]*lease.Limit, 3), engines: make([]*lease.Engine, 3),
				spent: make(map[quota.Window]int64), healthy: true,
			}
			for i := range f.limits {
				f.start(t, i)
			}
			defer func() {
				w.store.set(nil)
				pass(3 * time.Minute) // Late writes land, flights end.
				for kind := range kinds {
					if n := w.log.count(kind); n > 0 {
						happened[kind] += n
					}
				}
			}()
			t.Repeat(map[string]func(*rapid.T){
				"reserve":       f.reserve,
				"reserve again": f.reserve,
				"settle":        f.settle,
				"time passes": func(t *rapid.T) {
					pass(time.Duration(rapid.IntRange(1, 40_000).Draw(t, "ms")) * time.Millisecond)
				},
				"fault": f.fault,
				"heal":  f.heal,
				"crash": f.replace,
				"give back": func(t *rapid.T) {
					f.settle(t) // So that there is something to give.
					for _, e := range f.engines {
						e.GiveBack(context.Background())
					}
				},
				"give back what is idle": func(t *rapid.T) {
					for _, e := range f.engines {
						e.GiveBackIdle(context.Background(), 5*time.Second)
					}
				},
				"": f.check,
			})
		})
	})
	for kind, name := range kinds {
		if happened[kind] == 0 && !t.Failed() {
			t.Errorf("void: no %s in any history", name)
		}
	}
	t.Logf("events by kind: %v", happened)
}

// TestAnyHistoryIsExactAlone: with one instance and a store that works, Reserve
// answers exactly as a counter would, whatever it gives back meanwhile. (One long function: the actions share the
// counter.)
func TestAnyHistoryIsExactAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rapid.SyncTest(t, func(t *rapid.T) {
			w := newWorld(t)
			if w.local = rapid.Bool().Draw(t, "in this process"); !w.local {
				w.store.set(func(string) fault { return fault{delay: 3 * time.Millisecond} })
			}
			amount := rapid.Int64Range(1, 300).Draw(t, "amount")
			e := w.engine(lease.Deny, nil)
			l := e.Limit("k", amount, quota.Minute)
			defer pass(time.Second) // The flights end.
			var used int64
			var open []reserved
			current := window(l, quota.Minute)
			roll := func() {
				if now := window(l, quota.Minute); now != current {
					current, used = now, 0
				}
			}
			t.Repeat(map[string]func(*rapid.T){
				"reserve": func(t *rapid.T) {
					n := rapid.Int64Range(1, amount).Draw(t, "units")
					if time.Until(l.Status().ResetAt) < time.Second {
						t.Skip("the edge would come meanwhile")
					}
					roll()
					r, v := l.Reserve(context.Background(), n)
					if v.OK() != (n <= amount-used) {
						t.Fatalf("Reserve(%d) is %v with %d of %d used", n, v.Outcome, used, amount)
					}
					if v.OK() {
						used += n
						open = append(open, reserved{r, l, current, n})
					}
				},
				"settle": func(t *rapid.T) {
					if len(open) == 0 {
						t.Skip("nothing open")
					}
					roll()
					r := open[0]
					open = open[1:]
					actual := rapid.Int64Range(0, 2*r.units).Draw(t, "actual")
					r.reservation.Settle(actual)
					if r.window == current {
						used += actual - r.units
					}
				},
				"time passes": func(t *rapid.T) {
					pass(time.Duration(rapid.IntRange(1, 40_000).Draw(t, "ms")) * time.Millisecond)
				},
				"give back": func(*rapid.T) {
					if time.Until(l.Status().ResetAt) > time.Second {
						e.GiveBack(context.Background())
					}
				},
				"give back what is idle": func(*rapid.T) {
					if time.Until(l.Status().ResetAt) > time.Second {
						e.GiveBackIdle(context.Background(), 5*time.Second)
					}
				},
				"": func(t *rapid.T) {
					if amiss := e.Amiss(); len(amiss) > 0 {
						t.Fatal(amiss)
					}
					roll()
					if got, want := l.Headroom(), max(amount-used, 0); got != want {
						t.Fatalf("headroom %d, want %d", got, want)
					}
				},
			})
		})
	})
}
