// Package faultstore is a store.Store that wraps another one and goes wrong in
// the ways that a table service behind a network goes wrong: requests and
// answers get lost, writes happen after their caller has given up, everything
// is slow, or down. Which operation goes wrong is drawn from a seed, and every
// fault that fired is counted, so that a test can tell that it tested something.
package faultstore

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"spillway/shared/store"
)

// Fault is a kind of fault.
type Fault uint8

// The faults. At most one of the first five befalls an operation; Delayed comes
// on top of it.
const (
	// Refused: the store could not be asked. ErrUnavailable, no effect.
	Refused Fault = iota
	// RequestLost: the request never arrived. A write gives ErrAmbiguous, a read
	// ErrUnavailable; no effect.
	RequestLost
	// AnswerLost: the operation happened and its answer never arrived. A write
	// gives ErrAmbiguous, a read ErrUnavailable (a query after some of its rows).
	AnswerLost
	// LateApply: a write gives ErrAmbiguous at once and arrives at the store up to
	// Options.Late afterwards. It happens if its precondition still holds then.
	LateApply
	// Conflicted: a write gives ErrConflict without effect although its
	// precondition may hold.
	Conflicted
	// Delayed: request and answer together take up to Options.Delay. A context
	// that ends on the way out loses the request, on the way back the answer.
	Delayed
	// Outage: ErrUnavailable for everything while SetOutage is on.
	Outage
	// WriteRefused: ErrUnavailable for writes while SetReadOnly is on.
	WriteRefused

	faults // Their number.
)

var names = [faults]string{
	"refused", "request lost", "answer lost", "late apply", "conflicted", "delayed", "outage", "write refused",
}

// String returns the fault's name.
func (f Fault) String() string {
	if f < faults {
		return names[f]
	}
	return fmt.Sprintf("Fault(%d)", uint8(f))
}

// All returns every fault.
func All() []Fault {
	all := make([]Fault, faults)
	for i := range all {
		all[i] = Fault(i)
	}
	return all
}

// Options say how often what goes wrong. The zero value never does.
type Options struct {
	// Seed of the draws. Concurrent callers race for the next draw, so a seed
	// repeats a run only if the run repeats the order of its operations.
	Seed uint64
	// Rates are probabilities, 0 to 1, of Refused, RequestLost, AnswerLost,
	// LateApply, Conflicted (together at most 1) and Delayed.
	Rates map[Fault]float64
	// Delay is the least and the greatest delay of a Delayed operation.
	Delay [2]time.Duration
	// Late is the least and the greatest lateness of a LateApply.
	Late [2]time.Duration
}

func (o Options) validate() error {
	sum := 0.0
	for fault, rate := range o.Rates {
		if fault > Delayed || rate < 0 || rate > 1 {
			return fmt.Errorf("faultstore: rate %v of %v", rate, fault)
		}
		if fault != Delayed {
			sum += rate
		}
	}
	if sum > 1 {
		return fmt.Errorf("faultstore: rates add up to %v", sum)
	}
	for _, span := range [][2]time.Duration{o.Delay, o.Late} {
		if span[0] < 0 || span[1] < span[0] {
			return fmt.Errorf("faultstore: span from %v to %v", span[0], span[1])
		}
	}
	return nil
}

// Store is the wrapper. It is safe for concurrent use and works inside a
// testing/synctest bubble, where its delays pass in virtual time.
type Store struct {
	inner store.Store

	mu      sync.Mutex
	options Options    // Guarded by mu.
	random  *rand.Rand // Guarded by mu.

	down       atomic.Bool
	readOnly   atomic.Bool
	operations atomic.Int64
	counts     [faults]atomic.Int64
	late       sync.WaitGroup
}

// New wraps a store.
func New(inner store.Store, o Options) (*Store, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Store{inner: inner, options: o, random: rand.New(rand.NewPCG(o.Seed, 0))}, nil
}

// SetRates replaces the rates from now on.
func (s *Store) SetRates(rates map[Fault]float64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	changed := s.options
	changed.Rates = rates
	if err := changed.validate(); err != nil {
		return err
	}
	s.options = changed
	return nil
}

// SetOutage turns the outage of everything on or off.
func (s *Store) SetOutage(on bool) { s.down.Store(on) }

// SetReadOnly turns the failure of all writes on or off.
func (s *Store) SetReadOnly(on bool) { s.readOnly.Store(on) }

// Count returns how often a fault has fired.
func (s *Store) Count(f Fault) int64 { return s.counts[f].Load() }

// Operations returns how many operations were asked for.
func (s *Store) Operations() int64 { return s.operations.Load() }

// Wait returns when every late write has arrived.
func (s *Store) Wait() { s.late.Wait() }

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key store.Key) (store.Row, error) {
	p := s.plan(false)
	if err := s.before(ctx, p, store.ErrUnavailable); err != nil {
		return store.Row{}, err
	}
	row, err := s.inner.Get(ctx, key)
	if lost := s.after(ctx, p, store.ErrUnavailable); lost != nil {
		return store.Row{}, lost
	}
	return row, err
}

// Insert implements store.Store.
func (s *Store) Insert(ctx context.Context, key store.Key, columns store.Columns) (string, error) {
	copied := copyColumns(columns)
	return s.write(ctx, func(ctx context.Context) (string, error) {
		return s.inner.Insert(ctx, key, copied)
	})
}

// Replace implements store.Store.
func (s *Store) Replace(ctx context.Context, key store.Key, columns store.Columns, etag string) (string, error) {
	copied := copyColumns(columns)
	return s.write(ctx, func(ctx context.Context) (string, error) {
		return s.inner.Replace(ctx, key, copied, etag)
	})
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, key store.Key, etag string) error {
	_, err := s.write(ctx, func(ctx context.Context) (string, error) {
		return "", s.inner.Delete(ctx, key, etag)
	})
	return err
}

// Query implements store.Store.
func (s *Store) Query(ctx context.Context, filter store.Filter) iter.Seq2[store.Row, error] {
	return func(yield func(store.Row, error) bool) {
		p := s.plan(false)
		if err := s.before(ctx, p, store.ErrUnavailable); err != nil {
			yield(store.Row{}, err)
			return
		}
		rows := 0
		for row, err := range s.inner.Query(ctx, filter) {
			if p.fault == AnswerLost && rows >= p.rows {
				break
			}
			rows++
			if !yield(row, err) || err != nil {
				return
			}
		}
		if err := s.after(ctx, p, store.ErrUnavailable); err != nil {
			yield(store.Row{}, err)
		}
	}
}

func (s *Store) write(ctx context.Context, apply func(context.Context) (string, error)) (string, error) {
	p := s.plan(true)
	if err := s.before(ctx, p, store.ErrAmbiguous); err != nil {
		if p.fault == LateApply {
			s.applyLate(ctx, p.late, apply)
		}
		return "", err
	}
	etag, err := apply(ctx)
	if lost := s.after(ctx, p, store.ErrAmbiguous); lost != nil {
		return "", lost
	}
	return etag, err
}

// applyLate lets a write arrive after its caller was told that it is lost.
func (s *Store) applyLate(ctx context.Context, late time.Duration, apply func(context.Context) (string, error)) {
	ctx = context.WithoutCancel(ctx)
	s.late.Go(func() {
		<-time.After(late)
		_, _ = apply(ctx) // Nobody is left to hear of it.
	})
}

// copyColumns takes a copy for a write that may happen after its caller went on.
func copyColumns(columns store.Columns) store.Columns {
	copied := make(store.Columns, len(columns))
	for name, value := range columns {
		copied[name] = value
	}
	return copied
}

var _ store.Store = (*Store)(nil)
