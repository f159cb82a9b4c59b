// Package store is the small contract that all shared state stands on: rows
// that are read, inserted and replaced under optimistic concurrency. Azure
// Table Storage (package aztable) is the store of record; package memory keeps
// the same contract inside one process.
//
// Every operation on one row is linearizable. There are no transactions over
// several rows, and none are needed.
package store

import (
	"context"
	"errors"
	"iter"
)

// Key names one row. Both parts may hold any text; an implementation encodes
// what its service does not allow.
type Key struct {
	Partition string
	Row       string
}

// Columns are the values of one row. A value is a string, an int64, a float64,
// a bool or a time.Time; anything else is an error of the caller, see Copy.
// Readers must treat the columns as foreign input: another version may have
// written them, or another tool.
type Columns map[string]any

// Row is one row as it was read.
type Row struct {
	Key
	// ETag changes with every write of the row and is opaque.
	ETag    string
	Columns Columns
}

// Filter selects rows: those of one partition, or those of all partitions whose
// names start with a prefix. Exactly one of Partition and Prefix is set.
type Filter struct {
	Partition string
	Prefix    string
	// RowFrom and RowTo narrow the selection to the row keys in [RowFrom, RowTo).
	// An empty RowTo means no upper bound.
	RowFrom string
	RowTo   string
}

// The errors of a Store. Implementations wrap them, so test with errors.Is.
var (
	// ErrNotFound: the row does not exist. Nothing was written.
	ErrNotFound = errors.New("store: row not found")
	// ErrConflict: the row exists (Insert), or its ETag is another one
	// (Replace, Delete). Nothing was written; read again and decide again.
	ErrConflict = errors.New("store: row changed since it was read")
	// ErrAmbiguous: the request was sent and its answer was lost. The write may
	// have happened, and may still happen. Only reading tells.
	ErrAmbiguous = errors.New("store: outcome of the write is unknown")
	// ErrUnavailable: the store could not be asked. Nothing was written.
	ErrUnavailable = errors.New("store: unavailable")
	// ErrInvalid: the caller asked for something that no store keeps: a value of
	// another type, a key that is too long, a write without an ETag. Nothing was
	// written, and asking again gives the same answer.
	ErrInvalid = errors.New("store: invalid request")
)

// Store reads and writes rows. All methods are safe for concurrent use, return
// one of the errors above (wrapped) and never retry by themselves: the caller
// alone knows whether a retry is safe. A context that ends before the request
// was sent gives ErrUnavailable; afterwards a write gives ErrAmbiguous. Every
// write may also give ErrInvalid.
type Store interface {
	// Get reads one row. Errors: ErrNotFound, ErrUnavailable.
	Get(ctx context.Context, key Key) (Row, error)
	// Insert creates a row and returns its ETag. Errors: ErrConflict,
	// ErrAmbiguous, ErrUnavailable.
	Insert(ctx context.Context, key Key, columns Columns) (etag string, err error)
	// Replace writes all columns of a row if its ETag still is etag, and
	// returns the new one. The etag must come from a Row or an earlier write: an
	// empty one and "*" are errors of the caller, there are no blind writes.
	// Errors: ErrNotFound, ErrConflict, ErrAmbiguous, ErrUnavailable.
	Replace(ctx context.Context, key Key, columns Columns, etag string) (newETag string, err error)
	// Delete removes a row if its ETag still is etag. Errors: as Replace.
	Delete(ctx context.Context, key Key, etag string) error
	// Query yields the selected rows in any order. An error ends the sequence.
	// Rows written meanwhile may or may not be seen. Errors: ErrUnavailable,
	// ErrInvalid for a filter that Filter.Validate refuses.
	Query(ctx context.Context, filter Filter) iter.Seq2[Row, error]
}
