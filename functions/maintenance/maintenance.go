// Package maintenance does, now and then, what no request should have to wait
// for: it rolls the windows of limits that have passed, tries deployments that
// are taken out so that a user's request is rarely the trial, folds the usage of
// hours that are over, and removes rows that nobody has used for a day, and those of
// stored objects that have expired.
//
// Nothing depends on it. A run changes no decision of the request path that
// would not be made without it: windows roll by themselves with the next grant,
// an open breaker comes due for a trial by itself, a report reads folded usage and
// the other alike, an idle row harms nobody, and an expired object is not found.
// So a run may be dropped, repeated, or overlap with any number of others, and may
// die at any point.
package maintenance

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync"
	"time"

	"spillway/shared/breaker"
	"spillway/shared/clock"
	"spillway/shared/quota"
	"spillway/shared/store"
)

// Limit names a limit whose rows are to be rolled.
type Limit struct {
	Key    string
	Period quota.Period
}

// Options are the parts that a Maintenance works on.
type Options struct {
	// Store holds the rows. Required. Its calls must end when their context does.
	Store store.Store
	// Clock is the time that the store's answers correct; nil is the local clock.
	Clock *clock.Clock
	// Instance names this process in the rows it writes. Required.
	Instance string
	// Board holds the deployments. Required.
	Board *breaker.Board
	// Limits yields the limits of the deployments. Nil: there are none.
	Limits func() iter.Seq[Limit]
	// Probe sends one small request to a deployment and reports exactly one
	// outcome to the pass, at the latest when ctx ends. It may be called for
	// several deployments at once. Required.
	Probe func(ctx context.Context, deployment string, pass breaker.Pass)
	// Fold folds the usage of hours that are over and returns how many it has
	// folded, within about 20 seconds. Nil: there is no usage to fold.
	Fold func(context.Context) (hours int, err error)
	// Sweep removes stored objects that have expired and returns how many, within
	// about 10 seconds. Nil: there are none.
	Sweep func(context.Context) (objects int, err error)
	// Random returns a uniform number in [0, n) and is safe for concurrent use.
	// Nil: the generator of the runtime.
	Random func(n uint64) uint64
}

func (o *Options) validate() error {
	var errs []error
	if o.Store == nil {
		errs = append(errs, errors.New("maintenance: no store"))
	}
	if o.Board == nil {
		errs = append(errs, errors.New("maintenance: no board"))
	}
	if o.Probe == nil {
		errs = append(errs, errors.New("maintenance: no probe"))
	}
	if o.Instance == "" {
		errs = append(errs, errors.New("maintenance: the instance needs a name"))
	}
	if o.Clock == nil {
		o.Clock = new(clock.Clock)
	}
	if o.Limits == nil {
		o.Limits = func() iter.Seq[Limit] { return func(func(Limit) bool) {} }
	}
	if o.Fold == nil {
		o.Fold = func(context.Context) (int, error) { return 0, nil }
	}
	if o.Sweep == nil {
		o.Sweep = func(context.Context) (int, error) { return 0, nil }
	}
	if o.Random == nil {
		o.Random = rand.Uint64N
	}
	return errors.Join(errs...)
}

// Maintenance does runs. It is safe for concurrent use, and keeps nothing
// between two runs.
type Maintenance struct {
	o Options
}

// New returns a Maintenance.
func New(o Options) (*Maintenance, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Maintenance{o: o}, nil
}

// syncTime bounds each of a run's two exchanges of the board with the store.
const syncTime = 5 * time.Second

// Run does one run: rolls windows, probes, folds, sweeps, removes objects. A part that fails does not
// keep the others from their work; a panic in one is its failure. It returns
// within about a minute and a half, and soon after ctx ends; no goroutine outlives it.
func (m *Maintenance) Run(ctx context.Context) Report {
	began := time.Now()
	var r Report
	r.Err = errors.Join(
		try("sync", func() error { return m.sync(ctx) }),
		try("roll", func() (err error) {
			r.Rolled, err = m.roll(ctx)
			return err
		}),
		try("probe", func() (err error) {
			r.Probed, r.Ready, err = m.probe(ctx)
			return err
		}),
		try("publish", func() error {
			if r.Probed == 0 {
				return nil
			}
			return m.sync(ctx)
		}),
		try("fold", func() (err error) {
			r.Folded, err = m.o.Fold(ctx)
			return err
		}),
		try("sweep", func() (err error) {
			r.Swept, err = m.sweep(ctx)
			return err
		}),
		try("objects", func() (err error) {
			r.Expired, err = m.o.Sweep(ctx)
			return err
		}),
	)
	r.Took = time.Since(began)
	return r
}

// sync publishes what this instance knows of the deployments and learns what
// the others do.
func (m *Maintenance) sync(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, syncTime)
	defer cancel()
	return m.o.Board.Sync(ctx)
}

// try runs one part of a run and names it in its error.
func try(part string, do func() error) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("maintenance: %s: panic: %v", part, fault)
		}
	}()
	if err := do(); err != nil {
		return fmt.Errorf("maintenance: %s: %w", part, err)
	}
	return nil
}

// each calls do for every item, at most so many at once, until ctx ends. It
// returns when all calls have, with the first error; a panic counts as one.
func each[T any](ctx context.Context, most int, items []T, do func(T) error) error {
	var (
		group sync.WaitGroup
		once  sync.Once
		first error
	)
	note := func(err error) {
		if err != nil {
			once.Do(func() { first = err })
		}
	}
	slots := make(chan struct{}, most)
	for _, item := range items {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			note(context.Cause(ctx))
			break
		}
		group.Go(func() {
			defer func() {
				if fault := recover(); fault != nil {
					note(fmt.Errorf("panic: %v", fault))
				}
				<-slots
			}()
			note(do(item))
		})
	}
	group.Wait()
	return first
}
