package breaker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"spillway/shared/breaker/rule"
	"spillway/shared/store"
)

const (
	// operationTime bounds one operation in the background.
	operationTime = 2 * time.Second
	// publishTries bounds the steps of one publication, each a read or a write;
	// after them it waits for the next run.
	publishTries = 8
	// awaitTime bounds how long a request waits for a run, counted from its start.
	awaitTime = 150 * time.Millisecond
)

// run is one background goroutine at work.
type run struct {
	started time.Time
	done    chan struct{}
	err     error // Of the last query or publication; read it after done.
}

// want is what a run is asked to do.
type want struct {
	query  bool // Read all rows, not only publish.
	anyway bool // Even if the store was down a moment ago.
	again  bool // Set while a run works: do one more round.
}

// start returns the run that does what is wanted: a new one, or the present
// one, which then does one more round. It returns nil if there is nothing to do
// or the store is to be left alone.
func (b *Board) start(now time.Time, w want) *run {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !w.anyway && b.health.resting(now) {
		return b.run
	}
	if b.run != nil {
		// A query is under way, or one follows: that is fresh enough, unless it
		// was asked for explicitly.
		if !w.query || w.anyway {
			b.want = want{query: b.want.query || w.query, again: true}
		}
		return b.run
	}
	b.run = &run{started: time.Now(), done: make(chan struct{})}
	b.want = want{}
	go b.work(b.run, w.query)
	return b.run
}

// kick starts publishing.
func (b *Board) kick(now time.Time) { b.start(now, want{}) }

// work does rounds until none is wanted.
func (b *Board) work(r *run, query bool) {
	for {
		r.err = b.round(query)
		b.mu.Lock()
		if !b.want.again || r.err != nil {
			b.run = nil
			b.mu.Unlock()
			close(r.done)
			return
		}
		query = b.want.query
		b.want = want{}
		b.mu.Unlock()
	}
}

// round publishes, reads the rows if asked to, and publishes what reading them
// has left to say.
func (b *Board) round(query bool) error {
	all := b.all()
	if err := publishAll(all); err != nil || !query {
		return err
	}
	if err := b.query(all); err != nil {
		return err
	}
	if err := publishAll(all); err != nil {
		return err
	}
	// Every write that was wanted has been made. If there was none, the next
	// claim may find out whether the store takes writes again.
	b.answered(writing)
	return nil
}

func publishAll(all []*Deployment) error {
	for _, d := range all {
		if err := d.publish(); err != nil {
			return err
		}
	}
	return nil
}

// query reads all rows and lets each deployment learn from its own.
func (b *Board) query(all []*Deployment) error {
	ctx, cancel := context.WithTimeoutCause(context.Background(), operationTime, errSlow)
	defer cancel()
	mark := b.writes.Load()
	rows := make(map[string]shared, len(all))
	for row, err := range b.store.Query(ctx, store.Filter{Partition: Partition}) {
		if err != nil {
			b.heard(ctx, reading, err)
			return fmt.Errorf("breaker: read the rows: %w", err)
		}
		rows[row.Row] = shared{row.ETag, row.Columns}
	}
	b.heard(ctx, reading, nil)
	b.pace(len(rows))
	b.health.refreshed(b.clock.Now(), b.spread(b.every()))
	for _, d := range all {
		d.absorbQueried(rows[d.id], mark)
	}
	return nil
}

// absorbQueried learns from a row of a query, unless this instance wrote it since
// the query began, or is writing it.
func (d *Deployment) absorbQueried(row shared, mark uint64) {
	now := d.board.clock.Now()
	d.mu.Lock()
	var happened []Event
	if !d.link.busy && d.link.wroteAt <= mark {
		happened = d.absorb(row, now)
	}
	d.mu.Unlock()
	d.board.tell(happened...)
}

// publish writes what this instance found out, merged with what the row says.
func (d *Deployment) publish() error {
	if !d.pending() || !d.occupy() {
		return nil
	}
	defer d.release()
	ctx, cancel := context.WithTimeoutCause(context.Background(), operationTime, errSlow)
	defer cancel()
	for range publishTries {
		draft, ok := d.draft()
		if !ok {
			return nil
		}
		if !draft.known {
			row, err := d.get(ctx)
			if err != nil {
				return fmt.Errorf("breaker: read the row of %s: %w", d.id, err)
			}
			d.learn(row)
			continue
		}
		_, err := d.write(ctx, draft.facts, draft.etag)
		switch {
		case err == nil:
			d.published(draft.version)
		case errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrAmbiguous):
			// Merging twice gives the same facts, so reading and writing again is
			// safe whatever became of this write.
		case errors.Is(err, store.ErrInvalid):
			return nil // No store keeps a row of that name: this instance is alone.
		default:
			return fmt.Errorf("breaker: write the row of %s: %w", d.id, err)
		}
	}
	return nil
}

// draft is a write as it could be made.
type draft struct {
	facts   rule.Facts
	known   bool
	etag    string
	version uint64
}

// draft returns what to write, or false if there is nothing.
func (d *Deployment) draft() (draft, bool) {
	now := d.board.clock.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	l := &d.link
	return draft{facts: d.facts, known: l.known, etag: l.etag, version: l.version}, d.unpublished(now)
}

func (d *Deployment) pending() bool {
	_, ok := d.draft()
	return ok
}

// published notes that the facts of that version are in the row.
func (d *Deployment) published(version uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.link.version == version {
		d.link.news = false
	}
}
