// Package faultstore is a store.Store that wraps another one and goes wrong in
// the ways that a table service behind a network goes wrong: requests and
// answers get lost, writes happen after their caller has given up, everything
// is slow, or down, or gone. Which operation goes wrong is drawn from a seed, and every
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

// The faults. Those before Delayed are drawn, and at most one of them befalls an
// operation; Delayed is drawn too and comes on top. The others are turned on and
// off by a method.
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
	// Busy: 503 of a front end that has not carried the operation out. A write
	// gives ErrAmbiguous, because such an answer proves nothing; a read
	// ErrUnavailable.
	Busy
	// BusyApplied: the same 503 for a write that was carried out.
	BusyApplied
	// ConflictedApplied: a write happens and gives ErrConflict, as when something
	// on the way sends it twice and returns the second answer. It breaks the
	// contract of a store; a caller that marks its rows survives it.
	ConflictedApplied
	// Delayed: request and answer together take up to Options.Delay. A context
	// that ends on the way out loses the request, on the way back the answer.
	Delayed
	// Slowed: the latency is multiplied, by SetSlowdown.
	Slowed
	// Outage: ErrUnavailable for everything while SetOutage is on.
	Outage
	// WriteRefused: ErrUnavailable for writes while SetReadOnly is on.
	WriteRefused
	// ReadRefused: ErrUnavailable for reads while SetWriteOnly is on.
	ReadRefused
	// TableLost: all rows are gone at once, by LoseTable.
	TableLost
	// DateOff: an answer's date is not that of this machine, by SetDateOffset.
	DateOff

	faults // Their number.
)

var names = [faults]string{
	"refused", "request lost", "answer lost", "late apply", "conflicted", "busy", "busy, applied", "conflicted, applied",
	"delayed", "slowed", "outage", "write refused", "read refused", "table lost", "date off",
}

// String returns the fault's name.
func (f Fault) String() string {
	if f < faults {
		return names[f]
	}
	return fmt.Sprintf("Fault(%d)", uint8(f))
}

// All returns the faults that any test with random faults should meet: those of
// a network, and outages.
func All() []Fault {
	return []Fault{Refused, RequestLost, AnswerLost, LateApply, Conflicted, Delayed, Outage, WriteRefused}
}

// Further returns the other faults: those of a service in trouble, which a test
// chooses.
func Further() []Fault {
	return []Fault{Busy, BusyApplied, ConflictedApplied, Slowed, ReadRefused, TableLost, DateOff}
}

// Options say how often what goes wrong. The zero value never does.
type Options struct {
	// Seed of the draws. Concurrent callers race for the next draw, so a seed
	// repeats a run only if the run repeats the order of its operations.
	Seed uint64
	// Rates are probabilities, 0 to 1, of the drawn faults: those before Delayed
	// (together at most 1), and Delayed.
	Rates map[Fault]float64
	// Latency is the least and the greatest time that each operation takes, half
	// of it before it happens. SetSlowdown multiplies it.
	Latency [2]time.Duration
	// Delay is the least and the greatest delay of a Delayed operation.
	Delay [2]time.Duration
	// Late is the least and the greatest lateness of a LateApply.
	Late [2]time.Duration
	// OnServerDate, if set, gets the date of each answer that arrives, as a table
	// service sends it: whole seconds of this machine's clock and the offset of
	// SetDateOffset. The other times are around the operation.
	OnServerDate func(date, sent, received time.Time)
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
	for _, span := range [][2]time.Duration{o.Delay, o.Late, o.Latency} {
		if span[0] < 0 || span[1] < span[0] {
			return fmt.Errorf("faultstore: span from %v to %v", span[0], span[1])
		}
	}
	return nil
}

// Store is the wrapper. It is safe for concurrent use and works inside a
// testing/synctest bubble, where its delays pass in virtual time.
type Store struct {
	mu       sync.Mutex
	inner    store.Store // Guarded by mu.
	options  Options     // Guarded by mu.
	random   *rand.Rand  // Guarded by mu.
	slowdown int         // Guarded by mu.

	down       atomic.Bool
	readOnly   atomic.Bool
	writeOnly  atomic.Bool
	dateOffset atomic.Int64 // A time.Duration.
	operations atomic.Int64
	counts     [faults]atomic.Int64
	late       sync.WaitGroup
}

// New wraps a store.
func New(inner store.Store, o Options) (*Store, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Store{inner: inner, options: o, random: rand.New(rand.NewPCG(o.Seed, 0)), slowdown: 1}, nil
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

// SetWriteOnly turns the failure of all reads on or off.
func (s *Store) SetWriteOnly(on bool) { s.writeOnly.Store(on) }

// SetSlowdown multiplies Options.Latency from now on; 1 is the normal pace.
func (s *Store) SetSlowdown(factor int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.slowdown = max(factor, 1)
}

// SetDateOffset shifts the dates that Options.OnServerDate gets.
func (s *Store) SetDateOffset(d time.Duration) { s.dateOffset.Store(int64(d)) }

// LoseTable replaces the wrapped store by an empty one, as when somebody deletes
// a table and the next write makes it anew. Operations under way end on the old
// one. Around it, SetOutage is the time in which the service deletes the table.
func (s *Store) LoseTable(empty store.Store) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inner = empty
	s.counts[TableLost].Add(1)
}

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
	row, err := p.inner.Get(ctx, key)
	if lost := s.after(ctx, p, store.ErrUnavailable); lost != nil {
		return store.Row{}, lost
	}
	return row, err
}

// Insert implements store.Store.
func (s *Store) Insert(ctx context.Context, key store.Key, columns store.Columns) (string, error) {
	copied := copyColumns(columns)
	return s.write(ctx, func(ctx context.Context, inner store.Store) (string, error) {
		return inner.Insert(ctx, key, copied)
	})
}

// Replace implements store.Store.
func (s *Store) Replace(ctx context.Context, key store.Key, columns store.Columns, etag string) (string, error) {
	copied := copyColumns(columns)
	return s.write(ctx, func(ctx context.Context, inner store.Store) (string, error) {
		return inner.Replace(ctx, key, copied, etag)
	})
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, key store.Key, etag string) error {
	_, err := s.write(ctx, func(ctx context.Context, inner store.Store) (string, error) {
		return "", inner.Delete(ctx, key, etag)
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
		for row, err := range p.inner.Query(ctx, filter) {
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

func (s *Store) write(ctx context.Context, apply func(context.Context, store.Store) (string, error)) (string, error) {
	p := s.plan(true)
	if err := s.before(ctx, p, store.ErrAmbiguous); err != nil {
		if p.fault == LateApply {
			s.applyLate(ctx, p, apply)
		}
		return "", err
	}
	etag, err := apply(ctx, p.inner)
	if lost := s.after(ctx, p, store.ErrAmbiguous); lost != nil {
		return "", lost
	}
	if p.fault == ConflictedApplied && err == nil {
		return "", fmt.Errorf("faultstore: %w: %v", store.ErrConflict, p.fault)
	}
	return etag, err
}

// applyLate lets a write arrive after its caller was told that it is lost.
func (s *Store) applyLate(ctx context.Context, p plan, apply func(context.Context, store.Store) (string, error)) {
	ctx = context.WithoutCancel(ctx)
	s.late.Go(func() {
		<-time.After(p.late)
		_, _ = apply(ctx, p.inner) // Nobody is left to hear of it.
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
