package aztable

import (
	"context"
	"errors"
	"fmt"

	"spillway/shared/store"
)

// probeKey is the row that Check writes and deletes.
var probeKey = store.Key{Partition: "check", Row: "probe"}

// Check tells whether the table can be read and written, and creates it if it is
// missing. It inserts, reads, replaces and deletes one row of its own, because
// each of these may need a right of its own; instances that check at the same
// time do not disturb each other. The error is one line that says what is wrong
// and, as far as that is known, what to do about it; it wraps one of the errors of
// package store. At most six requests are sent, each with its own try timeout.
func (s *Store) Check(ctx context.Context) error {
	_, err := s.Insert(ctx, probeKey, nil)
	if err != nil && !errors.Is(err, store.ErrConflict) { // It may be there already.
		return s.checkError("written", err)
	}
	row, err := s.Get(ctx, probeKey)
	if errors.Is(err, store.ErrNotFound) {
		return nil // Another instance's Check has deleted it: that shows the rest.
	}
	if err != nil {
		return s.checkError("read", err)
	}
	etag, err := s.Replace(ctx, probeKey, nil, row.ETag)
	if err == nil {
		err = s.Delete(ctx, probeKey, etag)
	}
	if err != nil && !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrNotFound) {
		return s.checkError("written", err)
	}
	return nil
}

func (s *Store) checkError(done string, err error) error {
	return fmt.Errorf("the table %s on %s cannot be %s: %w", s.name, s.account.host(), done, err)
}
