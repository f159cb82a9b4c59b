package maintenance

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"spillway/shared/quota"
	"spillway/shared/store"
)

const (
	// sweepEvery is how often all rows are looked at, by whichever instance.
	sweepEvery = time.Hour
	// idleFor is how long a row must have been of no use to anybody. It is far
	// longer than any clock may be wrong.
	idleFor = 24 * time.Hour
	// sweepMost bounds the rows removed in one run; the next run goes on.
	sweepMost = 500
	// sweepTime bounds this part of a run.
	sweepTime = 30 * time.Second
	// sweepers is how many rows are removed at once.
	sweepers = 4
)

// turnKey is the row that says whose turn it is to sweep, and when the next one
// is due.
var turnKey = store.Key{Partition: "maintenance", Row: "sweep"}

const (
	columnFormat = "Format"
	columnDue    = "Due"
	columnBy     = "By"

	// turnFormat is the version of the row's layout and meaning.
	turnFormat = int64(1)
)

// sweep removes rows of limits that nobody has used for a day, if it is time and
// this instance is the one to do so. One that dies at it is followed by another
// one when the next sweep is due.
func (m *Maintenance) sweep(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, sweepTime)
	defer cancel()
	etag, ok, err := m.takeTurn(ctx)
	if !ok {
		return 0, err
	}
	idle, failed := m.idleRows(ctx)
	swept, err := m.remove(ctx, idle)
	if len(idle) == sweepMost && failed == nil && err == nil {
		// There is more. If this is not written the rest waits for the next time.
		_, err = m.o.Store.Replace(ctx, turnKey, m.turn(m.o.Clock.Now()), etag)
	}
	return swept, errors.Join(failed, err)
}

// takeTurn claims the sweep, and returns the ETag of the claim. An answer that
// was lost counts as no claim: then nobody sweeps until the next one is due.
func (m *Maintenance) takeTurn(ctx context.Context) (etag string, ok bool, err error) {
	row, err := m.o.Store.Get(ctx, turnKey)
	now := m.o.Clock.Now()
	turn := m.turn(now.Add(sweepEvery))
	switch {
	case errors.Is(err, store.ErrNotFound):
		etag, err = m.o.Store.Insert(ctx, turnKey, turn)
	case err != nil:
		return "", false, err
	case !sweepDue(row.Columns, now):
		return "", false, nil
	default:
		etag, err = m.o.Store.Replace(ctx, turnKey, turn, row.ETag)
	}
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
		return "", false, nil // somebody else was faster
	}
	return etag, err == nil, err
}

// turn is the row that says when the next sweep is due.
func (m *Maintenance) turn(due time.Time) store.Columns {
	return store.Columns{columnFormat: turnFormat, columnDue: due, columnBy: m.o.Instance}
}

// sweepDue reads the row as foreign input. One of another version is left to
// those who know it; one that makes no sense is due, and so mended.
func sweepDue(columns store.Columns, now time.Time) bool {
	if format, ok := columns[columnFormat].(int64); ok && format != turnFormat {
		return false
	}
	due, _ := columns[columnDue].(time.Time)
	return !now.Before(due) || due.Sub(now) > 2*sweepEvery
}

// idleRows looks at all rows of limits and returns those to remove, at most
// sweepMost, and what kept it from looking further.
//
// The time they are judged by was corrected in this very run: by then the store
// has answered the claim, twice, and the scan. Even a clock that was stepped just
// now follows the second of two answers.
func (m *Maintenance) idleRows(ctx context.Context) ([]store.Row, error) {
	var idle []store.Row
	var now time.Time
	for row, err := range m.o.Store.Query(ctx, store.Filter{Prefix: quota.Prefix}) {
		if err != nil {
			return idle, err
		}
		if now.IsZero() {
			now = m.o.Clock.Now()
		}
		if !isIdle(row, now) {
			continue
		}
		if idle = append(idle, row); len(idle) == sweepMost {
			break
		}
	}
	return idle, nil
}

// isIdle tells whether a row has been of no use for a day. A row is of use until
// the window after its own has ended: units of that one may have been taken ahead,
// and its number of shards holds then. A row that cannot be read stays.
func isIdle(row store.Row, now time.Time) bool {
	_, p, _, ok := quota.ParsePartition(row.Partition)
	if !ok || row.Row != quota.RowKey {
		return false
	}
	decoded, err := quota.Decode(p, row.Columns)
	if err != nil {
		return false
	}
	return now.Sub(p.End(p.Next(decoded.Window))) > idleFor
}

// remove deletes rows that are still as they were read.
func (m *Maintenance) remove(ctx context.Context, rows []store.Row) (int, error) {
	var removed atomic.Int64
	err := each(ctx, sweepers, rows, func(row store.Row) error {
		err := m.o.Store.Delete(ctx, row.Key, row.ETag)
		switch {
		case err == nil:
			removed.Add(1)
		case errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrNotFound):
			return nil // in use again, or gone
		}
		return err
	})
	return int(removed.Load()), err
}
