package consumers

import (
	"context"
	"errors"
	"slices"

	"spillway/shared/store"
)

// index is an index row as it was read or written.
type index struct {
	credential credential
	etag       string // Empty: there is none.
	name       string // Whose it is; empty if it cannot be read.
	held       bool
	fresh      bool // A claim of what was not the consumer's before.
}

// lookIndex reads an index row.
func (w *writer) lookIndex(ctx context.Context, c credential) (index, error) {
	row, err := w.get(ctx, c.indexKey())
	if errors.Is(err, store.ErrNotFound) {
		return index{credential: c}, nil
	}
	if err != nil {
		return index{}, err
	}
	i := index{credential: c, etag: row.ETag}
	i.name, i.held, err = decodeIndex(row.Columns)
	if errors.Is(err, ErrFormat) {
		return index{}, err
	}
	return i, nil // One that makes no sense is nobody's.
}

// claim claims what the consumer gets, and returns the claims, also after an
// error. What it lists already, and holds, needs none.
func (w *writer) claim(ctx context.Context, before stored) ([]index, error) {
	var claims []index
	for _, c := range credentials(&w.change.Consumer) {
		i, err := w.claimOne(ctx, c, before)
		if err != nil {
			return claims, err
		}
		if !i.held {
			claims = append(claims, i)
		}
	}
	return claims, nil
}

// claimTries bounds how often a claim is tried that others try too.
const claimTries = 8

// claimOne claims one credential. A credential that the consumer does not list yet
// is claimed anew although its index row names the consumer already: another writer
// may be about to take it over.
func (w *writer) claimOne(ctx context.Context, c credential, before stored) (index, error) {
	name := w.change.Consumer.Name
	for range claimTries {
		i, err := w.lookIndex(ctx, c)
		if err != nil {
			return index{}, err
		}
		if i.name == name && i.held && before.consumer != nil && before.lists(c) {
			return i, nil
		}
		if err := w.free(ctx, i); err != nil {
			return index{}, err
		}
		i.fresh = i.name != name
		i, err = w.putIndex(ctx, i, false)
		if !errors.Is(err, errLost) {
			return i, err
		}
	}
	return index{}, ErrUnavailable
}

// free tells whether an index row may be taken over: it is this consumer's, or its
// consumer does not list the credential.
func (w *writer) free(ctx context.Context, i index) error {
	if i.name == "" || i.name == w.change.Consumer.Name {
		return nil
	}
	owner, err := w.current(ctx, i.name)
	if err != nil {
		return err
	}
	if owner.lists(i.credential) {
		return &TakenError{Credential: i.credential.String(), Consumer: i.name}
	}
	return nil
}

// putIndex makes the index row name the consumer.
func (w *writer) putIndex(ctx context.Context, i index, held bool) (index, error) {
	name := w.change.Consumer.Name
	var err error
	i.etag, err = w.write(ctx, i.credential.indexKey(), i.etag, func(nonce string) store.Columns {
		return encodeIndex(name, nonce, held)
	})
	i.name, i.held = name, held
	return i, err
}

// confirm makes the claims hold, now that the consumer's row, which has that ETag,
// lists the credentials. Errors: *TakenError, another consumer has taken one of them
// over; else ErrUnknown, the change is made and a claim may still be taken over.
func (w *writer) confirm(ctx context.Context, claims []index, etag string) error {
	var errs []error
	for _, i := range claims {
		errs = append(errs, w.confirmOne(ctx, i, etag))
	}
	err := errors.Join(errs...)
	if taken := new(TakenError); err == nil || errors.As(err, &taken) {
		return err
	}
	return ErrUnknown
}

// confirmOne confirms one claim. If another writer of the same consumer has written
// the index row meanwhile, it is confirmed only as long as the consumer's row is as
// this writer wrote it. Otherwise that other writer may be about to add the
// credential again, which must not count as confirmed before it has.
func (w *writer) confirmOne(ctx context.Context, i index, etag string) error {
	for range claimTries {
		_, err := w.putIndex(ctx, i, true)
		if !errors.Is(err, errLost) {
			return err
		}
		if i, err = w.lookIndex(ctx, i.credential); err != nil {
			return err
		}
		if i.name != "" && i.name != w.change.Consumer.Name {
			return &TakenError{Credential: i.credential.String(), Consumer: i.name, Made: true}
		}
		now, err := w.current(ctx, w.change.Consumer.Name) // After the index row.
		if err != nil {
			return err
		}
		if now.etag != etag {
			return nil // The change is made, and was followed by another one.
		}
	}
	return ErrUnknown
}

// disclaim withdraws claims whose change was not made, as far as possible. A row that
// named the consumer before stays: another writer of the same consumer may have been
// told that the credential holds.
func (w *writer) disclaim(ctx context.Context, claims []index) {
	w.deleteAll(ctx, slices.DeleteFunc(claims, func(i index) bool { return !i.fresh }))
}

// indexed reads the index rows of credentials that are the consumer's. It is done
// before the consumer's row is written: a claim that is made afterwards changes the
// ETag, and so is not deleted.
func (w *writer) indexed(ctx context.Context, dropped []credential) ([]index, error) {
	var all []index
	for _, c := range dropped {
		i, err := w.lookIndex(ctx, c)
		if err != nil {
			return nil, err
		}
		if i.name == w.change.Consumer.Name {
			all = append(all, i)
		}
	}
	return all, nil
}

// deleteAll deletes index rows that are still as they were, as far as possible.
// One that stays is stale and harmless.
func (w *writer) deleteAll(ctx context.Context, rows []index) {
	for _, i := range rows {
		if err := w.delete(ctx, i.credential.indexKey(), i.etag); err != nil && !errors.Is(err, errLost) {
			return
		}
	}
}
