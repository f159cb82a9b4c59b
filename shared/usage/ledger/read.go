package ledger

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"spillway/shared/store"
	"spillway/shared/usage"
)

// ErrOvertaken says that pages were deleted while they were read, as by a reader
// that slept for a day. Reading again is safe.
var ErrOvertaken = errors.New("ledger: the rows were deleted while they were read; read again")

// Progress is how far a Read has come.
type Progress struct {
	Rows  int // Read so far.
	Hours int // Done, of Total.
	Total int
	// Unreadable is how many lines or rows made no sense and are not counted.
	Unreadable int
}

// probeAfter is how many hours that are not folded are asked for one by one. Beyond
// them days without pages are left out first.
const probeAfter = 48

// Read yields what was used in [q.From, q.To), for q.Consumer alone if it is not
// empty, in any order and several entries for the same hour and dimensions: their sum
// is what was used. It holds all that was flushed before, and nothing twice. An error
// ends it, and makes what was read void: those of the store, and ErrOvertaken. Progress,
// if not nil, is called after each of the queries that it takes.
func Read(ctx context.Context, s store.Store, q usage.Query, progress func(Progress)) iter.Seq2[usage.Entry, error] {
	return func(yield func(usage.Entry, error) bool) {
		r := &reader{ctx: ctx, store: s, query: q, yield: yield, report: progress}
		if progress == nil {
			r.report = func(Progress) {}
		}
		if err := r.read(); err != nil && !errors.Is(err, errStopped) {
			yield(usage.Entry{}, err)
		}
	}
}

// errStopped ends a Read whose caller wants no more.
var errStopped = errors.New("ledger: stopped")

// reader is one Read.
type reader struct {
	ctx    context.Context
	store  store.Store
	query  usage.Query
	yield  func(usage.Entry, error) bool
	report func(Progress)
	done   Progress
}

// read follows the order that the package's argument stands on: the state, the
// pages of the newest hour first, the rows of days, and the state again.
func (r *reader) read() error {
	from, to := hourOf(r.query.From), hourOf(r.query.To.Add(time.Hour-1))
	r.done.Total = max(int(to.Sub(from)/time.Hour), 0)
	now, _, err := readState(r.ctx, r.store)
	if err != nil {
		return err
	}
	counting, err := readGenerations(r.ctx, r.store, from, to)
	if err != nil {
		return err
	}
	open := later(from, now.Folded)
	if err := r.readPages(open, to); err != nil {
		return err
	}
	folded := to
	if folded.After(now.Folded) {
		folded = now.Folded
	}
	for day := dayOf(from); day.Before(folded); day = day.AddDate(0, 0, 1) {
		if err := r.readDay(day, from, folded, counting); err != nil {
			return err
		}
	}
	if !open.Before(to) {
		return nil // No page was read.
	}
	if now, _, err = readState(r.ctx, r.store); err == nil && now.Gone.After(open) {
		err = ErrOvertaken
	}
	return err
}

// readPages reads the pages of the hours in [from, to), the newest hour first.
func (r *reader) readPages(from, to time.Time) error {
	probe := to.Sub(from) > probeAfter*time.Hour
	for hour := to.Add(-time.Hour); !hour.Before(from); hour = hour.Add(-time.Hour) {
		if probe && hour.Hour() == 23 {
			found, err := anyPage(r.ctx, r.store, hour.Format(dayLayout))
			if err != nil {
				return fmt.Errorf("ledger: pages: %w", err)
			}
			if !found {
				begin := later(dayOf(hour), from)
				r.progress(0, int(hour.Sub(begin)/time.Hour)+1)
				hour = begin
				continue
			}
		}
		rows, err := r.readHour(hour)
		if err != nil {
			return err
		}
		r.progress(rows, 1)
	}
	return nil
}

func (r *reader) progress(rows, hours int) {
	r.done.Rows += rows
	r.done.Hours += hours
	r.report(r.done)
}

// readHour reads the pages of an hour.
func (r *reader) readHour(hour time.Time) (rows int, err error) {
	for row, err := range r.store.Query(r.ctx, store.Filter{Partition: hourPartition(hour)}) {
		if err != nil {
			return rows, fmt.Errorf("ledger: pages: %w", err)
		}
		rows++
		text, ok := row.Columns[columnCounters].(string)
		if !ok || row.Columns[columnFormat] != format {
			r.done.Unreadable++
			continue
		}
		if err := r.readLines(hour, "", text); err != nil {
			return rows, err
		}
	}
	return rows, nil
}

// readDay reads the hours of a day that are folded and in [from, to).
func (r *reader) readDay(day, from, to time.Time, counting map[time.Time]int64) error {
	var hours []time.Time
	total := 0
	for h := range 24 {
		hour := day.Add(time.Duration(h) * time.Hour)
		if hour.Before(from) || !hour.Before(to) {
			continue
		}
		total++
		if counting[hour] != 0 {
			hours = append(hours, hour)
		}
	}
	rows := 0
	if len(hours) > 0 {
		for row, err := range r.store.Query(r.ctx, r.dayFilter(day)) {
			if err != nil {
				return fmt.Errorf("ledger: days: %w", err)
			}
			rows++
			if err := r.readConsumer(row, hours, counting); err != nil {
				return err
			}
		}
	}
	r.progress(rows, total)
	return nil
}

// dayFilter selects the rows of a day that the query needs.
func (r *reader) dayFilter(day time.Time) store.Filter {
	filter := store.Filter{Partition: dayPartition(day)}
	if r.query.Consumer != "" {
		filter.RowFrom, filter.RowTo = r.query.Consumer+"!", r.query.Consumer+"\"" // The sign after it.
	}
	return filter
}

// readConsumer reads hours of the row of a day.
func (r *reader) readConsumer(row store.Row, hours []time.Time, counting map[time.Time]int64) error {
	consumer, ok := consumerOf(row.Row)
	if !ok || row.Columns[columnFormat] != format {
		r.done.Unreadable++
		return nil
	}
	for _, hour := range hours {
		text, _ := row.Columns[hourColumn(hour)].(string)
		generation, lines, ok := parseHour(text)
		if text != "" && !ok {
			r.done.Unreadable++
		}
		if !ok || generation != counting[hour] {
			continue
		}
		if err := r.readLines(hour, consumer, lines); err != nil {
			return err
		}
	}
	return nil
}

// readLines yields the counters of a text. Consumer is whose they are, if the text
// does not say.
func (r *reader) readLines(hour time.Time, consumer, text string) error {
	stopped := false
	r.done.Unreadable += eachLine(text, func(d usage.Dimensions, n usage.Counts) bool {
		if consumer != "" {
			d.Consumer = consumer
		}
		if r.query.Consumer != "" && d.Consumer != r.query.Consumer {
			return true
		}
		stopped = !r.yield(usage.Entry{Hour: hour, Dimensions: d, Counts: n}, nil)
		return !stopped
	})
	if stopped {
		return errStopped
	}
	return nil
}
