// Package memory is a store.Store inside one process, for a gateway that runs
// as a single instance and for tests. It forgets everything when the process
// ends.
package memory

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"spillway/shared/store"
)

// maxKey is the longest part of a key in bytes, as in Azure Table Storage.
const maxKey = 1024

// Store keeps rows in maps. It is safe for concurrent use, starts no goroutine
// and never waits for anything but its own mutex, so it works inside a
// testing/synctest bubble.
type Store struct {
	mu         sync.Mutex
	partitions map[string]map[string]entry // Guarded by mu.
	writes     uint64                      // Writes so far; the source of ETags. Guarded by mu.
}

type entry struct {
	etag    string
	columns store.Columns // Never changed after it was stored.
}

// New returns an empty store.
func New() *Store {
	return &Store{partitions: make(map[string]map[string]entry)}
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key store.Key) (store.Row, error) {
	if err := reachable(ctx); err != nil {
		return store.Row{}, err
	}
	s.mu.Lock()
	e, ok := s.partitions[key.Partition][key.Row]
	s.mu.Unlock()
	if !ok {
		return store.Row{}, fmt.Errorf("memory: get: %w", store.ErrNotFound)
	}
	return store.Row{Key: key, ETag: e.etag, Columns: maps.Clone(e.columns)}, nil
}

// Insert implements store.Store.
func (s *Store) Insert(ctx context.Context, key store.Key, columns store.Columns) (string, error) {
	e, err := prepare(ctx, key, columns)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, exists := s.partitions[key.Partition][key.Row]; exists {
		return "", fmt.Errorf("memory: insert: %w", store.ErrConflict)
	}
	return s.put(key, e), nil
}

// Replace implements store.Store.
func (s *Store) Replace(ctx context.Context, key store.Key, columns store.Columns, etag string) (string, error) {
	e, err := prepare(ctx, key, columns)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.match(key, etag); err != nil {
		return "", fmt.Errorf("memory: replace: %w", err)
	}
	return s.put(key, e), nil
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, key store.Key, etag string) error {
	if err := reachable(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.match(key, etag); err != nil {
		return fmt.Errorf("memory: delete: %w", err)
	}
	delete(s.partitions[key.Partition], key.Row)
	if len(s.partitions[key.Partition]) == 0 {
		delete(s.partitions, key.Partition)
	}
	return nil
}

// Query implements store.Store. It yields the rows as they were at one moment,
// sorted by key.
func (s *Store) Query(ctx context.Context, filter store.Filter) iter.Seq2[store.Row, error] {
	return func(yield func(store.Row, error) bool) {
		if err := filter.Validate(); err != nil {
			yield(store.Row{}, fmt.Errorf("memory: query: %w", err))
			return
		}
		if err := reachable(ctx); err != nil {
			yield(store.Row{}, err)
			return
		}
		for _, row := range s.snapshot(filter) {
			row.Columns = maps.Clone(row.Columns)
			if !yield(row, nil) {
				return
			}
		}
	}
}

// snapshot returns the selected rows, sorted. Their columns are still shared
// with the store.
func (s *Store) snapshot(filter store.Filter) []store.Row {
	s.mu.Lock()
	defer s.mu.Unlock()
	var rows []store.Row
	if filter.Prefix == "" {
		rows = s.selected(nil, filter, filter.Partition)
	} else {
		for partition := range s.partitions {
			if strings.HasPrefix(partition, filter.Prefix) {
				rows = s.selected(rows, filter, partition)
			}
		}
	}
	slices.SortFunc(rows, func(a, b store.Row) int {
		return cmp.Or(strings.Compare(a.Partition, b.Partition), strings.Compare(a.Row, b.Row))
	})
	return rows
}

// selected appends the selected rows of one partition. The caller holds mu.
func (s *Store) selected(rows []store.Row, filter store.Filter, partition string) []store.Row {
	for name, e := range s.partitions[partition] {
		if key := (store.Key{Partition: partition, Row: name}); filter.Selects(key) {
			rows = append(rows, store.Row{Key: key, ETag: e.etag, Columns: e.columns})
		}
	}
	return rows
}

// put writes the row under a new ETag. The caller holds mu.
func (s *Store) put(key store.Key, e entry) string {
	s.writes++
	e.etag = strconv.FormatUint(s.writes, 10)
	rows := s.partitions[key.Partition]
	if rows == nil {
		rows = make(map[string]entry)
		s.partitions[key.Partition] = rows
	}
	rows[key.Row] = e
	return e.etag
}

// match tells whether the row still has the ETag. The caller holds mu.
func (s *Store) match(key store.Key, etag string) error {
	if !store.ValidETag(etag) {
		return fmt.Errorf("%w: no etag", store.ErrInvalid)
	}
	e, exists := s.partitions[key.Partition][key.Row]
	switch {
	case !exists:
		return store.ErrNotFound
	case e.etag != etag:
		return store.ErrConflict
	}
	return nil
}

// prepare checks a write and copies its columns.
func prepare(ctx context.Context, key store.Key, columns store.Columns) (entry, error) {
	if len(key.Partition) > maxKey || len(key.Row) > maxKey {
		return entry{}, fmt.Errorf("memory: %w: key too long", store.ErrInvalid)
	}
	kept, err := columns.Copy()
	if err != nil {
		return entry{}, fmt.Errorf("memory: %w", err)
	}
	return entry{columns: kept}, reachable(ctx)
}

// reachable is an error once the context has ended, as for a store behind a
// network.
func reachable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memory: %w: %w", store.ErrUnavailable, err)
	}
	return nil
}

var _ store.Store = (*Store)(nil)
