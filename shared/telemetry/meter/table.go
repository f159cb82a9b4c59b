package meter

import (
	"context"
	"errors"
	"iter"
	"strings"
	"time"

	"spillway/shared/store"
)

// tableKey is an operation on the shared state, how it ended, and on which rows.
type tableKey struct{ operation, outcome, rows string }

func (k tableKey) with(own func(string) string) tableKey {
	return tableKey{k.operation, k.outcome, own(k.rows)}
}

type tableSeries struct {
	operations adder
	duration   recorder[float64]
}

func (m *Meter) newTableSeries(k tableKey) *tableSeries {
	var a attributes
	a.text("spillway.table.operation", k.operation)
	a.text("spillway.table.rows", k.rows)
	a.text("spillway.outcome", k.outcome)
	return m.tableSeriesAt(a.place())
}

func (m *Meter) tableSeriesAt(all *place) *tableSeries {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &tableSeries{m.instruments.tables.at(all), m.instruments.tableTime.at(all)}
}

// Store is a store whose operations are counted, and whose writes of limits are
// audited: whether one has left its row granted beyond the limit. It changes neither
// arguments nor results, and is a store.Local if the store is. A nil *Meter returns the
// store as it is.
func (m *Meter) Store(s store.Store) store.Store {
	if m == nil {
		return s
	}
	t := &table{meter: m, store: s, audit: newAudit(m.overgranted)}
	if s, ok := s.(store.Local); ok {
		return &local{table: t, store: s}
	}
	return t
}

// table counts the operations of the store behind it.
type table struct {
	meter *Meter
	store store.Store
	audit *audit
}

// count counts an operation that began at start.
func (t *table) count(operation, partition string, start time.Time, err error) {
	t.series(operation, partition, err).duration.record(time.Since(start).Seconds())
}

// series is where an operation belongs, which is counted there.
func (t *table) series(operation, partition string, err error) *tableSeries {
	kind, _, _ := strings.Cut(partition, "!")
	s := t.meter.tables.get(tableKey{operation, outcomeOf(err), kind})
	s.operations.add(1)
	return s
}

func outcomeOf(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, store.ErrNotFound):
		return "not_found"
	case errors.Is(err, store.ErrConflict):
		return "conflict"
	case errors.Is(err, store.ErrAmbiguous):
		return "ambiguous"
	case errors.Is(err, store.ErrUnavailable):
		return "unavailable"
	case errors.Is(err, store.ErrInvalid):
		return "invalid"
	default:
		return "other"
	}
}

// Get reads one row.
func (t *table) Get(ctx context.Context, key store.Key) (store.Row, error) {
	start := time.Now()
	row, err := t.store.Get(ctx, key)
	t.count("get", key.Partition, start, err)
	if err == nil {
		t.audit.saw(key, row.Columns, row.ETag)
	}
	return row, err
}

// Insert creates a row.
func (t *table) Insert(ctx context.Context, key store.Key, columns store.Columns) (string, error) {
	start := time.Now()
	etag, err := t.store.Insert(ctx, key, columns)
	t.count("insert", key.Partition, start, err)
	if err == nil {
		t.audit.wrote(key, columns, "", etag)
	}
	return etag, err
}

// Replace writes a row that is as it was read.
func (t *table) Replace(ctx context.Context, key store.Key, columns store.Columns, etag string) (string, error) {
	start := time.Now()
	written, err := t.store.Replace(ctx, key, columns, etag)
	t.count("replace", key.Partition, start, err)
	if err == nil {
		t.audit.wrote(key, columns, etag, written)
	}
	return written, err
}

// Delete removes a row that is as it was read.
func (t *table) Delete(ctx context.Context, key store.Key, etag string) error {
	start := time.Now()
	err := t.store.Delete(ctx, key, etag)
	t.count("delete", key.Partition, start, err)
	return err
}

// Query yields the selected rows. It counts as one operation, however many pages it
// takes, and its duration is that of the whole reading.
func (t *table) Query(ctx context.Context, filter store.Filter) iter.Seq2[store.Row, error] {
	return func(yield func(store.Row, error) bool) {
		start := time.Now()
		var failed error
		for row, err := range t.store.Query(ctx, filter) {
			failed = err
			if !yield(row, err) {
				break
			}
		}
		t.count("query", filter.Partition+filter.Prefix, start, failed)
	}
}

// local counts the operations of a store in this process. Those on records it does not
// time: to read the clock twice takes as long as they do.
type local struct {
	*table
	store store.Local
}

// GetRecord reads one row.
func (l *local) GetRecord(key store.Key) (store.Record, error) {
	r, err := l.store.GetRecord(key)
	l.series("get", key.Partition, err)
	return r, err
}

// SwapRecord writes a row that is as it was read, or creates it.
func (l *local) SwapRecord(key store.Key, before, after store.Record) error {
	operation := "replace"
	if before == nil {
		operation = "insert"
	}
	err := l.store.SwapRecord(key, before, after)
	l.series(operation, key.Partition, err)
	if err == nil {
		l.audit.swapped(key, before, after)
	}
	return err
}

var (
	_ store.Store = (*table)(nil)
	_ store.Local = (*local)(nil)
)
