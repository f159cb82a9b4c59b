// Package memory is a store.Store inside one process, for a gateway that runs
// as a single instance and for tests. It forgets everything when the process
// ends.
package memory

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"

	"spillway/shared/store"
)

// maxKey is the longest part of a key in bytes, as in Azure Table Storage.
const maxKey = 1024

// Store keeps rows in maps, each in one piece. It is a store.Local. It is safe for
// concurrent use, starts no goroutine and never waits for anything but its own mutex, so
// it works inside a testing/synctest bubble.
type Store struct {
	mu         sync.Mutex
	partitions partitions // Guarded by mu.
	writes     uint64     // Writes so far; the source of ETags. Guarded by mu.
}

// New returns an empty store.
func New() *Store {
	return &Store{partitions: newPartitions()}
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, key store.Key) (store.Row, error) {
	if err := reachable(ctx); err != nil {
		return store.Row{}, err
	}
	s.mu.Lock()
	e, ok := s.partitions.find(key.Partition, 0).get(key.Row)
	s.mu.Unlock()
	if !ok {
		return store.Row{}, fmt.Errorf("memory: get: %w", store.ErrNotFound)
	}
	return store.Row{Key: key, ETag: e.etag(), Columns: e.record.Columns()}, nil
}

// Insert implements store.Store.
func (s *Store) Insert(ctx context.Context, key store.Key, columns store.Columns) (string, error) {
	packed, err := prepare(ctx, key, columns)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.partitions.find(key.Partition, 0)
	if _, exists := p.get(key.Row); exists {
		return "", fmt.Errorf("memory: insert: %w", store.ErrConflict)
	}
	return s.put(key, p, packed).etag(), nil
}

// Replace implements store.Store.
func (s *Store) Replace(ctx context.Context, key store.Key, columns store.Columns, etag string) (string, error) {
	packed, err := prepare(ctx, key, columns)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.partitions.find(key.Partition, 0)
	if err := p.match(key.Row, etag); err != nil {
		return "", fmt.Errorf("memory: replace: %w", err)
	}
	return s.put(key, p, packed).etag(), nil
}

// GetRecord implements store.Local.
func (s *Store) GetRecord(key store.Key) (store.Record, error) {
	s.mu.Lock()
	e, ok := s.partitions.find(key.Partition, 0).get(key.Row)
	s.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("memory: get: %w", store.ErrNotFound)
	}
	return e.record, nil
}

// SwapRecord implements store.Local.
func (s *Store) SwapRecord(key store.Key, before, after store.Record) error {
	if err := validate(key); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var last uint32
	if r, ok := before.(store.Placed); ok {
		last = *r.Place()
	}
	p := s.partitions.find(key.Partition, last)
	if e, _ := p.get(key.Row); e.record != before {
		return fmt.Errorf("memory: swap: %w", store.ErrConflict)
	}
	s.put(key, p, after)
	return nil
}

// Delete implements store.Store.
func (s *Store) Delete(ctx context.Context, key store.Key, etag string) error {
	if err := reachable(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.partitions.find(key.Partition, 0)
	if err := p.match(key.Row, etag); err != nil {
		return fmt.Errorf("memory: delete: %w", err)
	}
	if left, rows := p.without(key.Row); rows {
		*p.partition = left
	} else {
		s.partitions.remove(key.Partition)
	}
	return nil
}

// Query implements store.Store. It yields the rows of a partition as they were at one
// moment, sorted by key. Those of a prefix may be hundreds of thousands, for which nobody
// who reads or writes another row is kept waiting: it yields them piece by piece, of which
// each is of one moment and sorted.
func (s *Store) Query(ctx context.Context, filter store.Filter) iter.Seq2[store.Row, error] {
	return func(yield func(store.Row, error) bool) {
		if err := filter.Validate(); err != nil {
			yield(store.Row{}, fmt.Errorf("memory: query: %w", err))
			return
		}
		for rows := range s.pieces(filter) {
			if err := reachable(ctx); err != nil {
				yield(store.Row{}, err)
				return
			}
			slices.SortFunc(rows, selected.compare)
			for _, r := range rows {
				if !yield(store.Row{Key: r.key, ETag: r.etag(), Columns: r.record.Columns()}, nil) {
					return
				}
			}
		}
	}
}

// selected is a row that a query selects.
type selected struct {
	key store.Key
	entry
}

func (s selected) compare(other selected) int {
	if c := strings.Compare(s.key.Partition, other.key.Partition); c != 0 {
		return c
	}
	return strings.Compare(s.key.Row, other.key.Row)
}

// pieces yields the selected rows, at least one piece of them. Each lasts until the next.
func (s *Store) pieces(filter store.Filter) iter.Seq[[]selected] {
	return func(yield func([]selected) bool) {
		var rows []selected
		gather := func(name string, p *partition) {
			for row, e := range p.all {
				if key := (store.Key{Partition: name, Row: row}); filter.Selects(key) {
					rows = append(rows, selected{key, e})
				}
			}
		}
		var kinds []*alike
		s.mu.Lock()
		if filter.Prefix == "" {
			gather(filter.Partition, s.partitions.find(filter.Partition, 0).partition)
		} else {
			kinds = s.partitions.of(filter.Prefix)
		}
		s.mu.Unlock()
		if !yield(rows) {
			return
		}
		for _, a := range kinds {
			for first, more := uint32(0), true; more; first += block {
				rows = rows[:0]
				s.mu.Lock()
				more = a.each(first, gather)
				s.mu.Unlock()
				if !yield(rows) {
					return
				}
			}
		}
	}
}

// put writes the row under a new ETag, into its partition as it was found. The caller
// holds mu.
func (s *Store) put(key store.Key, p found, r store.Record) entry {
	s.writes++
	e := entry{version: s.writes, record: r}
	if p.partition == nil {
		p.place = s.partitions.add(key.Partition, partition{}.with(key.Row, e))
	} else {
		*p.partition = p.with(key.Row, e)
	}
	if r, ok := r.(store.Placed); ok {
		*r.Place() = p.place
	}
	return e
}

// validate checks the key of a write.
func validate(key store.Key) error {
	if len(key.Partition) > maxKey || len(key.Row) > maxKey {
		return fmt.Errorf("memory: %w: key too long", store.ErrInvalid)
	}
	return nil
}

// prepare checks a write and packs its columns.
func prepare(ctx context.Context, key store.Key, columns store.Columns) (packed, error) {
	if err := validate(key); err != nil {
		return "", err
	}
	if err := columns.Validate(); err != nil {
		return "", fmt.Errorf("memory: %w", err)
	}
	return pack(columns), reachable(ctx)
}

// reachable is an error once the context has ended, as for a store behind a
// network.
func reachable(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memory: %w: %w", store.ErrUnavailable, err)
	}
	return nil
}

var _ store.Local = (*Store)(nil)
