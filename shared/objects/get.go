package objects

import (
	"context"
	"errors"
	"fmt"
	"time"

	"spillway/shared/clock"
	"spillway/shared/store"
)

const (
	// knownFor is how long an object is known without being read again.
	knownFor = time.Minute
	// missFor is how long it is known that there is no object.
	missFor = time.Second
	// fetchTime bounds the reading of an object, and how long a caller waits for it.
	fetchTime = 3 * time.Second
	// awaitTime bounds how long a caller waits who could go on with what is known.
	awaitTime = 150 * time.Millisecond
	// restFor is how long what is known goes on after it could not be read again.
	restFor = time.Second
)

// Get returns an object of a consumer that has neither expired nor been deleted;
// false: there is none. What it says was so at some moment of the last minute, and
// that there is none, of the last 3 seconds; what was done at this Registry is known
// at once. Only if the store fails may it be older. An object in memory costs no read
// and no allocation; all who wait for the same one share a read, which goes on when
// one of them leaves. Errors: ErrUnavailable, ErrBroken, and the cause of ctx's end.
func (r *Registry) Get(ctx context.Context, consumer string, kind Kind, id string) (Object, bool, error) {
	k := key{kind, consumer, id}
	now := r.o.Clock.Read()
	r.mu.Lock()
	have, ok := r.found.get(k)
	if ok && !have.stale.PassedAt(now) {
		r.mu.Unlock()
		o, found := have.record.answer(now.Time())
		return o, found, nil
	}
	if until, missed := r.missing.get(k); !ok && missed && !until.PassedAt(now) || !k.valid() {
		r.mu.Unlock()
		return Object{}, false, nil
	}
	f := r.flightTo(k, now)
	r.mu.Unlock()
	rec, err := r.await(ctx, f, ok)
	switch {
	case err != nil && ok && ctx.Err() == nil:
		rec = have.record // It goes on.
	case err != nil:
		return Object{}, false, err
	case rec == nil:
		return Object{}, false, nil
	}
	o, found := rec.answer(r.o.Clock.Now())
	return o, found, nil
}

// flight is a read under way. All who ask for the same object share it.
type flight struct {
	done   chan struct{}
	record *record // Read it after done, like err. Nil: there is no row.
	err    error
}

// flightTo returns the flight to an object, and starts it if there is none. The
// caller holds mu.
func (r *Registry) flightTo(k key, now clock.Instant) *flight {
	if f := r.flights[k]; f != nil {
		return f
	}
	f := &flight{done: make(chan struct{})}
	r.flights[k] = f
	go r.fly(f, k, now)
	return f
}

// fly reads an object and notes what it found.
func (r *Registry) fly(f *flight, k key, now clock.Instant) {
	defer close(f.done)
	ctx, cancel := context.WithTimeout(context.Background(), fetchTime)
	defer cancel()
	f.err = r.persist(ctx, readTries, func(ctx context.Context) (bool, error) {
		var err error
		_, f.record, err = r.read(ctx, k)
		return !errors.Is(err, ErrUnavailable), err
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.flights[k] != f {
		return // Something was written meanwhile, which it may not have seen.
	}
	delete(r.flights, k)
	switch have, ok := r.found.get(k); {
	case f.err != nil && ok:
		have.stale = r.o.Clock.Until(r.o.Clock.Now().Add(restFor))
		r.found.put(k, have)
	case f.err != nil:
	case f.record == nil:
		r.found.remove(k)
		r.missing.put(k, now.Until(now.Time().Add(missFor)))
	default:
		f.record = r.keep(k, f.record, now)
	}
}

// await waits for a flight; not for long if the caller knows something already.
func (r *Registry) await(ctx context.Context, f *flight, known bool) (*record, error) {
	most := fetchTime
	if known {
		most = store.Patience(ctx, awaitTime)
		began := time.Now()
		defer func() { store.Waited(ctx, time.Since(began)) }()
	}
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-f.done:
		return f.record, f.err
	case <-timer.C:
		return nil, ErrUnavailable
	case <-ctx.Done():
		return nil, fmt.Errorf("objects: %w", context.Cause(ctx))
	}
}

// keep adds what was read or written after an instant to what is known, and returns
// all that is known then. The caller holds mu.
func (r *Registry) keep(k key, rec *record, since clock.Instant) *record {
	if have, ok := r.found.get(k); ok {
		rec = rec.join(have.record)
	}
	r.found.put(k, known{rec, since.Until(since.Time().Add(knownFor))})
	return rec
}

// wrote notes what a write has made of an object; nil: there is none. A read that is
// under way may not have seen it, so nobody joins that any more.
func (r *Registry) wrote(k key, rec *record, since clock.Instant) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.flights, k)
	if rec == nil {
		r.found.remove(k)
		return
	}
	r.missing.remove(k)
	r.keep(k, rec, since)
}

// read reads the row of an object; a nil record is none. Errors: ErrUnavailable,
// ErrBroken.
func (r *Registry) read(ctx context.Context, k key) (store.Row, *record, error) {
	ctx, cancel := context.WithTimeout(ctx, operationTime)
	defer cancel()
	row, err := r.o.Store.Get(ctx, k.row())
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrInvalid): // Or longer than any that was put.
		return store.Row{}, nil, nil
	case err != nil:
		return store.Row{}, nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	rec, err := decode(k, row.Columns)
	return row, rec, err
}
