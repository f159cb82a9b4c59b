package ledger

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"spillway/shared/store"
)

var histories = flag.Int("histories", 300, "how many random histories TestHistories plays")

// Whatever happens to instances, folds and the store, each counter that anybody reads
// lies between what was flushed before and what was added, an hour that is folded
// stays as it is, and in the end the sums are exact.
func TestHistories(t *testing.T) {
	seen := make(map[string]int)
	for seed := range *histories {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t, uint64(seed))
			w.play(600)
			w.end()
			for what, n := range w.seen {
				seen[what] += n
			}
		})
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Log(seen)
	want := []string{"reads", "flushed", "killed", "hours folded", "folded hours read", "late", "usage_delayed", "usage_recovered"}
	if *histories >= 20_000 { // These take a chain of accidents.
		want = append(want, "pending", "usage_uncertain")
	}
	for _, what := range want {
		if seen[what] == 0 {
			t.Errorf("void: nothing was %s", what)
		}
	}
}

// play draws so many steps.
func (w *world) play(steps int) {
	w.faulty = []float64{0, 0.02, 0.1, 0.3}[w.random.IntN(4)]
	w.pace = []time.Duration{time.Second, time.Minute, 10 * time.Minute}[w.random.IntN(3)]
	w.keen = []int{0, 80, 95}[w.random.IntN(3)]
	w.sleepy = []int{1, 5, 15}[w.random.IntN(3)]
	w.share = share{
		writes: []int{1, 3, 500}[w.random.IntN(3)],
		time:   []time.Duration{time.Minute, 1000 * time.Hour}[w.random.IntN(2)],
		lease:  []time.Duration{time.Second, 100 * w.pace}[w.random.IntN(2)],
	}
	w.start()
	for range steps {
		w.tick()
		if w.t.Failed() {
			return
		}
		if a := w.pick(); a != nil && w.chance(75) {
			w.step(a)
			if w.chance(w.sleepy) {
				a.asleep = w.now.Add(w.span([]time.Duration{time.Hour, 5 * time.Hour, 40 * time.Hour}[w.random.IntN(3)]))
			}
			continue
		}
		w.begin()
	}
}

// tick lets time pass: now and then hours, over which whoever is in the middle of a
// call sleeps.
func (w *world) tick() {
	switch n := w.random.IntN(1000); {
	case n < 5:
		w.now = w.now.Add(w.span(3 * time.Hour))
	case n < 6:
		w.now = w.now.Add(w.span(40 * time.Hour))
	case n < 30:
		w.now = w.now.Add(w.span(10 * time.Minute))
	default:
		w.now = w.now.Add(w.span(2 * w.pace))
	}
	if len(w.late) > 0 && w.chance(3) {
		n := w.random.IntN(len(w.late))
		w.late[n]()
		w.late = slices.Delete(w.late, n, n+1)
		w.seen["late"]++
	}
}

// pick draws who goes on.
func (w *world) pick() *actor {
	var ready []*actor
	kept := w.actors[:0]
	for _, a := range w.actors {
		if a.ended {
			continue
		}
		kept = append(kept, a)
		if !a.asleep.After(w.now) {
			ready = append(ready, a)
		}
	}
	w.actors = kept
	if len(ready) == 0 {
		return nil
	}
	if !slices.Contains(ready, w.last) || !w.chance(w.keen) {
		w.last = ready[w.random.IntN(len(ready))]
	}
	return w.last
}

// begin draws what begins.
func (w *world) begin() {
	i := w.instances[w.random.IntN(len(w.instances))]
	switch n := w.random.IntN(100); {
	case n < 3 && len(w.instances) < 6:
		w.start()
	case n < 4 && len(w.instances) > 1 && !i.dead:
		i.dead = true
		w.seen["killed"]++
	case n < 40 && !i.dead:
		w.add(i)
	case n < 70 && !i.dead && !i.flushing:
		w.flush(i)
	case n < 85 && !i.dead && len(w.actors) < 30:
		w.fold(i)
	case len(w.actors) < 30:
		w.read()
	}
}

// finish lets everybody come to an end.
func (w *world) finish() {
	for _, a := range w.actors {
		for !a.ended {
			w.step(a)
		}
	}
	w.actors = nil
}

// end lets the store be well, everybody flush and all hours be folded, and demands
// exact sums after each of these steps.
func (w *world) end() {
	w.finish()
	w.faulty = 0
	for _, i := range w.instances {
		i.skew = 0
	}
	w.share = foldShare
	last := w.start()
	for range 4 {
		for _, i := range w.instances {
			if !i.dead {
				w.flush(i)
				w.finish()
			}
		}
		w.read()
		w.finish()
		w.now = w.now.Add(time.Hour) // Longer than any lease.
		for range 3 {
			w.fold(last)
			w.finish()
		}
	}
	for _, late := range w.late {
		late()
	}
	w.exact("all are flushed")
	w.now = w.now.Add(20 * time.Hour) // Some clocks were ahead, and some leases are long.
	for range 3 {
		w.fold(last)
		w.finish()
	}
	w.exact("all is folded")
	w.now = w.now.Add(30 * time.Hour)
	w.fold(last)
	w.finish()
	w.exact("the pages are deleted")
	if w.seen["killed"] > 0 || w.seen["late"] > 0 || len(w.late) > 0 {
		return // A page may have come to an hour that nobody looks at any more.
	}
	for row := range w.inner.Query(context.Background(), store.Filter{Prefix: hourPrefix}) {
		if row.Columns[columnSealed] != sealedByOwner {
			w.t.Errorf("the page %v is still there", row.Key)
		}
	}
}

// exact demands that the sums of all that ended well are what was added.
func (w *world) exact(when string) {
	for _, i := range w.instances {
		if i.dead {
			continue
		}
		for d, n := range i.added {
			if i.flushed[d] != n {
				w.t.Errorf("when %s: %+v: flushed are %+v of %+v", when, d, i.flushed[d], n)
			}
		}
	}
	w.read()
	w.finish()
	if w.t.Failed() {
		w.t.Logf("when %s", when)
	}
}
