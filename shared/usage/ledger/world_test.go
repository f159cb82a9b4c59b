package ledger

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"spillway/shared/clock"
	"spillway/shared/store"
	"spillway/shared/store/memory"
	"spillway/shared/usage"
)

// world is a store, the time, and the actors that share them. One actor runs at a
// time, from one call of the store to the next; which one goes on, what befalls its
// call and how time passes is drawn from a seed, so that a seed is a history.
type world struct {
	t      testing.TB
	random *rand.Rand
	inner  *memory.Store
	now    time.Time
	faulty float64       // The part of the writes that go wrong, and four times that of the reads.
	pace   time.Duration // The mean time between two calls.

	share  share  // Of the work in one run of a fold.
	keen   int    // How many times of a hundred the same actor goes on.
	sleepy int    // How many times of a hundred an actor falls asleep.
	last   *actor // Who went on.

	actors    []*actor
	late      []func() // Writes that have yet to arrive.
	instances []*instance
	uncertain int64 // Requests that a ledger has told to be in doubt.
	fixed     map[time.Time]map[usage.Dimensions]usage.Counts
	seen      map[string]int // What has happened, to tell a history that tests nothing.
}

// actor is one thing that somebody does: a flush, a fold, a read.
type actor struct {
	instance *instance // Whose it is; nil: a reader.
	resume   chan struct{}
	stopped  chan struct{} // It waits to resume, or has ended.
	next     string        // The call that it waits to make.
	ended    bool
	asleep   time.Time // It does not go on before then.
}

// instance is a process with a ledger.
type instance struct {
	*Ledger
	name     string
	skew     time.Duration // Of its clock.
	dead     bool
	flushing bool
	added    map[usage.Dimensions]usage.Counts
	flushed  map[usage.Dimensions]usage.Counts
}

type actorKey struct{}

func newWorld(t testing.TB, seed uint64) *world {
	return &world{
		t: t, random: rand.New(rand.NewPCG(seed, 1)), inner: memory.New(),
		now:   time.Date(2026, 7, 31, 20, 30, 0, 0, time.UTC), // A day and a month end soon.
		fixed: make(map[time.Time]map[usage.Dimensions]usage.Counts), seen: make(map[string]int),
	}
}

// chance is true so many times of a hundred.
func (w *world) chance(percent int) bool { return w.random.IntN(100) < percent }

func (w *world) span(most time.Duration) time.Duration {
	return time.Duration(w.random.Int64N(int64(most)))
}

// start begins a process. Names come again, as after a restart.
func (w *world) start() *instance {
	i := w.startNamed("host-" + strconv.Itoa(w.random.IntN(2)))
	if w.chance(20) {
		i.skew = w.span(8*time.Hour) - 4*time.Hour
	}
	return i
}

func (w *world) startNamed(name string) *instance {
	i := &instance{
		name:  name,
		added: make(map[usage.Dimensions]usage.Counts), flushed: make(map[usage.Dimensions]usage.Counts),
	}
	l, err := New(Options{
		Store: gated{w}, Instance: i.name, MaxCounters: 1000,
		Clock: clock.New(func() (time.Time, time.Duration) { return w.now.Add(i.skew), 0 }),
		Random: func(n uint64) uint64 {
			return w.random.Uint64N(n)
		},
		Events: func(e Event) {
			w.seen[e.Kind.String()]++
			switch e.Kind {
			case EventUncertain:
				w.uncertain += e.Requests
			case EventRefused, EventUnreadable:
				w.t.Errorf("%v: %v", e.Kind, e.Err)
			}
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	l.share = w.share
	i.Ledger = l
	w.instances = append(w.instances, i)
	return i
}

// add counts some requests. The backend tells whose they are.
func (w *world) add(i *instance) {
	number := 0
	for n, other := range w.instances {
		if other == i {
			number = n
		}
	}
	for range 1 + w.random.IntN(4) {
		team, deployment := w.random.IntN(3), w.random.IntN(2)
		r := &usage.Record{
			Start: w.now.Add(i.skew), Consumer: "team-" + strconv.Itoa(team), Tags: []string{"", "project=web"}[deployment],
			Model: "gpt-4o", Pool: "gpt-4o", Backend: "ptu-" + strconv.Itoa(number), Deployment: strconv.Itoa(deployment),
			Status: 200, Tokens: usage.Tokens{Prompt: w.random.Int64N(100), Completion: 7},
		}
		i.Add(r)
		d, n := usage.DimensionsOf(r), usage.CountsOf(r)
		sum := i.added[d]
		sum.Add(n)
		i.added[d] = sum
	}
}

// launch begins something that somebody does, and runs it to its first call.
func (w *world) launch(i *instance, do func(context.Context)) *actor {
	a := &actor{instance: i, resume: make(chan struct{}), stopped: make(chan struct{})}
	w.actors = append(w.actors, a)
	go func() {
		do(context.WithValue(context.Background(), actorKey{}, a))
		a.ended = true
		a.stopped <- struct{}{}
	}()
	<-a.stopped
	return a
}

// step lets an actor run to its next call, or to its end.
func (w *world) step(a *actor) {
	if !a.ended {
		a.resume <- struct{}{}
		<-a.stopped
	}
}

func (w *world) flush(i *instance) *actor {
	i.flushing = true
	added := make(map[usage.Dimensions]usage.Counts, len(i.added))
	for d, n := range i.added {
		added[d] = n
	}
	return w.launch(i, func(ctx context.Context) {
		err := i.Flush(ctx)
		i.flushing = false
		switch {
		case err == nil && !i.dead:
			i.flushed = added
			w.seen["flushed"]++
		case errors.Is(err, ErrPending):
			w.seen["pending"]++
		}
	})
}

func (w *world) fold(i *instance) *actor {
	return w.launch(i, func(ctx context.Context) {
		hours, err := i.Fold(ctx)
		w.seen["hours folded"] += hours
		if err != nil {
			w.seen["fold failed"]++
		}
	})
}

// read reads everything, and holds it against what was flushed before it began and
// added before it ended.
func (w *world) read() *actor {
	least := make(map[usage.Dimensions]usage.Counts)
	for _, i := range w.instances {
		for d, n := range i.flushed {
			least[d] = n
		}
	}
	before, _, err := readState(context.Background(), w.inner)
	if err != nil {
		w.t.Fatal(err)
	}
	begun := w.now
	return w.launch(nil, func(ctx context.Context) {
		q := usage.Query{From: time.Date(2026, 7, 25, 0, 0, 0, 0, time.UTC), To: begun.Add(12 * time.Hour)}
		hours := make(map[time.Time]map[usage.Dimensions]usage.Counts)
		for e, err := range Read(ctx, gated{w}, q, nil) {
			if err != nil {
				w.seen["read failed"]++
				return
			}
			if hours[e.Hour] == nil {
				hours[e.Hour] = make(map[usage.Dimensions]usage.Counts)
			}
			sum := hours[e.Hour][e.Dimensions]
			sum.Add(e.Counts)
			hours[e.Hour][e.Dimensions] = sum
		}
		w.seen["reads"]++
		w.check(hours, least)
		w.checkFolded(hours, before.Folded)
	})
}

// check holds what was read against the bounds of each counter.
func (w *world) check(hours map[time.Time]map[usage.Dimensions]usage.Counts, least map[usage.Dimensions]usage.Counts) {
	got := make(map[usage.Dimensions]usage.Counts)
	for _, counters := range hours {
		for d, n := range counters {
			sum := got[d]
			sum.Add(n)
			got[d] = sum
		}
	}
	for _, i := range w.instances {
		for d, most := range i.added {
			n := got[d]
			if n.Beyond(most) != (usage.Counts{}) {
				w.t.Errorf("%+v: %+v read, more than the %+v added", d, n, most)
			}
			delete(got, d)
			missing := least[d].Beyond(n)
			if missing.Requests > w.uncertain || w.uncertain == 0 && missing != (usage.Counts{}) {
				w.t.Errorf("%+v: %+v read, less than the %+v flushed", d, n, least[d])
			}
		}
	}
	for d := range got {
		w.t.Errorf("%+v was read, and never added", d)
	}
}

// checkFolded: hours that are folded do not change any more.
func (w *world) checkFolded(hours map[time.Time]map[usage.Dimensions]usage.Counts, folded time.Time) {
	for hour, counters := range hours {
		if !hour.Before(folded) {
			continue
		}
		w.seen["folded hours read"]++
		if w.fixed[hour] == nil {
			w.fixed[hour] = counters
		}
	}
	for hour, counters := range w.fixed {
		if hour.Before(folded) && !maps.Equal(hours[hour], counters) {
			w.t.Errorf("the folded hour %v changed from %v to %v", hour, counters, hours[hour])
		}
	}
}

// gated is the store as the actors see it: each call waits for its turn, and may go
// wrong.
type gated struct{ w *world }

// turn waits until the actor may go on. An error: its process was killed.
func (g gated) turn(ctx context.Context, call string) error {
	a := ctx.Value(actorKey{}).(*actor)
	a.next = call
	a.stopped <- struct{}{}
	<-a.resume
	if a.instance != nil && a.instance.dead {
		return fmt.Errorf("%w: killed", store.ErrUnavailable)
	}
	return nil
}

// write is one write with what may befall it.
func (g gated) write(ctx context.Context, call string, apply func() (string, error)) (string, error) {
	if err := g.turn(ctx, call); err != nil {
		if g.w.chance(50) {
			_, _ = apply() // It was on its way when the process was killed.
		}
		return "", err
	}
	if g.w.random.Float64() >= g.w.faulty {
		return apply()
	}
	switch g.w.random.IntN(5) {
	case 0:
		return "", store.ErrUnavailable
	case 1:
		return "", store.ErrAmbiguous // The request is lost.
	case 2:
		_, _ = apply() // The answer is lost.
		return "", store.ErrAmbiguous
	case 3:
		return "", store.ErrConflict
	default:
		g.w.late = append(g.w.late, func() { _, _ = apply() })
		return "", store.ErrAmbiguous
	}
}

func (g gated) readable(ctx context.Context, call string) error {
	if err := g.turn(ctx, call); err != nil {
		return err
	}
	if g.w.random.Float64() < g.w.faulty/4 {
		return store.ErrUnavailable
	}
	return nil
}

func (g gated) Get(ctx context.Context, key store.Key) (store.Row, error) {
	if err := g.readable(ctx, "get "+key.Partition); err != nil {
		return store.Row{}, err
	}
	return g.w.inner.Get(context.Background(), key)
}

func (g gated) Insert(ctx context.Context, key store.Key, columns store.Columns) (string, error) {
	return g.write(ctx, "insert "+key.Partition, func() (string, error) { return g.w.inner.Insert(context.Background(), key, columns) })
}

func (g gated) Replace(ctx context.Context, key store.Key, columns store.Columns, etag string) (string, error) {
	return g.write(ctx, "replace "+key.Partition, func() (string, error) { return g.w.inner.Replace(context.Background(), key, columns, etag) })
}

func (g gated) Delete(ctx context.Context, key store.Key, etag string) error {
	_, err := g.write(ctx, "delete "+key.Partition, func() (string, error) { return "", g.w.inner.Delete(context.Background(), key, etag) })
	return err
}

// Query yields each row as it is when its turn comes, as a service does that sends
// its answer in pages.
func (g gated) Query(ctx context.Context, filter store.Filter) iter.Seq2[store.Row, error] {
	return func(yield func(store.Row, error) bool) {
		if err := g.readable(ctx, "query "+filter.Partition+filter.Prefix); err != nil {
			yield(store.Row{}, err)
			return
		}
		var keys []store.Key
		for row, err := range g.w.inner.Query(context.Background(), filter) {
			if err != nil {
				yield(store.Row{}, err)
				return
			}
			keys = append(keys, row.Key)
		}
		for _, key := range keys {
			if g.w.chance(30) {
				if err := g.readable(ctx, "more of "+filter.Partition+filter.Prefix); err != nil {
					yield(store.Row{}, err)
					return
				}
			}
			row, err := g.w.inner.Get(context.Background(), key)
			if err != nil {
				continue
			}
			if !yield(row, nil) {
				return
			}
		}
	}
}
