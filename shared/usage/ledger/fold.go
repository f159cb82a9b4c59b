package ledger

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"spillway/shared/store"
)

const (
	// closeAfter is how long an hour is left open after its end. It is time for the
	// flush after the turn of the hour, and for an instance that was away for a
	// while; who comes later counts for a later hour.
	closeAfter = 15 * time.Minute
	// keepPages is how long pages are kept after their hour, and so how long an owner
	// may sleep and still learn what became of a write whose answer was lost.
	keepPages = 24 * time.Hour
	// foldTime bounds one run, whatever the store does.
	foldTime = 20 * time.Second
	// foldTries bounds the attempts to write one row.
	foldTries = 4
)

// share is the part of the work that one run does.
type share struct {
	writes int           // After them it begins no further row,
	time   time.Duration // nor after this time.
	lease  time.Duration // How long others leave the work to it.
}

var foldShare = share{writes: 500, time: 15 * time.Second, lease: 30 * time.Second}

var (
	// errEnough ends a run that has done its share.
	errEnough = errors.New("ledger: enough for one run")
	// errSuperseded ends a run that another one has taken over.
	errSuperseded = errors.New("ledger: another instance has taken over")
)

// folding is one run of Fold.
type folding struct {
	*Ledger
	now    state
	etag   string // Of the state row.
	begun  time.Time
	writes int
	bad    int // Parts of pages that made no sense, in this hour.
}

// Fold folds hours that are over into the rows of their days and deletes pages that
// are of no use any more, and returns how many hours it has folded. Any number of
// instances may call it at any time, and may die at it; it changes no report. A run
// takes at most 20 seconds and about 500 writes, and the next one goes on. Errors are
// those of the store; each is safe to repeat.
func (l *Ledger) Fold(ctx context.Context) (hours int, err error) {
	ctx, cancel := context.WithTimeout(ctx, foldTime)
	defer cancel()
	f := &folding{Ledger: l, begun: l.o.Clock.Now()}
	if f.now, f.etag, err = readState(ctx, l.o.Store); err != nil {
		return 0, err
	}
	if claimed, err := f.claim(ctx); !claimed || err != nil {
		return 0, quiet(err)
	}
	for err == nil && f.now.Folded.Before(f.now.Closed) {
		var folded bool
		if folded, err = f.foldHour(ctx); folded {
			hours++
		}
	}
	if err == nil {
		err = f.clear(ctx)
	}
	if err == nil || errors.Is(err, errEnough) {
		// All that was sent is known to have arrived, or never to arrive. Otherwise
		// the claim stands until it ends by itself, and the next generation begins.
		f.now.Until = time.Time{}
		err = f.save(ctx)
	}
	return hours, quiet(err)
}

// quiet drops what is no fault.
func quiet(err error) error {
	if errors.Is(err, errEnough) || errors.Is(err, errSuperseded) {
		return nil
	}
	return err
}

// claim takes the work if there is any that nobody is at. It closes the hours that
// are over.
func (f *folding) claim(ctx context.Context) (bool, error) {
	now := f.o.Clock.Now() // Corrected by the answer.
	closed := later(f.now.Closed, hourOf(now.Add(-closeAfter)))
	gone := hourOf(now.Add(-keepPages))
	if gone.After(f.now.Folded) {
		gone = f.now.Folded
	}
	gone = later(f.now.Gone, gone)
	left := f.now.Until.Sub(now)
	switch {
	case f.now.Folded.Equal(closed) && f.now.Cleared.Equal(gone):
		return false, nil
	case left > 0 && left <= 2*f.share.lease:
		return false, nil
	case !f.now.Until.IsZero():
		f.now.Generation++ // Whoever was at it may still be.
		f.now.Adding = false
	}
	f.now.Generation = max(f.now.Generation, 1)
	f.now.Closed, f.now.Gone = closed, gone
	f.now.Until = now.Add(f.share.lease)
	err := f.save(ctx)
	return err == nil, err
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// save writes the state, if nobody else has since.
func (f *folding) save(ctx context.Context) error {
	f.now.Nonce = fmt.Sprintf("%016x", f.o.Random(1<<63))
	columns := f.now.columns(clean(f.o.Instance, maxInstance))
	var err error
	for range foldTries {
		var etag string
		if f.etag == "" {
			etag, err = f.o.Store.Insert(ctx, stateKey, columns)
		} else {
			etag, err = f.o.Store.Replace(ctx, stateKey, columns, f.etag)
		}
		if err == nil {
			f.etag = etag
			return nil
		}
		if errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrInvalid) {
			return err
		}
		held, etag, lookErr := readState(ctx, f.o.Store)
		switch {
		case lookErr != nil:
			return lookErr
		case held.Nonce == f.now.Nonce:
			f.etag = etag
			return nil
		case etag != f.etag:
			return errSuperseded
		}
	}
	return err
}

// foldHour folds the next hour that has pages, and tells whether there was one.
func (f *folding) foldHour(ctx context.Context) (bool, error) {
	f.bad = 0
	if !f.now.Adding {
		hour, err := nextHour(ctx, f.o.Store, f.now.Folded, f.now.Closed)
		if err != nil {
			return false, err
		}
		if f.now.Folded = hour; hour.Equal(f.now.Closed) {
			return false, f.save(ctx)
		}
		if err := f.sealPages(ctx, hour); err != nil {
			return false, err
		}
		f.now.Adding = true
		if err := f.save(ctx); err != nil {
			return false, err
		}
	}
	hour := f.now.Folded
	if err := f.addUp(ctx, hour); err != nil {
		return false, err
	}
	f.now.Folded, f.now.Adding = hour.Add(time.Hour), false
	if err := f.save(ctx); err != nil {
		return false, err
	}
	if f.bad > 0 {
		f.o.Events(Event{Kind: EventUnreadable, Err: fmt.Errorf("ledger: %d lines of pages of the hour %s make no sense", f.bad, hour.Format(time.RFC3339))})
	}
	return true, nil
}

// sealPages seals all pages that there are in an hour.
func (f *folding) sealPages(ctx context.Context, hour time.Time) error {
	for row, err := range f.o.Store.Query(ctx, store.Filter{Partition: hourPartition(hour)}) {
		if err != nil {
			return fmt.Errorf("ledger: pages: %w", err)
		}
		if err := f.seal(ctx, row); err != nil {
			return err
		}
	}
	return nil
}

// seal ends the writes to a page by its owner.
func (f *folding) seal(ctx context.Context, row store.Row) error {
	return f.update(ctx, row, func(columns store.Columns) (store.Columns, error) {
		if columns == nil {
			return nil, nil // Deleted, by a fold that was faster by a day.
		}
		if columns[columnFormat] != format {
			return nil, fmt.Errorf("ledger: %w: the row %s %s is of another version", store.ErrInvalid, row.Partition, row.Row)
		}
		seal, _ := columns[columnSealed].(int64)
		switch {
		case seal == f.now.Generation, seal == sealedByOwner:
			return nil, nil
		case seal > f.now.Generation:
			return nil, errSuperseded
		}
		sealed := maps.Clone(columns)
		sealed[columnSealed] = f.now.Generation
		return sealed, nil
	})
}

// enough tells whether the run has done its share.
func (f *folding) enough() bool {
	return f.writes >= f.share.writes || f.o.Clock.Now().Sub(f.begun) > f.share.time
}

// update changes a row until it is as change wants it: change gets the columns, nil
// where there is no such row, and returns others, or nil if there is nothing to do.
// Row is the row as it was read, without an ETag if there is none. Once update
// returns nil, no write of its own is on its way any more.
func (f *folding) update(ctx context.Context, row store.Row, change func(store.Columns) (store.Columns, error)) error {
	var failed error
	for try := range foldTries {
		columns, err := change(row.Columns)
		if columns == nil || err != nil {
			return err
		}
		if try == 0 && f.enough() {
			return errEnough
		}
		f.writes++
		if row.ETag == "" {
			_, failed = f.o.Store.Insert(ctx, row.Key, columns)
		} else {
			_, failed = f.o.Store.Replace(ctx, row.Key, columns, row.ETag)
		}
		switch {
		case failed == nil:
			return nil
		case errors.Is(failed, store.ErrUnavailable), errors.Is(failed, store.ErrInvalid):
			return fmt.Errorf("ledger: fold: %w", failed)
		}
		read, err := f.o.Store.Get(ctx, row.Key)
		switch {
		case errors.Is(err, store.ErrNotFound):
			row = store.Row{Key: row.Key}
		case err != nil:
			return fmt.Errorf("ledger: fold: %w", err)
		default:
			row = read
		}
	}
	return fmt.Errorf("ledger: fold: %w", failed)
}
