package swarm

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"spillway/shared/store"
	"spillway/tests/pause"
	"spillway/tests/sim/script"
)

// link is the way of one process to the store: it takes the round trip, tells the
// clock the date of each answer, and ends with its process.
type link struct {
	from  *incarnation
	timer bool // Of the maintenance.
}

// origin is who asked for an operation, and when. The vault finds it in the context.
type origin struct {
	from  *incarnation
	timer bool
	at    time.Time
}

type originKey struct{}

// Get implements store.Store.
func (l *link) Get(ctx context.Context, key store.Key) (row store.Row, err error) {
	err = l.exchange(ctx, key.Partition, store.ErrUnavailable, func(ctx context.Context) (err error) {
		row, err = l.world().table.Get(ctx, key)
		return err
	})
	if err != nil {
		return store.Row{}, err
	}
	return row, nil
}

// Insert implements store.Store.
func (l *link) Insert(ctx context.Context, key store.Key, columns store.Columns) (etag string, err error) {
	return l.write(ctx, key, func(ctx context.Context) (string, error) {
		return l.world().table.Insert(ctx, key, columns)
	})
}

// Replace implements store.Store.
func (l *link) Replace(ctx context.Context, key store.Key, columns store.Columns, etag string) (string, error) {
	return l.write(ctx, key, func(ctx context.Context) (string, error) {
		return l.world().table.Replace(ctx, key, columns, l.bend(ctx, key, etag))
	})
}

// Delete implements store.Store.
func (l *link) Delete(ctx context.Context, key store.Key, etag string) error {
	_, err := l.write(ctx, key, func(ctx context.Context) (string, error) {
		return "", l.world().table.Delete(ctx, key, etag)
	})
	return err
}

// Query implements store.Store.
func (l *link) Query(ctx context.Context, filter store.Filter) iter.Seq2[store.Row, error] {
	return func(yield func(store.Row, error) bool) {
		var rows []store.Row
		err := l.exchange(ctx, filter.Partition, store.ErrUnavailable, func(ctx context.Context) error {
			for row, err := range l.world().table.Query(ctx, filter) {
				if err != nil {
					return err
				}
				rows = append(rows, row)
			}
			return nil
		})
		for _, row := range rows {
			if !yield(row, nil) {
				return
			}
		}
		if err != nil {
			yield(store.Row{}, err)
		}
	}
}

func (l *link) world() *world { return l.from.machine.world }

func (l *link) write(ctx context.Context, key store.Key, do func(context.Context) (string, error)) (etag string, err error) {
	err = l.exchange(ctx, key.Partition, store.ErrAmbiguous, func(ctx context.Context) (err error) {
		etag, err = do(ctx)
		return err
	})
	if l.world().config.Defect == LostIsDone && err != nil && strings.Contains(err.Error(), "lost") {
		return "believed", nil
	}
	if err != nil {
		return "", err
	}
	return etag, nil
}

// exchange takes a request to the store and its answer back. lost is the error of
// an answer that never comes.
func (l *link) exchange(ctx context.Context, partition string, lost error, do func(context.Context) error) error {
	m, w := l.from.machine, l.world()
	m.thawed()
	began := time.Now()
	w.operation(partition)
	if l.from.dead.Load() || ctx.Err() != nil {
		return fmt.Errorf("swarm: %w: nobody there", store.ErrUnavailable)
	}
	if began.UnixNano() < m.cut.Load() {
		w.count(countCut)
		if began.UnixNano()%2 == 0 { // Refused at once, or no answer to the connection.
			<-ctx.Done()
		}
		return fmt.Errorf("swarm: %w: cut off", store.ErrUnavailable)
	}
	sent, _ := m.read()
	out := roundTrip/4 + time.Duration(script.Dice(w.config.Seed^uint64(m.index)<<16)(uint64(roundTrip/2)))
	if pause.For(ctx, out) != nil {
		return fmt.Errorf("swarm: %w: never arrived", lost)
	}
	err := do(context.WithValue(ctx, originKey{}, origin{l.from, l.timer, began}))
	date := time.Now()
	if pause.For(ctx, roundTrip-out) != nil {
		return fmt.Errorf("swarm: %w: never answered", lost)
	}
	m.thawed()
	if l.from.dead.Load() {
		return fmt.Errorf("swarm: %w: nobody there", lost)
	}
	received, _ := m.read()
	l.from.checkClock() // as the caller had it until now
	l.from.clock.Observe(l.dated(date), sent, received)
	if err == nil && !l.timer {
		w.answered(l.from, partition, began)
	}
	return err
}

// dated is the Date header of an answer.
func (l *link) dated(at time.Time) time.Time {
	w := l.world()
	if w.config.Defect == WrongDates && l.from.machine.index%3 == 0 {
		return at.Add(-20 * time.Second).Truncate(time.Second)
	}
	draw := int64(script.Dice(w.config.Seed ^ uint64(l.from.machine.index)<<24)(2000))
	switch share := w.offDates.Load(); {
	case draw < share:
		at = at.Add(dateOff)
	case draw >= 2000-share:
		at = at.Add(-dateOff)
	default:
		return at.Truncate(time.Second)
	}
	w.count(countDates)
	return at.Truncate(time.Second)
}

// bend makes a conditional write a blind one, for the defects that need it.
func (l *link) bend(ctx context.Context, key store.Key, etag string) string {
	kind := "quota!"
	switch l.world().config.Defect {
	case BlindGrants:
	case BlindClaims:
		kind = "breaker"
	default:
		return etag
	}
	if strings.HasPrefix(key.Partition, kind) {
		if row, err := l.world().vault.Get(ctx, key); err == nil {
			return row.ETag
		}
	}
	return etag
}

var _ store.Store = (*link)(nil)
