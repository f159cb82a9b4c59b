package breaker

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"spillway/shared/breaker/rule"
	"spillway/shared/clock"
	"spillway/shared/store"
)

// Board holds the deployments of one instance and keeps them in step with the
// store. All methods are safe for concurrent use. It runs no goroutine of its
// own except one at a time that a request started, and each of those ends.
type Board struct {
	store        store.Store
	clock        *clock.Clock
	instance     string
	tolerance    tolerance
	settings     rule.Settings
	refreshEvery time.Duration
	instances    func() int64
	events       func(Event)
	random       func(n uint64) uint64

	// interval is the time between two queries, in nanoseconds: refreshEvery, or
	// more in a large fleet.
	interval atomic.Int64

	nonces atomic.Uint64 // Counts the nonces made.
	writes atomic.Uint64 // Counts the writes made.
	health health

	mu          sync.Mutex
	deployments map[string]*Deployment // Guarded by mu.
	run         *run                   // The one that works now, or nil. Guarded by mu.
	want        want                   // What the run shall do next. Guarded by mu.
}

// New returns a Board without deployments.
func New(o Options) (*Board, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	b := &Board{
		store:     o.Store,
		clock:     o.Clock,
		instance:  o.Instance,
		tolerance: tolerance{failures: o.Failures, interval: o.Interval},
		settings: rule.Settings{
			OpenFor:       o.OpenFor,
			MaxOpenFor:    o.MaxOpenFor,
			MaxRetryAfter: o.MaxRetryAfter,
			TrialFor:      trialFor,
			Skew:          skew,
			ProbeEvery:    probeEvery,
		},
		refreshEvery: o.RefreshEvery,
		instances:    o.Instances,
		events:       o.Events,
		random:       o.Random,
		deployments:  make(map[string]*Deployment),
	}
	b.interval.Store(int64(o.RefreshEvery))
	return b, nil
}

const (
	// trialFor is how long the owner of a trial has for it. Headers of a reasoning
	// model come late, and a dead owner blocks the next trial for this long.
	trialFor = 30 * time.Second
	// skew is the most by which a corrected clock is wrong: the store tells the
	// time in whole seconds.
	skew = time.Second
	// probeEvery is how often a throttled deployment is probed, and half of it how
	// often an open one is before its time, by all instances
	// together.
	probeEvery = 10 * time.Second
)

// Deployment returns the deployment of that id, "backend/deployment". The same
// id gives the same pointer.
func (b *Board) Deployment(id string) *Deployment {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.deployments[id]
	if d == nil {
		d = newDeployment(b, id)
		b.deployments[id] = d
	}
	return d
}

// All yields the deployments in the order of their ids.
func (b *Board) All() iter.Seq[*Deployment] {
	return slices.Values(b.all())
}

func (b *Board) all() []*Deployment {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := make([]*Deployment, 0, len(b.deployments))
	for _, d := range b.deployments {
		all = append(all, d)
	}
	slices.SortFunc(all, func(x, y *Deployment) int { return cmp.Compare(x.id, y.id) })
	return all
}

// Refresh is to be called once per request, at a time that the Board's clock told a
// moment ago. It returns at once; if the view of the store is older than the refresh
// interval it starts one query for all rows in the background. Only a view older than
// 30 s, that of a process which was frozen, is waited for, for at most 150 ms; never if
// the store has not answered yet.
func (b *Board) Refresh(ctx context.Context, now time.Time) {
	stale, outdated := b.health.age(now)
	if !stale && !outdated {
		return
	}
	if r := b.start(now, want{query: stale}); r != nil && outdated {
		store.Await(ctx, r.done, r.started.Add(awaitTime))
	}
}

// Sync publishes what is unpublished and reads all rows now, whether it is time
// or not, and waits for it: for a timer, or before the process ends. The error
// says that the store could not be asked; the Board works on without it.
func (b *Board) Sync(ctx context.Context) error {
	r := b.start(b.clock.Now(), want{query: true, anyway: true})
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return fmt.Errorf("breaker: sync: %w", ctx.Err())
	}
}

// Settle waits for what the Board does in the background, if it does anything, at most
// until ctx ends: for a process that is about to freeze, and would otherwise keep to
// itself what it has just found out.
func (b *Board) Settle(ctx context.Context) {
	b.mu.Lock()
	r := b.run
	b.mu.Unlock()
	if r == nil {
		return
	}
	select {
	case <-r.done:
	case <-ctx.Done():
	}
}

// Degraded tells whether the store is down, so that this instance decides alone.
func (b *Board) Degraded() bool { return b.health.degraded.Load() }

// tell raises events, those that happened. No lock may be held.
func (b *Board) tell(events ...Event) {
	for _, e := range events {
		if e.Kind != 0 {
			b.events(e)
		}
	}
}

// fraction returns a random number in [0, 1).
func (b *Board) fraction() float64 {
	const steps = 1 << 53
	return float64(b.random(steps)) / steps
}

// jitter returns a random factor from 0.9 to 1.1.
func (b *Board) jitter() float64 { return 0.9 + 0.2*b.fraction() }

// newNonce returns a text that no other claim has. The random part tells two
// processes apart that were given the same name.
func (b *Board) newNonce() string {
	return fmt.Sprintf("%s-%d-%016x", b.instance, b.nonces.Add(1), b.random(1<<63))
}
