package breaker

import (
	"context"
	"errors"
	"time"

	"spillway/shared/store"
)

// link is what a Deployment knows about its row in the store.
type link struct {
	// busy: a claim or a publication is on its way; one at a time.
	busy bool
	// known: the row was read and etag is its ETag, or there is no row and etag
	// is empty.
	known bool
	etag  string
	// throttledUntil is the throttle that the row holds.
	throttledUntil time.Time
	// news: the state differs from the row because of something this instance
	// found out.
	news bool
	// version changes with the facts, so that a publication can tell whether they
	// changed meanwhile.
	version uint64
	// wroteAt is Board.writes at this instance's last write of the row. A query
	// that was begun before may show an older row.
	wroteAt uint64
	// nonce is that of a claim whose outcome is unknown, or that was not made. It
	// was given to no request.
	nonce string
}

// shared is a row as it was read. An empty etag: there is no row.
type shared struct {
	etag    string
	columns store.Columns
}

// absorb learns from the row as it was read, and returns what happened. The
// caller holds mu.
func (d *Deployment) absorb(row shared, now time.Time) []Event {
	l := &d.link
	if l.known && l.etag == row.etag {
		return nil
	}
	rules := &d.board.rules
	seen := decode(row.columns, now, rules)
	l.known, l.etag, l.throttledUntil = true, row.etag, seen.throttledUntil
	// A claim that succeeded after all, and nobody runs the trial.
	orphan := seen.state == HalfOpen && seen.nonce == l.nonce && l.nonce != ""
	if orphan {
		seen = seen.abandon(now, d.facts.until)
		l.nonce = ""
	}
	var happened []Event
	if next := d.facts.throttledUntil; seen.throttledUntil.After(later(next, now)) && !now.Before(next) {
		happened = append(happened, Event{
			Kind: EventThrottled, Reason: ReasonShared, Deployment: d.id,
			Until: seen.throttledUntil, Opens: int(seen.opens), Status: int(seen.lastStatus),
		})
	}
	if l.news {
		seen, l.news = merge(d.facts, seen, now)
	} else {
		seen.throttledUntil = later(seen.throttledUntil, d.facts.throttledUntil)
	}
	l.news = l.news || orphan
	l.version++
	if e := d.set(seen, ReasonShared); e.Kind != 0 {
		happened = append(happened, e)
	}
	return happened
}

// unpublished tells whether the store should learn something. A throttle is
// worth a write only for the part of it that the row does not know yet, and
// only if that outlives the view of the others. The caller holds mu.
func (d *Deployment) unpublished(now time.Time) bool {
	l := &d.link
	secret := d.facts.throttledUntil.Sub(later(l.throttledUntil, now))
	return l.news || secret >= d.board.refreshEvery
}

// occupy makes the caller the only one that writes the row; false if another
// one does.
func (d *Deployment) occupy() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.link.busy {
		return false
	}
	d.link.busy = true
	return true
}

func (d *Deployment) release() {
	d.mu.Lock()
	d.link.busy = false
	d.mu.Unlock()
}

// get reads the row.
func (d *Deployment) get(ctx context.Context) (shared, error) {
	row, err := d.board.store.Get(ctx, d.key())
	d.board.heard(ctx, reading, err)
	if errors.Is(err, store.ErrNotFound) {
		return shared{}, nil
	}
	return shared{row.ETag, row.Columns}, err
}

// learn absorbs a row that was read after the last write.
func (d *Deployment) learn(row shared) {
	now := d.board.clock.Now()
	d.mu.Lock()
	happened := d.absorb(row, now)
	d.mu.Unlock()
	d.board.tell(happened...)
}

// write puts the facts into the row if it still is as it was read.
func (d *Deployment) write(ctx context.Context, f facts, etag string) (string, error) {
	b := d.board
	var err error
	if etag == "" {
		etag, err = b.store.Insert(ctx, d.key(), f.encode())
	} else {
		etag, err = b.store.Replace(ctx, d.key(), f.encode(), etag)
	}
	b.heard(ctx, writing, err)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.link.wroteAt = b.writes.Add(1)
	// After a conflict and after an unknown outcome only reading tells.
	d.link.known = err == nil
	if err == nil {
		d.link.etag, d.link.throttledUntil = etag, f.throttledUntil
	}
	return etag, err
}
