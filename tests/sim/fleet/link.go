package fleet

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"iter"
	"time"

	"spillway/shared/store"
	"spillway/tests/sim/script"
)

// link is one instance's way to the table. It takes time, it stops with the
// process, and it tells the process the table's time.
type link struct {
	instance *instance
	inner    store.Store
}

// roundTrip is the least and the most that a call takes without any fault.
var roundTrip = [2]time.Duration{3 * time.Millisecond, 11 * time.Millisecond}

// trip is one call on its way.
type trip struct {
	link *link
	back time.Duration
	wall time.Time // the instance's wall clock when it was sent
	date time.Time // the table's when it was answered
}

// leave sends a call about a row. How long it takes hangs on the row and on the
// moment, and not on which of two calls at one moment comes first.
func (l *link) leave(ctx context.Context, row string) (*trip, error) {
	i := l.instance
	if err := i.pass(); err != nil {
		return nil, err
	}
	i.play.operations.Add(1)
	hash := fnv.New64a()
	hash.Write([]byte(row))
	random := script.Mix(i.play.schedule.Seed ^ uint64(i.index)<<40 ^ hash.Sum64() ^ script.Mix(uint64(time.Now().UnixNano())))
	span := uint64(roundTrip[1] - roundTrip[0])
	total := roundTrip[0] + time.Duration(random%span)
	out := time.Duration(random >> 32 % uint64(total))
	wall, _ := i.clocks()
	return &trip{link: l, back: total - out, wall: wall}, i.sleep(ctx, out)
}

// arrive brings the answer of a call back, and the table's Date with it.
func (t *trip) arrive(ctx context.Context, answer error) error {
	i := t.link.instance
	if err := i.sleep(ctx, t.back); err != nil {
		return err
	}
	if err := i.pass(); err != nil {
		return err
	}
	if answer == nil || errors.Is(answer, store.ErrNotFound) || errors.Is(answer, store.ErrConflict) {
		t.observe()
	}
	return nil
}

// observe is the table's Date header: whole seconds, and at times a false one.
func (t *trip) observe() {
	i := t.link.instance
	date := t.date.Truncate(time.Second)
	if off := i.play.dateOff(); off != 0 {
		date = date.Add(off)
		i.play.fired(kindDate)
	}
	if time.Since(i.play.origin) > i.play.schedule.Stop {
		i.mu.Lock()
		i.heard++
		i.mu.Unlock()
	}
	if i.play.tamper.Deaf {
		return
	}
	received, _ := i.clocks()
	i.clock.Observe(date, t.wall, received)
}

// sleep lets time pass; it fails when the context or the process ends.
func (i *instance) sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-i.ctx.Done():
		return errGone
	}
}

// bound is a context that also ends with the process.
func (i *instance) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	both, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(i.ctx, cancel)
	return both, func() {
		stop()
		cancel()
	}
}

// Get implements store.Store.
func (l *link) Get(ctx context.Context, key store.Key) (store.Row, error) {
	ctx, cancel := l.instance.bound(ctx)
	defer cancel()
	t, err := l.leave(ctx, key.Partition+key.Row)
	if err != nil {
		return store.Row{}, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	t.date = time.Now()
	row, err := l.inner.Get(ctx, key)
	if lost := t.arrive(ctx, err); lost != nil {
		return store.Row{}, fmt.Errorf("%w: %w", store.ErrUnavailable, lost)
	}
	return row, err
}

// Insert implements store.Store.
func (l *link) Insert(ctx context.Context, key store.Key, columns store.Columns) (string, error) {
	return l.write(ctx, key, func(ctx context.Context) (string, error) { return l.inner.Insert(ctx, key, columns) })
}

// Replace implements store.Store.
func (l *link) Replace(ctx context.Context, key store.Key, columns store.Columns, etag string) (string, error) {
	return l.write(ctx, key, func(ctx context.Context) (string, error) { return l.inner.Replace(ctx, key, columns, etag) })
}

// Delete implements store.Store.
func (l *link) Delete(ctx context.Context, key store.Key, etag string) error {
	_, err := l.write(ctx, key, func(ctx context.Context) (string, error) { return "", l.inner.Delete(ctx, key, etag) })
	return err
}

func (l *link) write(ctx context.Context, key store.Key, do func(context.Context) (string, error)) (string, error) {
	ctx, cancel := l.instance.bound(ctx)
	defer cancel()
	w := &writing{instance: l.instance, sent: time.Now()}
	ctx = context.WithValue(ctx, writerKey{}, w)
	t, err := l.leave(ctx, key.Partition+key.Row)
	if t == nil {
		return "", fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	if err != nil {
		return "", fmt.Errorf("%w: %w", store.ErrAmbiguous, err)
	}
	t.date = time.Now()
	etag, err := do(ctx)
	if lost := t.arrive(ctx, err); lost != nil {
		return "", fmt.Errorf("%w: %w", store.ErrAmbiguous, lost)
	}
	w.hear(err)
	return etag, err
}

// Query implements store.Store.
func (l *link) Query(ctx context.Context, filter store.Filter) iter.Seq2[store.Row, error] {
	return func(yield func(store.Row, error) bool) {
		ctx, cancel := l.instance.bound(ctx)
		defer cancel()
		t, err := l.leave(ctx, filter.Partition+filter.Prefix)
		if err != nil {
			yield(store.Row{}, fmt.Errorf("%w: %w", store.ErrUnavailable, err))
			return
		}
		t.date = time.Now()
		var rows []store.Row
		for row, fault := range l.inner.Query(ctx, filter) {
			if err = fault; err == nil {
				rows = append(rows, row)
			}
		}
		if lost := t.arrive(ctx, err); lost != nil {
			yield(store.Row{}, fmt.Errorf("%w: %w", store.ErrUnavailable, lost))
			return
		}
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

// writing is a write whose fate the history wants to know.
type writing struct {
	instance *instance
	sent     time.Time
	at       int // index into history.writes plus one; guarded by its mu
}

// writerKey finds the writing in a context. It survives WithoutCancel.
type writerKey struct{}

func (w *writing) hear(err error) {
	h := w.instance.play.history
	h.mu.Lock()
	defer h.mu.Unlock()
	if errors.Is(err, store.ErrConflict) {
		h.rebuffs = append(h.rebuffs, rebuff{time.Now(), w.instance.index})
	}
	if err == nil && w.at > 0 {
		h.writes[w.at-1].heard = true
	}
}

// archive is the table itself, watched: it keeps every write that was applied.
type archive struct {
	store.Store
	history *history
}

// Insert implements store.Store.
func (a *archive) Insert(ctx context.Context, key store.Key, columns store.Columns) (string, error) {
	etag, err := a.Store.Insert(ctx, key, columns)
	a.keep(ctx, key, nil, columns, err)
	return etag, err
}

// Replace implements store.Store.
func (a *archive) Replace(ctx context.Context, key store.Key, columns store.Columns, etag string) (string, error) {
	before, _ := a.Store.Get(context.Background(), key)
	after, err := a.Store.Replace(ctx, key, columns, etag)
	a.keep(ctx, key, before.Columns, columns, err)
	return after, err
}

func (a *archive) keep(ctx context.Context, key store.Key, before, after store.Columns, err error) {
	h := a.history
	h.mu.Lock()
	defer h.mu.Unlock()
	w, _ := ctx.Value(writerKey{}).(*writing)
	if err != nil || w == nil {
		return
	}
	h.writes = append(h.writes, write{mark: h.mark(), key: key, before: before, after: after, instance: w.instance.index, sent: w.sent})
	w.at = len(h.writes)
}

var (
	_ store.Store = (*link)(nil)
	_ store.Store = (*archive)(nil)
)
