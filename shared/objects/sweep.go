package objects

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"spillway/shared/store"
)

const (
	// sweepAfter is how long an object must have expired before its row goes. It is
	// far longer than a write can be on its way, and than clocks differ.
	sweepAfter = time.Hour
	// sweepTime bounds one sweep.
	sweepTime = 10 * time.Second
	// sweepMost bounds the rows removed by one sweep; a later one goes on.
	sweepMost = 300
	// sweepers is how many rows are removed at once.
	sweepers = 8
	// sweepStep is how long the clock stays at one part of the rows.
	sweepStep = 10 * time.Second
)

// Sweep removes rows of objects that have expired more than an hour ago, at most 300
// of one of the 256 parts of the rows, and returns how many. It takes 10 s at most.
// Any number of instances may do so at once, or none: no answer depends on it. What an
// error leaves undone is done by a later sweep. Error: ErrUnavailable.
func (r *Registry) Sweep(ctx context.Context) (removed int, err error) {
	return r.sweepPart(ctx, partAt(r.o.Clock.Now()))
}

// partAt is the part whose turn it is. The multiples of the golden ratio fall evenly
// between two whole numbers, so that sweeps get around whatever the time between
// them is, up to hours; were it simply the next part, sweeps every 20 seconds would
// only ever see every second one.
func partAt(now time.Time) byte {
	const golden = 0x9E3779B97F4A7C15 // Its fraction, times 2^64.
	return byte(uint64(now.Unix()/int64(sweepStep/time.Second)) * golden >> 56)
}

func (r *Registry) sweepPart(ctx context.Context, part byte) (removed int, err error) {
	ctx, cancel := context.WithTimeout(ctx, sweepTime)
	defer cancel()
	expired, failed := r.expired(ctx, part)
	removed, err = r.remove(ctx, expired)
	return removed, errors.Join(failed, err)
}

// expired returns the rows of a part that are to be removed, and what kept it from
// looking further. The time they are judged by was corrected by the answer that
// brought them.
func (r *Registry) expired(ctx context.Context, part byte) ([]store.Row, error) {
	var rows []store.Row
	for row, err := range r.o.Store.Query(ctx, store.Filter{Prefix: partPrefix(part)}) {
		if err != nil {
			return rows, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if !removable(row.Columns, r.o.Clock.Now()) {
			continue
		}
		if rows = append(rows, row); len(rows) == sweepMost {
			break
		}
	}
	return rows, nil
}

// removable tells whether a row has expired long ago. One that cannot be read stays.
func removable(columns store.Columns, now time.Time) bool {
	expires, ok := columns[columnExpires].(time.Time)
	return ok && checkFormat(columns) == nil && now.Sub(expires) > sweepAfter
}

// remove deletes rows that are still as they were read, and returns how many, with
// the first error.
func (r *Registry) remove(ctx context.Context, rows []store.Row) (removed int, first error) {
	var mu sync.Mutex
	var group sync.WaitGroup
	queue := make(chan store.Row, len(rows))
	for _, row := range rows {
		queue <- row
	}
	close(queue)
	for range min(sweepers, len(rows)) {
		group.Go(func() {
			for row := range queue {
				err := r.delete(ctx, row)
				mu.Lock()
				switch {
				case err == nil:
					removed++
				case errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrNotFound): // Somebody else was faster.
				case first == nil:
					first = fmt.Errorf("%w: %w", ErrUnavailable, err)
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return removed, first
}

func (r *Registry) delete(ctx context.Context, row store.Row) error {
	ctx, cancel := context.WithTimeout(ctx, operationTime)
	defer cancel()
	return r.o.Store.Delete(ctx, row.Key, row.ETag)
}
