package lease_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"spillway/shared/lease"
	"spillway/shared/quota"
	"spillway/shared/store"
)

// office is a random history of several instances on a limit whose amount is changed,
// which each instance learns of at some time.
type office struct {
	world   *world
	period  quota.Period
	set     []int64     // The amounts, in the order in which they were set.
	at      []time.Time // When.
	known   []int       // By instance: which of them it was told last.
	engines []*lease.Engine
	limits  []*lease.Limit
	spent   map[quota.Window]int64
	open    []reserved
	reused  int // Units granted after the first change.
}

func (o *office) tell(i int) {
	o.known[i] = len(o.set) - 1
	o.limits[i] = o.engines[i].LimitSince("k", o.set[o.known[i]], o.period, o.at[o.known[i]])
}

// reserve checks the rule: whoever knows an amount spends within it, or within one that
// was set later.
func (o *office) reserve(t *rapid.T) {
	i := rapid.IntRange(0, len(o.limits)-1).Draw(t, "instance")
	n := rapid.Int64Range(1, 120).Draw(t, "units")
	l := o.limits[i]
	r, v := l.Reserve(context.Background(), n)
	if !v.OK() {
		return
	}
	w := window(l, o.period)
	o.spent[w] += n
	o.open = append(o.open, reserved{r, l, w, n})
	if most := slices.Max(o.set[o.known[i]:]); o.spent[w] > most {
		t.Fatalf("%d units are spent; the instance knows of an amount of %d, and later there was none above %d", o.spent[w], o.set[o.known[i]], most)
	}
	if len(o.set) > 1 {
		o.reused++
	}
}

func (o *office) settle(t *rapid.T) {
	if len(o.open) == 0 {
		t.Skip("nothing open")
	}
	i := rapid.IntRange(0, len(o.open)-1).Draw(t, "reservation")
	r := o.open[i]
	o.open = slices.Delete(o.open, i, i+1)
	actual := rapid.Int64Range(0, r.units).Draw(t, "actual")
	r.reservation.Settle(actual)
	if window(r.limit, o.period) == r.window {
		o.spent[r.window] -= r.units - actual
	}
}

func (o *office) fault(t *rapid.T) {
	faults := []fault{
		{}, down, {lose: true}, {drop: store.ErrAmbiguous}, {drop: store.ErrConflict},
		{late: 30 * time.Millisecond}, {delay: 20 * time.Millisecond},
	}
	chosen := rapid.SampledFrom(faults).Draw(t, "fault")
	o.world.store.set(func(call string) fault {
		if o.world.random(3) != 0 || call == "get" && (chosen.late > 0 || chosen.drop == store.ErrConflict) {
			return fault{}
		}
		return chosen
	})
}

// TestAnyHistoryHoldsTheAmountsKnown: whatever happens, an instance that knows of an
// amount adds nothing to what all have spent beyond it.
func TestAnyHistoryHoldsTheAmountsKnown(t *testing.T) {
	reused := 0
	checkUntil(t, func() bool { return reused > 0 }, func(t *rapid.T) {
		rapid.SyncTest(t, func(t *rapid.T) {
			w := newWorld(t)
			o := &office{
				world: w, period: rapid.SampledFrom([]quota.Period{quota.Minute, quota.Month}).Draw(t, "period"),
				set: []int64{rapid.Int64Range(1, 400).Draw(t, "amount")}, at: []time.Time{time.Now()},
				known: make([]int, 3), limits: make([]*lease.Limit, 3), spent: make(map[quota.Window]int64),
			}
			for i := range o.limits {
				o.engines = append(o.engines, w.engine(lease.Deny, nil))
				o.tell(i)
			}
			defer func() {
				w.store.set(nil)
				pass(3 * time.Minute)
				reused += o.reused
			}()
			instance := rapid.IntRange(0, len(o.limits)-1)
			t.Repeat(map[string]func(*rapid.T){
				"reserve":       o.reserve,
				"reserve again": o.reserve,
				"settle":        o.settle,
				"change": func(t *rapid.T) {
					pass(time.Second)
					o.set, o.at = append(o.set, rapid.Int64Range(0, 400).Draw(t, "amount")), append(o.at, time.Now())
				},
				"learn": func(t *rapid.T) { o.tell(instance.Draw(t, "instance")) },
				"crash": func(t *rapid.T) {
					i := instance.Draw(t, "instance")
					o.engines[i] = w.engine(lease.Deny, nil)
					o.tell(i)
				},
				"fault": o.fault,
				"heal":  func(*rapid.T) { w.store.set(nil); pass(6 * time.Second) },
				"time passes": func(t *rapid.T) {
					pass(time.Duration(rapid.IntRange(1, 40_000).Draw(t, "ms")) * time.Millisecond)
				},
				"give back": func(t *rapid.T) { o.engines[instance.Draw(t, "instance")].GiveBack(context.Background()) },
				"give back what is idle": func(t *rapid.T) {
					o.engines[instance.Draw(t, "instance")].GiveBackIdle(context.Background(), 5*time.Second)
				},
				"": func(t *rapid.T) {
					for _, e := range o.engines {
						if amiss := e.Amiss(); len(amiss) > 0 {
							t.Fatal(amiss)
						}
					}
				},
			})
		})
	})
	if reused == 0 && !t.Failed() {
		t.Error("void: nothing was granted after a change in any history")
	}
}

// TestAnyHistoryOfAmountsIsExactAlone: with one instance, and a store that works, Reserve
// answers as a counter would whose limit is changed. (One long function: the actions
// share the counter.)
func TestAnyHistoryOfAmountsIsExactAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rapid.SyncTest(t, func(t *rapid.T) {
			w := newWorld(t)
			w.store.set(func(string) fault { return fault{delay: 3 * time.Millisecond} })
			period := rapid.SampledFrom([]quota.Period{quota.Minute, quota.Month}).Draw(t, "period")
			amount := rapid.Int64Range(1, 300).Draw(t, "amount")
			e := w.engine(lease.Deny, nil)
			tell := func() *lease.Limit { return e.LimitSince("k", amount, period, time.Now()) }
			l := tell()
			defer pass(time.Second)
			var used int64
			var open []lease.Reservation
			current := l.Status().ResetAt
			roll := func() {
				if now := l.Status().ResetAt; now != current {
					current, used, open = now, 0, nil
				}
			}
			t.Repeat(map[string]func(*rapid.T){
				"reserve": func(t *rapid.T) {
					n := rapid.Int64Range(1, 300).Draw(t, "units")
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
						open = append(open, r)
					}
				},
				"settle": func(t *rapid.T) {
					roll()
					if len(open) == 0 {
						t.Skip("nothing open")
					}
					actual := rapid.Int64Range(0, open[0].Reserved()).Draw(t, "actual")
					used += actual - open[0].Reserved()
					open[0].Settle(actual)
					open = open[1:]
				},
				"change": func(t *rapid.T) {
					pass(time.Millisecond)
					amount = rapid.Int64Range(0, 300).Draw(t, "amount")
					tell()
				},
				"time passes": func(t *rapid.T) {
					pass(time.Duration(rapid.IntRange(1, 40_000).Draw(t, "ms")) * time.Millisecond)
				},
				"give back": func(*rapid.T) {
					if time.Until(l.Status().ResetAt) > time.Second {
						e.GiveBack(context.Background())
						synctest.Wait()
					}
				},
				"": func(t *rapid.T) {
					roll()
					if got, want := l.Headroom(), max(amount-used, 0); got != want {
						t.Fatalf("headroom %d, want %d", got, want)
					}
				},
			})
		})
	})
}
