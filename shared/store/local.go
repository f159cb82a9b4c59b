package store

// Local is a Store in the memory of this process. Its calls end at once: whoever would
// wait for another goroutine to make one does better to make it. And it is as available
// as the process: none gives ErrUnavailable or ErrAmbiguous while its context lasts.
type Local interface {
	Store
	// GetRecord is Get of a row as it is kept. Errors: ErrNotFound.
	GetRecord(key Key) (Record, error)
	// SwapRecord is Replace of the record that GetRecord returned, or that an earlier
	// SwapRecord put there: if it is not there any more, nothing is written. If before
	// is nil it is Insert. Errors: ErrConflict, ErrInvalid. A record that is Placed is
	// put into one place once.
	SwapRecord(key Key, before, after Record) error
}

// Record is a value that stands for the columns of a row: they need not be made before
// somebody reads them as such. Two records are the same if they are equal, so one that
// must be told from all others is a pointer. What it points to must not change, and the
// columns must be such that Columns.Validate has no objection.
type Record interface {
	// Columns returns the columns, in a map that is the caller's.
	Columns() map[string]any
}

// Placed is a Record in which a Local notes where it keeps it, so that it is found there
// without a search when it is replaced.
type Placed interface {
	Record
	// Place returns the note: of the store's own kind, 0 if there is none yet. It is the
	// store's alone, which writes it before anybody else can have the record.
	Place() *uint32
}
