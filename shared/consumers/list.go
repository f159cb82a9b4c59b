package consumers

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"spillway/shared/store"
)

// readTime bounds the reading of a single consumer.
const readTime = 5 * time.Second

// Get reads a consumer of the table as it is now. Errors: ErrNotFound,
// ErrUnavailable. A row that cannot be read is an Entry with a Problem.
func (d *Directory) Get(ctx context.Context, name string) (Entry, error) {
	if !validName(name) {
		return Entry{}, ErrNotFound
	}
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	row, err := d.o.Store.Get(ctx, consumerKey(name))
	switch {
	case errors.Is(err, store.ErrNotFound):
		return Entry{}, ErrNotFound
	case err != nil:
		return Entry{}, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	entry, ok := d.entry(name, row)
	if !ok {
		return Entry{}, ErrNotFound
	}
	return entry, nil
}

// List yields all consumers of the table, in any order. An error, which is
// ErrUnavailable, ends the sequence.
func (d *Directory) List(ctx context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for found, err := range d.o.Store.Query(ctx, store.Filter{Prefix: prefix}) {
			if err != nil {
				yield(Entry{}, fmt.Errorf("%w: %w", ErrUnavailable, err))
				return
			}
			name := strings.TrimPrefix(found.Partition, prefix)
			if found.Row != row || !validName(name) {
				continue // Nobody finds it.
			}
			if entry, ok := d.entry(name, found); ok && !yield(entry, nil) {
				return
			}
		}
	}
}

// entry reads the row of a consumer for people; false if the consumer was removed.
func (d *Directory) entry(name string, row store.Row) (Entry, bool) {
	e := Entry{Name: name, ETag: row.ETag}
	e.By, _ = row.Columns[columnBy].(string)
	e.By = strings.ToValidUTF8(cut(e.By, maxBy), "")
	e.At, _ = row.Columns[columnAt].(time.Time)
	var err error
	e.Consumer, err = decodeConsumer(name, row.Columns)
	switch {
	case errors.Is(err, errRemoved):
		return Entry{}, false
	case err != nil:
		e.Problem = err.Error()
	case d.o.InFile(name):
		e.Problem = "not in use: " + ErrInFile.Error()
	default:
		if err := d.o.Check(*e.Consumer); err != nil {
			e.Problem = "does not fit into the configuration: " + err.Error()
		}
	}
	return e, true
}
