package objects

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"spillway/shared/store"
)

const (
	// writeTime is when a write gives up.
	writeTime = 10 * time.Second
	// operationTime bounds one operation.
	operationTime = 2 * time.Second
	// readTries and writeTries are how often an operation is tried, at most.
	readTries  = 3
	writeTries = 12
	// firstPause is the pause before the second try; it doubles up to lastPause.
	firstPause = 50 * time.Millisecond
	lastPause  = 800 * time.Millisecond
)

// Put remembers an object. To put the same one again is safe and changes nothing,
// also if it was settled or deleted meanwhile. It takes 10 s at most, and ends when
// ctx does. Errors: ErrInvalid, ErrTaken, ErrBroken, ErrUnavailable.
func (r *Registry) Put(ctx context.Context, o Object) error {
	now := r.o.Clock.Read()
	rec := complete(o, now.Time())
	if err := rec.check(); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	k := keyOf(o)
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	var kept *record
	err := r.persist(ctx, writeTries, func(ctx context.Context) (done bool, err error) {
		kept, err = r.insert(ctx, k, rec)
		return kept != nil || errors.Is(err, ErrInvalid) || errors.Is(err, ErrBroken), err
	})
	if err != nil {
		return err
	}
	r.wrote(k, kept, now)
	if kept.Backend != o.Backend || kept.Deployment != o.Deployment {
		return ErrTaken
	}
	return nil
}

// complete fills in what may be left out, and cuts the times as a store does.
func complete(o Object, now time.Time) *record {
	if o.Created.IsZero() {
		o.Created = now
	}
	if o.Expires.IsZero() {
		o.Expires = o.Created.Add(Keep)
	}
	o.Created = o.Created.UTC().Truncate(store.TimeResolution)
	o.Expires = o.Expires.UTC().Truncate(store.TimeResolution)
	return &record{Object: o}
}

// insert tries to insert a row and returns the one that is there then; nil: there is
// none, and it may be tried again.
func (r *Registry) insert(ctx context.Context, k key, rec *record) (*record, error) {
	operation, cancel := context.WithTimeout(ctx, operationTime)
	defer cancel()
	_, err := r.o.Store.Insert(operation, k.row(), rec.columns())
	switch {
	case err == nil:
		return rec, nil
	case errors.Is(err, store.ErrInvalid):
		return nil, fmt.Errorf("%w: %w", ErrInvalid, err)
	case errors.Is(err, store.ErrUnavailable):
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	_, kept, readErr := r.read(ctx, k)
	if kept == nil && readErr == nil {
		readErr = fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return kept, readErr
}

// Settle tells whether the caller is the first to settle a pending object, of which
// it looks at the kind, consumer and ID. It is true for exactly one caller over all
// instances, and false for an object that is not pending, or is not there; an object
// that was deleted less than an hour ago can still be settled. It takes 10 s at most,
// and goes on when ctx ends. After an error the caller has to call it again at the
// same Registry: it may have been the first. Errors: ErrUnavailable, ErrBroken.
func (r *Registry) Settle(ctx context.Context, o Object) (first bool, err error) {
	k := keyOf(o)
	if !k.valid() {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTime)
	defer cancel()
	now := r.o.Clock.Read()
	nonces := r.adopt(k)
	sent := len(nonces) > 0 // One of them may be in the row, or may still come there.
	if !sent {
		nonces = []string{r.newNonce()}
	}
	var rec *record
	err = r.persist(ctx, writeTries, func(ctx context.Context) (done bool, err error) {
		var row store.Row
		row, rec, err = r.read(ctx, k)
		switch {
		case err != nil:
			return errors.Is(err, ErrBroken), err
		case rec == nil:
			return true, nil
		case slices.Contains(nonces, rec.nonce):
			first = true
			return true, nil
		case !rec.Pending:
			return true, nil
		}
		if err = r.replace(ctx, row, settled(row.Columns, nonces[0])); err == nil {
			first, rec.Pending = true, false
			return true, nil
		}
		sent = sent || !errors.Is(err, store.ErrUnavailable)
		return false, fmt.Errorf("%w: %w", ErrUnavailable, err)
	})
	if err != nil {
		if sent {
			r.leave(k, nonces)
		}
		return false, err
	}
	r.wrote(k, rec, now)
	return first, nil
}

// adopt takes over the nonces that earlier calls have left. Nobody else has them
// then.
func (r *Registry) adopt(k key) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	nonces := r.unknown[k]
	delete(r.unknown, k)
	return nonces
}

// leave leaves nonces that may be in the row to the next call.
func (r *Registry) leave(k key, nonces []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.unknown[k]) > 0 || len(r.unknown) < r.o.Cache {
		r.unknown[k] = append(r.unknown[k], nonces...)
	}
}

// Delete forgets an object; that there is none is as good. It takes 10 s at most, and
// ends when ctx does. To repeat it is safe. Errors: ErrUnavailable, ErrBroken.
func (r *Registry) Delete(ctx context.Context, consumer string, kind Kind, id string) error {
	k := key{kind, consumer, id}
	if !k.valid() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, writeTime)
	defer cancel()
	now := r.o.Clock.Read()
	var rec *record
	err := r.persist(ctx, writeTries, func(ctx context.Context) (done bool, err error) {
		var row store.Row
		row, rec, err = r.read(ctx, k)
		if err != nil {
			return errors.Is(err, ErrBroken), err
		}
		if rec == nil || rec.deleted {
			return true, nil
		}
		if err = r.replace(ctx, row, deleted(row.Columns, rec, r.o.Clock.Now())); err != nil {
			return false, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		rec.deleted = true
		return true, nil
	})
	if err == nil {
		r.wrote(k, rec, now)
	}
	return err
}

// replace writes a row if it still is as it was read.
func (r *Registry) replace(ctx context.Context, row store.Row, columns store.Columns) error {
	ctx, cancel := context.WithTimeout(ctx, operationTime)
	defer cancel()
	_, err := r.o.Store.Replace(ctx, row.Key, columns, row.ETag)
	return err
}

// persist tries something until it is done, with a pause between two tries. It gives
// up after so many of them, or when ctx ends, with the last error.
func (r *Registry) persist(ctx context.Context, tries int, try func(context.Context) (done bool, err error)) error {
	for n := 1; ; n++ {
		done, err := try(ctx)
		if done || n == tries || !r.pause(ctx, n) {
			return err
		}
	}
}

// pause waits after the nth try; false: it is over.
func (r *Registry) pause(ctx context.Context, n int) bool {
	most := min(firstPause<<min(n-1, 8), lastPause)
	timer := time.NewTimer(most - time.Duration(r.o.Random(uint64(most)/2)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
