package consumers

import (
	"context"
	"errors"
	"time"

	"spillway/shared/clock"
	"spillway/shared/store"
)

const (
	// pollEvery is the time between two polls; it varies by up to a tenth less.
	pollEvery = 3 * time.Second
	// staleAfter is the age of a view that is waited for. With awaitTime it stays
	// below 5 seconds.
	staleAfter = 4500 * time.Millisecond
	// pollTime bounds one poll.
	pollTime = 2 * time.Second
	// lookback is how long before the last poll a log row may have its time and not
	// have been seen by it.
	lookback = 15 * time.Second
	// watchFor is how long after its log row a change may take effect.
	watchFor = time.Minute
	// ahead is how far in the future a log row may have its time. Rows beyond, which
	// only a tool writes, would come with every poll for ever.
	ahead = 10 * time.Minute

	// partitionTarget is how many rows per second one partition of a table gives:
	// "Scalability and performance targets for Table storage", Target throughput
	// for a single table partition (1 KiB-entities).
	partitionTarget = 2000
	// leastRows is what a poll costs at least, counted in rows.
	leastRows = 4
	// longestInterval is the longest time between two polls. From 30,000 instances ×
	// rows on the target is exceeded, and the store may throttle.
	longestInterval = 15 * time.Second
)

// view is what the last successful poll has told. A nil view is that of an
// instance that has not polled yet. It is a value that does not change.
type view struct {
	began clock.Instant
	next  clock.Deadline // When a poll is due.
	stale clock.Deadline // When it is worth waiting for.
	some  bool           // There may be consumers in the table.
}

func (v *view) due(now clock.Instant) bool      { return v == nil || v.next.PassedAt(now) }
func (v *view) outdated(now clock.Instant) bool { return v == nil || v.stale.PassedAt(now) }
func (v *view) none() bool                      { return v != nil && !v.some }

// watch is a consumer that the log names.
type watch struct {
	until      clock.Deadline
	generation uint64 // Of the last doubt.
}

// run is a poll under way.
type run struct {
	began time.Time
	done  chan struct{}
}

// freshView starts a poll if one is due, and waits for it if the view is outdated, but
// no request longer than awaitTime after the poll's start or than its patience.
func (d *Directory) freshView(ctx context.Context, now clock.Instant) *view {
	v := d.view.Load()
	if !v.due(now) {
		return v
	}
	if r := d.startPoll(now); r != nil && v.outdated(now) {
		store.Await(ctx, r.done, r.began.Add(awaitTime))
	}
	return d.view.Load()
}

// startPoll returns the poll that is under way, or a new one; nil while the store
// is left alone.
func (d *Directory) startPoll(now clock.Instant) *run {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.run == nil && d.rest.PassedAt(now) && d.view.Load().due(now) {
		d.run = &run{began: time.Now(), done: make(chan struct{})}
		go d.work(d.run)
	}
	return d.run
}

func (d *Directory) work(r *run) {
	defer close(r.done)
	ctx, cancel := context.WithTimeout(context.Background(), pollTime)
	defer cancel()
	err := d.poll(ctx)
	d.heard(err)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.run = nil
}

// poll learns from the log. The view is as old as the moment before it asked.
func (d *Directory) poll(ctx context.Context) error {
	began := d.o.Clock.Read()
	last := d.view.Load()
	if last == nil || !last.some {
		_, err := d.o.Store.Get(ctx, beginning)
		if errors.Is(err, store.ErrNotFound) {
			d.view.Store(d.newView(began, false, 0))
			return nil
		}
		if err != nil {
			return err
		}
	}
	// The first answer may have corrected the clock. Those who hold the view count
	// from the reading before the question, by either clock.
	names, rows, err := d.changes(ctx, d.since(last))
	if err != nil {
		return err
	}
	d.doubt(names)
	d.view.Store(d.newView(began, true, rows))
	return nil
}

// since is the time of the oldest log rows that may not have been seen. What was
// begun before the first poll may take effect after it.
func (d *Directory) since(last *view) time.Time {
	now := d.o.Clock.Read()
	if last == nil || !last.some {
		return now.Time().Add(-watchFor - lookback)
	}
	// By the wall clock, which also counts while a process is frozen, or by the
	// monotonic one, which also counts while the wall clock is set.
	passed := max(now.Wall-last.began.Wall, now.Monotonic-last.began.Monotonic)
	return now.Time().Add(-time.Duration(passed) - lookback)
}

// changes returns the consumers that the log names since then, and how many rows
// that took.
func (d *Directory) changes(ctx context.Context, since time.Time) (map[string]bool, int, error) {
	names, rows := make(map[string]bool), 0
	filter := store.Filter{
		Partition: logPartition,
		RowFrom:   logRow(since),
		RowTo:     logRow(d.o.Clock.Now().Add(ahead)),
	}
	for row, err := range d.o.Store.Query(ctx, filter) {
		if err != nil {
			return nil, 0, err
		}
		rows++
		if name, ok := decodeLog(row.Columns); ok {
			names[name] = true
		}
	}
	return names, rows, nil
}

// doubt makes everybody look again at the consumers that the log names now, or
// named within the last minute.
func (d *Directory) doubt(names map[string]bool) {
	now := d.o.Clock.Read()
	until := now.Until(now.Time().Add(watchFor))
	d.mu.Lock()
	defer d.mu.Unlock()
	for name := range names {
		d.watched[name] = watch{until: until}
	}
	if len(d.watched) == 0 {
		return
	}
	d.generation++
	for name, w := range d.watched {
		if r := d.records[name]; r != nil {
			r.doubted.Store(d.generation)
		}
		if w.until.PassedAt(now) {
			delete(d.watched, name)
			continue
		}
		w.generation = d.generation
		d.watched[name] = w
	}
}

// newView is the view of a poll that has read so many rows.
func (d *Directory) newView(began clock.Instant, some bool, rows int) *view {
	every := pace(rows, d.o.Instances())
	return &view{
		began: began, some: some,
		next:  began.Until(began.Time().Add(d.jitter(every))),
		stale: began.Until(began.Time().Add(max(staleAfter, every+every/2))),
	}
}

// pace is the time between two polls such that all instances together stay within
// what the partition gives: instances × rows ÷ 2,000 per second.
func pace(rows int, instances int64) time.Duration {
	seconds := float64(max(instances, 1)) * float64(max(rows, leastRows)) / partitionTarget
	fleet := time.Duration(min(seconds, longestInterval.Seconds()) * float64(time.Second))
	return max(pollEvery, fleet)
}
