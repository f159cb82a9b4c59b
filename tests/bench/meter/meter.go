// Package meter measures what is used: it counts the operations on a store, and reads
// the processor time of this process.
package meter

import (
	"context"
	"errors"
	"iter"
	"sync/atomic"

	"spillway/shared/store"
)

// Store passes everything on to another store and counts it. It is safe for
// concurrent use.
type Store struct {
	inner store.Store
	count struct{ reads, writes, conflicts, failures atomic.Int64 }
}

var _ store.Store = (*Store)(nil)

// Count is a number of operations.
type Count struct {
	// Reads are operations that write nothing. A query counts as one.
	Reads int64
	// Writes are operations that write, or try to.
	Writes int64
	// Conflicts are the writes among them that found that somebody else had
	// written first.
	Conflicts int64
	// Failures are the reads and writes whose outcome is unknown, or that the
	// store did not do for another reason.
	Failures int64
}

// Operations returns the number of all operations.
func (c Count) Operations() int64 { return c.Reads + c.Writes }

// Plus returns the sum of two counts.
func (c Count) Plus(other Count) Count {
	return Count{
		Reads: c.Reads + other.Reads, Writes: c.Writes + other.Writes,
		Conflicts: c.Conflicts + other.Conflicts, Failures: c.Failures + other.Failures,
	}
}

// Minus returns what was counted since an earlier count.
func (c Count) Minus(earlier Count) Count {
	return Count{
		Reads: c.Reads - earlier.Reads, Writes: c.Writes - earlier.Writes,
		Conflicts: c.Conflicts - earlier.Conflicts, Failures: c.Failures - earlier.Failures,
	}
}

// New returns a store that counts the operations on another.
func New(inner store.Store) *Store {
	return &Store{inner: inner}
}

// Count returns the operations that have ended so far.
func (s *Store) Count() Count {
	return Count{
		Reads: s.count.reads.Load(), Writes: s.count.writes.Load(),
		Conflicts: s.count.conflicts.Load(), Failures: s.count.failures.Load(),
	}
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key store.Key) (store.Row, error) {
	row, err := s.inner.Get(ctx, key)
	s.read(err)
	return row, err
}

// Insert implements store.Store.
func (s *Store) Insert(ctx context.Context, key store.Key, columns store.Columns) (string, error) {
	etag, err := s.inner.Insert(ctx, key, columns)
	s.wrote(err)
	return etag, err
}

// Replace implements store.Store.
func (s *Store) Replace(ctx context.Context, key store.Key, columns store.Columns, etag string) (string, error) {
	etag, err := s.inner.Replace(ctx, key, columns, etag)
	s.wrote(err)
	return etag, err
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, key store.Key, etag string) error {
	err := s.inner.Delete(ctx, key, etag)
	s.wrote(err)
	return err
}

// Query implements store.Store.
func (s *Store) Query(ctx context.Context, filter store.Filter) iter.Seq2[store.Row, error] {
	return func(yield func(store.Row, error) bool) {
		var failure error
		defer func() { s.read(failure) }()
		for row, err := range s.inner.Query(ctx, filter) {
			failure = err
			if !yield(row, err) {
				return
			}
		}
	}
}

func (s *Store) read(err error) {
	s.count.reads.Add(1)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		s.count.failures.Add(1)
	}
}

func (s *Store) wrote(err error) {
	s.count.writes.Add(1)
	switch {
	case err == nil:
	case errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrNotFound):
		s.count.conflicts.Add(1)
	default:
		s.count.failures.Add(1)
	}
}
