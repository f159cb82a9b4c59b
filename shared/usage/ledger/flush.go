package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"spillway/shared/store"
	"spillway/shared/usage"
)

const (
	// flushEvery is the time between the begins of two flushes.
	flushEvery = time.Second
	// writeEvery is the mean time between two writes of a busy instance: one with so
	// many counters that a flush takes many pages flushes less often.
	writeEvery = 40 * time.Millisecond
	// pendingEvery is the time between two questions whether a late page counts.
	pendingEvery = 10 * time.Second
	// delayedAfter is how many flushes must have failed in a row to be told.
	delayedAfter = 3
	// maxBackoff is the longest pause after flushes that failed.
	maxBackoff = 30 * time.Second
	// lastFlush bounds the flush at the end of Run.
	lastFlush = 5 * time.Second
)

// ErrPending says that all is written, and that it is not known yet whether a page
// that came late counts: the fold of its hour decides it.
var ErrPending = errors.New("ledger: a fold has yet to tell whether a late page counts")

// Flush writes what has been added since the last flush began. Once it returns nil,
// all that was added before is in the store and will be counted once. Otherwise
// nothing is lost either, and the next flush goes on. Errors: store.ErrUnavailable,
// store.ErrAmbiguous, store.ErrInvalid (a row that another version wrote) and
// ErrPending; each is safe to repeat.
func (l *Ledger) Flush(ctx context.Context) error {
	if err := l.acquire(ctx); err != nil {
		return err
	}
	defer l.release()
	return l.flush(ctx)
}

// flushRounds bounds how often one flush begins anew, because a page turned out to
// be closed and its counters went to another one.
const flushRounds = 4

// flush is Flush for who holds the token.
func (l *Ledger) flush(ctx context.Context) error {
	l.beginFlush(l.o.Clock.Now())
	wrote, err := 0, error(nil)
	again := true
	for range flushRounds {
		var n int
		n, again, err = l.flushPages(ctx)
		wrote += n
		if err != nil && !errors.Is(err, ErrPending) || !again {
			break
		}
	}
	if err == nil && again {
		err = fmt.Errorf("ledger: %w: the hours close too fast", store.ErrAmbiguous)
	}
	l.endFlush(wrote, err)
	return err
}

// flushPages brings all pages up to date. It returns how many writes that took, and
// whether counters went to a page that it may have passed. It stops at the first
// error, so that an outage leaves few pages in doubt.
func (l *Ledger) flushPages(ctx context.Context) (wrote int, moved bool, err error) {
	l.mu.Lock()
	l.moved = false
	pages := slices.Clone(l.pages)
	l.mu.Unlock()
	pending := false
	for _, p := range pages {
		n, err := l.settle(ctx, p)
		wrote += n
		if errors.Is(err, ErrPending) {
			pending = true
		} else if err != nil {
			return wrote, false, err
		}
	}
	if err := l.prove(ctx); err != nil {
		return wrote, false, err
	}
	if pending {
		err = ErrPending
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return wrote, l.moved, err
}

// beginFlush turns to the hour of now.
func (l *Ledger) beginFlush(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flushed = now
	if hour := hourOf(now); hour.After(l.hour) {
		l.roll(hour)
	}
}

// endFlush drops the pages that are done with, and paces the next flush.
func (l *Ledger) endFlush(wrote int, failed error) {
	l.mu.Lock()
	l.pages = slices.DeleteFunc(l.pages, func(p *page) bool {
		p.pending = p.sealed != 0
		p.behind = p.pending || p.unsure || p.attempted && !p.proven
		return p.gone || p.hour.Before(l.hour) && p.settled()
	})
	l.wrote = wrote
	had := l.failures
	if errors.Is(failed, ErrPending) {
		failed = nil // The store is well.
	}
	if failed == nil {
		l.failures, l.retryAt = 0, time.Time{}
	} else {
		l.failures++
		l.retryAt = l.o.Clock.Now().Add(backoff(l.failures, l.o.Random))
	}
	l.mu.Unlock()
	switch {
	case failed != nil && had == delayedAfter-1:
		l.o.Events(Event{Kind: EventDelayed, Err: failed})
	case failed == nil && had >= delayedAfter:
		l.o.Events(Event{Kind: EventRecovered})
	}
}

// backoff is the pause after so many failures: twice as long each time, by chance
// up to half of it less.
func backoff(failures int, random func(uint64) uint64) time.Duration {
	pause := maxBackoff
	if failures < 6 {
		pause = min(flushEvery<<failures, maxBackoff)
	}
	return pause - time.Duration(random(uint64(pause/2)))
}

// settled tells whether all that was added to a page is in the store and will be
// counted, as far as the last flush knows. The caller holds mu.
func (p *page) settled() bool { return !p.dirty && !p.behind }

// pause is how long to wait before the next flush; false: nothing is to be done.
func (l *Ledger) pause() (time.Duration, bool) {
	now := l.o.Clock.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	any, wait := false, pendingEvery
	for _, p := range l.pages {
		if p.settled() {
			continue
		}
		any = true
		if !p.pending {
			wait = max(flushEvery, time.Duration(l.wrote)*writeEvery)
		}
	}
	due := l.flushed.Add(wait)
	if l.retryAt.After(due) {
		due = l.retryAt
	}
	return min(max(due.Sub(now), 0), maxBackoff), any // However the clock is set.
}

// Run flushes every second while there is something to write, and once more when
// ctx ends, which takes at most five seconds.
func (l *Ledger) Run(ctx context.Context) {
	for ctx.Err() == nil {
		select {
		case <-l.wake:
		case <-ctx.Done():
		}
		for ctx.Err() == nil && l.waitFlush(ctx) {
			_ = l.Flush(ctx) // It is counted, told as an event, and tried again.
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastFlush)
	defer cancel()
	_ = l.Flush(last)
}

// waitFlush waits until a flush is due; false: there is nothing to write, or ctx has
// ended.
func (l *Ledger) waitFlush(ctx context.Context) bool {
	pause, any := l.pause()
	if !any {
		return false
	}
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Settle is for a host that freezes the process between two requests: it flushes
// if a second has passed since the last flush began. A store that is down is not
// asked with each request.
func (l *Ledger) Settle(ctx context.Context) {
	if pause, any := l.pause(); !any || pause > 0 {
		return
	}
	if err := l.acquire(ctx); err != nil {
		return
	}
	defer l.release()
	if pause, any := l.pause(); any && pause == 0 { // Nobody else has by now.
		_ = l.flush(ctx)
	}
}

// write sends a page: all of its counters as they are now.
func (l *Ledger) write(ctx context.Context, p *page) error {
	sent, text, again := l.snapshot(p)
	if text == nil {
		return nil
	}
	etag, err := l.put(ctx, p, l.pageColumns(string(text), 0))
	switch {
	case err == nil:
		p.etag, p.kept = etag, sent
		if p.proven {
			p.doubt = nil
		}
		return nil
	case errors.Is(err, store.ErrInvalid):
		l.giveUp(p, err)
		return nil
	}
	unwritten := errors.Is(err, store.ErrUnavailable)
	if !unwritten && !errors.Is(err, store.ErrNotFound) {
		p.doubt = sent
	}
	p.unsure = !unwritten
	l.mu.Lock()
	defer l.mu.Unlock()
	p.dirty = true
	p.attempted = again || !unwritten
	return err
}

// put inserts the row of a page, or replaces it.
func (l *Ledger) put(ctx context.Context, p *page, columns store.Columns) (string, error) {
	if p.etag == "" {
		return l.o.Store.Insert(ctx, p.key, columns)
	}
	return l.o.Store.Replace(ctx, p.key, columns, p.etag)
}

// snapshot returns the counts of a page, and the page as a text; nil: its counters
// are elsewhere by now. It tells whether the row may exist already.
func (l *Ledger) snapshot(p *page) (sent []usage.Counts, text []byte, again bool) {
	l.mu.Lock()
	if p.gone {
		l.mu.Unlock()
		return nil, nil, false
	}
	again = p.attempted
	p.dirty, p.attempted = false, true
	keys := p.keys
	sent = slices.Clone(p.now)
	l.mu.Unlock()
	text = make([]byte, 0, maxPage/2)
	for i, key := range keys {
		text = appendLine(text, key.dimensions(), sent[i])
	}
	return sent, text, again
}

// giveUp drops a page that the store will never take, so that it does not keep the
// others back.
func (l *Ledger) giveUp(p *page, err error) {
	lost := usage.Counts{}
	l.mu.Lock()
	p.gone = true
	for _, n := range p.now {
		lost.Add(n)
	}
	l.counters.remove(p)
	if l.open == p {
		l.open = nil
	}
	l.mu.Unlock()
	l.o.Events(Event{Kind: EventRefused, Requests: lost.Requests, Err: fmt.Errorf("ledger: page refused: %w", err)})
}
