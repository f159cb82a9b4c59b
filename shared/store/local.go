package store

// Local is a Store in the memory of this process. Its calls end at once and never give
// ErrUnavailable or ErrAmbiguous while their context lasts: whoever would wait for
// another goroutine to make one does better to make it. It is as available as the
// process itself.
type Local interface {
	Store
	// InsertRecord is Insert of the columns of a record. Errors: ErrConflict, ErrInvalid.
	InsertRecord(key Key, r Record) (etag string, err error)
	// ReplaceRecord is Replace with the columns of a record. Errors: ErrNotFound,
	// ErrConflict, ErrInvalid.
	ReplaceRecord(key Key, r Record, etag string) (newETag string, err error)
}

// Record is a value that stands for the columns of a row. They are made when the row is
// read, which may be never. It must not change, and always give the same columns, which
// Columns.Validate has no objection to.
type Record interface {
	// Columns returns the columns, in a map that is the caller's.
	Columns() map[string]any
}
