package breaker

import (
	"context"
	"errors"
	"time"

	"spillway/shared/breaker/rule"
	"spillway/shared/store"
)

// Partition is the partition of the store that holds the rows of all
// deployments; the row key is the id of the deployment.
const Partition = "breaker"

// link is what a Deployment knows about its row in the store.
type link struct {
	// busy: a claim or a publication is on its way; one at a time.
	busy bool
	// known: the row was read and etag is its ETag, or there is no row and etag
	// is empty.
	known bool
	etag  string
	// throttle is what the row holds of it.
	throttle rule.Throttle
	// reading is what was made of the row.
	reading rule.Reading
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
	seen, reading := row.decode(now, &d.board.settings)
	l.known, l.etag = true, row.etag
	unusable := d.read(reading)
	if reading == rule.Foreign {
		return []Event{unusable}
	}
	l.throttle = seen.Throttle
	before := d.throttledUntil()
	next, news, orphan := rule.Absorb(d.facts, seen, l.news, l.nonce, now)
	if orphan { // A claim that succeeded after all, and nobody runs the trial.
		l.nonce = ""
	}
	l.news = news
	l.version++
	happened := d.set(next, ReasonShared)
	return []Event{unusable, d.throttleChanged(before, now, ReasonShared), happened}
}

// read notes what was made of the row, and returns the event if it has become
// unusable. The caller holds mu.
func (d *Deployment) read(reading rule.Reading) Event {
	before := d.link.reading
	d.link.reading = reading
	if reading == before || reading == rule.Sound {
		return Event{}
	}
	why := ReasonBroken
	if reading == rule.Foreign {
		why = ReasonFormat
	}
	return d.event(EventUnusable, why, time.Time{})
}

// decode reads the columns, if there is a row.
func (s shared) decode(now time.Time, settings *rule.Settings) (rule.Facts, rule.Reading) {
	if s.etag == "" {
		return rule.Facts{}, rule.Sound
	}
	return rule.Decode(s.columns, now, settings)
}

// unpublished tells whether the store should learn something. A throttle or its
// lift is worth a write only for the time that the row does not know of yet, and
// only if that outlives the view of the others. The caller holds mu.
func (d *Deployment) unpublished(now time.Time) bool {
	l := &d.link
	if l.reading == rule.Foreign {
		return false
	}
	secret := rule.Later(d.facts.Throttle.End(), now).Sub(rule.Later(l.throttle.End(), now))
	return l.news || secret.Abs() >= d.board.every()
}

// alone tells whether this instance decides without the store.
func (d *Deployment) alone() bool {
	if d.board.Degraded() {
		return true
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.link.reading == rule.Foreign
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
func (d *Deployment) write(ctx context.Context, f rule.Facts, etag string) (string, error) {
	b := d.board
	var err error
	if etag == "" {
		etag, err = b.store.Insert(ctx, d.key(), f.Encode())
	} else {
		etag, err = b.store.Replace(ctx, d.key(), f.Encode(), etag)
	}
	b.heard(ctx, writing, err)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.link.wroteAt = b.writes.Add(1)
	// After a conflict and after an unknown outcome only reading tells.
	d.link.known = err == nil
	if err == nil {
		d.link.etag, d.link.throttle, d.link.reading = etag, f.Throttle, rule.Sound
	}
	return etag, err
}
