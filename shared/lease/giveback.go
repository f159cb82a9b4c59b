package lease

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"spillway/shared/clock"
	"spillway/shared/quota"
	"spillway/shared/store"
)

// givers is how many limits give back at once.
const givers = 8

// GiveBack returns to the store what this instance holds and does not need, and pays
// what it owes: before it ends, or while it is idle. It returns when that is done or
// ctx has ended; reservations that are still open keep their units. Requests may go
// on meanwhile.
func (e *Engine) GiveBack(ctx context.Context) {
	e.GiveBackIdle(ctx, 0)
}

// idleShares is how many parts an even share of a limit has: who needs nothing, or less
// than it holds, gives back one or more of them, so that all such instances together hold
// at most a sixteenth of a limit and small change does not cost a write.
const idleShares = 16

// GiveBackIdle is GiveBack for the limits that nobody reserved from for a time, and for
// those that are forgotten. Of the others it gives back what they will not spend: an
// instance that served all requests, and now serves one of sixteen, has taken too much for
// itself. In each case only where others would miss it. It is for a process that has time
// between its requests, every few seconds: a burst that ended then leaves its units to
// others, and does not strand them until the window ends.
func (e *Engine) GiveBackIdle(ctx context.Context, idle time.Duration) {
	var group sync.WaitGroup
	slots := make(chan struct{}, givers)
	now := e.clock.Read()
	for _, l := range e.holders(idle, now) {
		keep, gives := l.keeps(idle, now)
		if !gives {
			continue
		}
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		now = e.clock.Read() // That may have taken a while; to look does not.
		group.Go(func() {
			defer func() { <-slots }()
			l.giveBack(ctx, keep)
		})
	}
	group.Wait()
	e.drop()
}

// keeps returns how many units of each window the limit keeps, and whether it holds so
// much more that it gives it back, or owes. Given no time, or forgotten, it keeps nothing;
// idle for so long, neither, but what nobody misses need not be given back. In use, it
// keeps what it takes at once: no steady demand ever holds twice that. It takes mu.
func (l *Limit) keeps(idle time.Duration, now clock.Instant) (keep int64, gives bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &l.supply
	if !s.begun || l.over(now) {
		return 0, false
	}
	if l.ends.PassedAt(now) {
		l.roll(now)
	}
	if idle == 0 || l.forgotten {
		return 0, l.remaining != 0 || l.taken().units > 0
	}
	if now.Monotonic-l.lastUsed < int64(idle) {
		keep = max(s.demand.expect(horizon(l.period), l.offered, now), l.largest)
	} else if l.remaining < 0 {
		return 0, true
	}
	return keep, max(l.remaining-keep, 0)+max(l.taken().units-keep, 0) > max(keep, l.missed())
}

// giveBack takes the flight slot, stops what the limit does not keep from being spent,
// then writes once; only a conflict, where nothing was written, is tried again. After a
// lost answer the units count as given back and are never given back a second time. It
// takes mu.
func (l *Limit) giveBack(ctx context.Context, keep int64) {
	f := l.seize(ctx)
	if f == nil {
		return
	}
	var err error
	for range maxTries {
		if err = f.giveBackOnce(ctx, keep); !errors.Is(err, store.ErrConflict) {
			break
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(f.waiters) > 0 {
		go f.fly() // They came meanwhile; the slot passes on.
		return
	}
	l.land()
}

// giveBackOnce reads the home row and gives back in one write. What was not
// written is spendable again, what may have been is not.
func (f *flight) giveBackOnce(ctx context.Context, keep int64) error {
	l := f.limit
	now := l.engine.clock.Read()
	l.mu.Lock()
	if l.ends.PassedAt(now) {
		l.roll(now)
	}
	window, in := l.window, l.inForce()
	l.mu.Unlock()
	if f.pending != nil {
		if err := f.recall(window); err != nil {
			return err
		}
	}
	home, _, err := f.homeRow(window, window, in)
	if err != nil || ctx.Err() != nil || home.row == nil {
		return err
	}
	row := f.rolled(home, window, in)
	w := l.withdraw(&row, keep)
	if w.units+w.next.units == 0 {
		return f.payOnce(window, in)
	}
	row = l.engine.signed(row)
	err = f.write(home, row)
	if errors.Is(err, store.ErrConflict) {
		err = f.doubt(home, row, err)
	}
	l.withdrawn(w, err)
	return err
}

// doubt looks whether a write that met a conflict had happened nevertheless: something
// on the way to the store may have sent it twice and returned the second answer. Units
// that were given back must not be given back again, so where nobody can tell any more
// they count as given back.
func (f *flight) doubt(before stored, wrote quota.Row, conflict error) error {
	if f.limit.engine.local != nil {
		return conflict // There is no way to it.
	}
	now, err := f.read(before.shard)
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrAmbiguous, conflict)
	}
	switch happened, known := now.tells(before, wrote); {
	case happened:
		return nil
	case known:
		return conflict
	default:
		return fmt.Errorf("%w: %w", store.ErrAmbiguous, conflict)
	}
}

// payOnce pays in one write what the limit owes, as far as its rows have room: who
// settled for more than it had reserved must not end without a trace.
func (f *flight) payOnce(window quota.Window, in setting) error {
	l := f.limit
	l.mu.Lock()
	owes := l.remaining < 0
	l.mu.Unlock()
	if !owes {
		return nil
	}
	return f.work(refill, window, in)
}

// withdrawal is units that may not be spent any more, on their way back.
type withdrawal struct {
	generation uint32
	units      int64
	next       ahead
}

// withdraw stops what the lease does not keep, and what was taken ahead, from being spent,
// and takes both off the row. It takes mu.
func (l *Limit) withdraw(row *quota.Row, keep int64) withdrawal {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := withdrawal{generation: l.generation}
	if row.Window != l.window {
		return w
	}
	l.supply.sharers = int32(row.Sharers() * row.Shards)
	l.watch() // Nobody may look afterwards: see payOnce.
	// Units of another shard may go to the home row as well: the sum over all
	// rows is what counts.
	w.units = min(max(l.remaining-keep, 0), row.Granted)
	*row, _ = row.GiveBack(l.window, w.units)
	l.remaining -= w.units
	l.granted -= w.units
	if l.low != never {
		l.low = min(l.low, max(keep/4, 2*l.largest)) // Else it took them again at once.
	}
	if next := &l.flight().next; row.Shards == row.NextShards && next.window == l.period.Next(l.window) {
		// The home shard of the next window is the same.
		w.next = ahead{window: next.window, units: min(max(next.units-keep, 0), row.NextGranted)}
		*row, _ = row.GiveBackNext(l.window, w.next.units)
		next.units -= w.next.units
	}
	return w
}

// withdrawn ends a withdrawal by what became of its write. It takes mu.
func (l *Limit) withdrawn(w withdrawal, err error) {
	kind := EventGiveBack
	l.mu.Lock()
	switch s := &l.supply; {
	case errors.Is(err, store.ErrAmbiguous):
		kind = EventLost
	case err != nil:
		kind = 0
		if l.generation == w.generation {
			l.remaining += w.units
			l.granted += w.units
		}
		if f := l.flight(); f.next.window == w.next.window {
			f.next.units += w.next.units
		}
	case l.generation == w.generation:
		// There is room in the row again: ask it.
		s.seen, s.exhausted = false, false
		l.sighted()
	}
	l.watch()
	l.mu.Unlock()
	if kind != 0 {
		l.engine.emit(Event{Kind: kind, Key: l.key(), Units: w.units + w.next.units})
	}
}
