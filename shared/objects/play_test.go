package objects

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/clock"
	"spillway/shared/store"
	"spillway/shared/store/memory"
	"spillway/tests/fakes/faultstore"
)

const (
	instances = 3
	lives     = 40 // Objects of a play.
	skew      = time.Second
)

// flaw is what a test does to the registries of a play so that the judge has
// something to find. The zero value is none.
type flaw struct {
	store func(store.Store) store.Store
	clock *clock.Clock
}

// play is a run of several registries, each behind a network of its own, over one
// table. Clients put, look for, settle, list and delete objects; all they see is noted.
type play struct {
	t          *testing.T
	table      *witness
	networks   []*faultstore.Store
	registries []*Registry
	tally      map[string]int // Guarded by mu.

	mu      sync.Mutex
	order   int64             // Of beginnings and ends. Guarded by mu.
	calls   []call            // Guarded by mu.
	trouble [instances][]span // When the store was slow or failed. Guarded by mu.
}

// call is a call at a registry, as its caller saw it.
type call struct {
	operation    string
	registry     int
	key          key      // Of a list: without an ID.
	object       Object   // That is put, or was found.
	objects      []Object // That were listed.
	yes          bool     // It was found, or its caller was the first.
	abandoned    bool     // It failed, and its caller did not make it again.
	err          error
	began, ended int64 // In the order of all beginnings and ends.
	from, to     time.Time
}

// span is a time in which an instance had trouble with the store.
type span struct{ from, to time.Time }

// at makes a call at a registry and notes it.
func (p *play) at(registry int, c call, do func(r *Registry, c *call)) call {
	p.mu.Lock()
	p.order++
	c.registry, c.began, c.from = registry, p.order, time.Now()
	p.mu.Unlock()
	do(p.registries[registry], &c)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.order++
	c.ended, c.to = p.order, time.Now()
	p.calls = append(p.calls, c)
	p.tally[c.operation]++
	if c.err != nil {
		p.tally[c.operation+" failed"]++
	}
	return c
}

// troubled is a store of one instance that notes when it is in trouble.
func (p *play) troubled(s store.Store, instance int) store.Store {
	note := func(from time.Time, err error) {
		to := time.Now()
		failed := err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrConflict)
		if !failed && to.Sub(from) < 100*time.Millisecond {
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		p.trouble[instance] = append(p.trouble[instance], span{from, to})
	}
	h := &hooked{Store: s}
	h.get = func(ctx context.Context, key store.Key) (row store.Row, err error) {
		defer func(from time.Time) { note(from, err) }(time.Now())
		return s.Get(ctx, key)
	}
	h.insert = func(ctx context.Context, key store.Key, c store.Columns) (etag string, err error) {
		defer func(from time.Time) { note(from, err) }(time.Now())
		return s.Insert(ctx, key, c)
	}
	h.replace = func(ctx context.Context, key store.Key, c store.Columns, old string) (etag string, err error) {
		defer func(from time.Time) { note(from, err) }(time.Now())
		return s.Replace(ctx, key, c, old)
	}
	h.query = func(ctx context.Context, f store.Filter) iter.Seq2[store.Row, error] {
		return func(yield func(store.Row, error) bool) {
			from := time.Now()
			for row, err := range s.Query(ctx, f) {
				if err != nil {
					note(from, err)
				}
				if !yield(row, err) {
					return
				}
			}
		}
	}
	return h
}

// witness is the table itself. It sees every row that is removed.
type witness struct {
	*memory.Store
	mu    sync.Mutex
	swept int      // Rows. Guarded by mu.
	early []string // Rows that were removed too early. Guarded by mu.
}

func (w *witness) Delete(ctx context.Context, key store.Key, etag string) error {
	row, _ := w.Store.Get(ctx, key)
	err := w.Store.Delete(ctx, key, etag)
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.swept++
	if expires, _ := row.Columns[columnExpires].(time.Time); time.Since(expires) < sweepAfter-2*skew {
		w.early = append(w.early, fmt.Sprintf("%v was removed %v after it expired", key, time.Since(expires)))
	}
	return nil
}

// newPlay sets the stage.
func newPlay(t *testing.T, seed uint64, f flaw) *play {
	p := &play{t: t, table: &witness{Store: memory.New()}, tally: make(map[string]int)}
	for i := range instances {
		network, err := faultstore.New(p.table, faultstore.Options{
			Seed: seed*instances + uint64(i),
			Rates: map[faultstore.Fault]float64{
				faultstore.Refused: 0.02, faultstore.RequestLost: 0.03, faultstore.AnswerLost: 0.05, faultstore.LateApply: 0.05,
				faultstore.Conflicted: 0.02, faultstore.ConflictedApplied: 0.02, faultstore.BusyApplied: 0.01, faultstore.Delayed: 0.02,
			},
			Latency: [2]time.Duration{time.Millisecond, 30 * time.Millisecond},
			Delay:   [2]time.Duration{100 * time.Millisecond, 3 * time.Second},
			Late:    [2]time.Duration{0, 5 * time.Second},
		})
		if err != nil {
			t.Fatal(err)
		}
		began, off := time.Now(), time.Duration(i-1)*skew
		o := Options{Random: seeded(seed, uint64(i)), Cache: 20, Clock: clock.New(func() (time.Time, time.Duration) {
			return time.Now().Add(off), time.Since(began)
		})}
		s := p.troubled(network, i)
		if f.store != nil {
			s = f.store(s)
		}
		if f.clock != nil {
			o.Clock = f.clock
		}
		p.networks = append(p.networks, network)
		p.registries = append(p.registries, open(t, s, o))
	}
	return p
}

// invent is an object that no other one in the play is like.
func invent(n int, random *rand.Rand) Object {
	now := time.Now().UTC().Truncate(store.TimeResolution)
	o := Object{
		Kind: []Kind{Response, File, Batch}[n%3], ID: fmt.Sprint("id-", n), Consumer: fmt.Sprint("app-", random.IntN(2)),
		Backend: fmt.Sprint("backend-", n), Deployment: fmt.Sprint("deployment-", n), Estimated: int64(n), Spilled: n%2 == 0,
		Created: now, Expires: now.Add(Keep), Pending: random.IntN(4) > 0, Tags: fmt.Sprint("n=", n),
	}
	if random.IntN(3) == 0 {
		o.Expires = now.Add(time.Duration(20+random.IntN(180)) * time.Second)
	}
	return o
}

// live is the life of one object.
func (p *play) live(n int, random *rand.Rand) {
	sometime(random, 2*time.Minute)
	o := invent(n, random)
	p.put(random.IntN(instances), o)
	var clients sync.WaitGroup
	for range 3 {
		own := rand.New(rand.NewPCG(random.Uint64(), 0))
		clients.Go(func() { p.poll(o, own) })
	}
	if own := rand.New(rand.NewPCG(random.Uint64(), 1)); own.IntN(2) == 0 {
		clients.Go(func() {
			sometime(own, []time.Duration{2 * time.Second, time.Minute}[own.IntN(2)])
			p.remove(own.IntN(instances), o)
		})
	}
	if own := rand.New(rand.NewPCG(random.Uint64(), 2)); own.IntN(3) == 0 {
		clients.Go(func() {
			sometime(own, time.Minute)
			p.put(own.IntN(instances), o) // Its maker was not sure.
		})
	}
	clients.Wait()
}

// sometime waits for up to a time.
func sometime(random *rand.Rand, most time.Duration) { wait(time.Duration(random.Int64N(int64(most)))) }

// poll asks for an object now and then, and settles it when it is pending.
func (p *play) poll(o Object, random *rand.Rand) {
	for range 8 {
		sometime(random, []time.Duration{time.Second, 20 * time.Second, 90 * time.Second}[random.IntN(3)])
		registry := random.IntN(instances)
		other := o
		other.Consumer = fmt.Sprint("app-", random.IntN(3))
		p.get(registry, other)
		if c := p.get(registry, o); c.yes && c.object.Pending || random.IntN(8) == 0 {
			p.settle(registry, o, random)
		}
		if o.Kind != Response && random.IntN(4) == 0 {
			p.list(registry, o)
		}
	}
}

func (p *play) get(registry int, o Object) call {
	return p.at(registry, call{operation: "get", key: keyOf(o)}, func(r *Registry, c *call) {
		c.object, c.yes, c.err = r.Get(p.t.Context(), o.Consumer, o.Kind, o.ID)
	})
}

func (p *play) list(registry int, o Object) {
	p.at(registry, call{operation: "list", key: key{kind: o.Kind, consumer: o.Consumer}}, func(r *Registry, c *call) {
		for o, err := range r.List(p.t.Context(), o.Consumer, o.Kind) {
			if c.err = err; err == nil {
				c.objects = append(c.objects, o)
			}
		}
	})
}

// Whoever writes does so until it succeeds.
const patience = 30

func (p *play) put(registry int, o Object) {
	for range patience {
		c := p.at(registry, call{operation: "put", key: keyOf(o), object: o}, func(r *Registry, c *call) { c.err = r.Put(p.t.Context(), o) })
		if c.err == nil {
			return
		}
	}
}

func (p *play) remove(registry int, o Object) {
	for range patience {
		c := p.at(registry, call{operation: "delete", key: keyOf(o)}, func(r *Registry, c *call) {
			c.err = r.Delete(p.t.Context(), o.Consumer, o.Kind, o.ID)
		})
		if c.err == nil {
			return
		}
	}
}

// settle settles an object; one of ten who fail dies then.
func (p *play) settle(registry int, o Object, random *rand.Rand) {
	for range patience {
		c := p.at(registry, call{operation: "settle", key: keyOf(o)}, func(r *Registry, c *call) {
			c.yes, c.err = r.Settle(p.t.Context(), o)
			c.abandoned = c.err != nil && random.IntN(10) == 0
		})
		if c.err == nil || c.abandoned {
			return
		}
	}
}

// perform plays from the first life to the last sweep, and returns what the judge
// finds.
func perform(t *testing.T, seed uint64, f flaw, tally map[string]int) (found []string) {
	synctest.Test(t, func(t *testing.T) {
		p := newPlay(t, seed, f)
		var clients, outages sync.WaitGroup
		for n := range lives {
			clients.Go(func() { p.live(n, rand.New(rand.NewPCG(seed, uint64(n)))) })
		}
		outages.Go(func() { p.outages(rand.New(rand.NewPCG(seed, lives)), time.Now().Add(6*time.Minute)) })
		clients.Wait()
		outages.Wait()
		p.sweeps()
		p.calm()
		found = p.judge()
		for what, n := range p.tally {
			tally[what] += n
		}
	})
	return found
}

// outages take the store away from one instance after the other.
func (p *play) outages(random *rand.Rand, until time.Time) {
	for time.Now().Before(until) {
		network := p.networks[random.IntN(instances)]
		sometime(random, time.Minute)
		network.SetOutage(true)
		sometime(random, 40*time.Second)
		network.SetOutage(false)
	}
}

// sweeps lets everybody sweep, while the store goes on to fail, until nothing is left
// to be swept.
func (p *play) sweeps() {
	for range 4 {
		wait(sweepAfter / 2)
		var group sync.WaitGroup
		for _, r := range p.registries {
			group.Go(func() {
				for part := range parts {
					_, _ = r.sweepPart(p.t.Context(), byte(part)) // The next round goes on.
				}
			})
		}
		group.Wait()
	}
}

// calm lets the network work from now on; then everybody looks at everything.
func (p *play) calm() {
	for i, network := range p.networks {
		network.Wait()
		always(p.t, network)
		for _, fault := range append(faultstore.All(), faultstore.Further()...) {
			p.tally[fault.String()] += int(network.Count(fault))
		}
		if _, err := p.registries[i].sweepPart(p.t.Context(), 0); err != nil {
			p.t.Error(err)
		}
	}
	for _, r := range p.registries {
		sweepAll(p.t, r)
	}
	wait(2 * knownFor)
	random := rand.New(rand.NewPCG(0, 0))
	for _, c := range p.calls {
		if c.operation == "put" {
			for i := range instances {
				p.get(i, c.object)
				p.settle(i, c.object, random)
				p.get(i, c.object)
			}
		}
	}
}
