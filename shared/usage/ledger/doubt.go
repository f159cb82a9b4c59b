package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"spillway/shared/store"
	"spillway/shared/usage"
)

// doubtTries bounds how often one flush looks at the same page.
const doubtTries = 4

// settle brings the row of a page up to date, and returns how many writes that took.
func (l *Ledger) settle(ctx context.Context, p *page) (writes int, err error) {
	for range doubtTries {
		switch {
		case l.isGone(p):
			return writes, nil
		case p.unsure:
			if err = l.look(ctx, p); err != nil {
				return writes, err
			}
		case p.sealed != 0:
			if err = l.judge(ctx, p); err != nil {
				return writes, err
			}
		case l.isDirty(p):
			writes++
			if err = l.write(ctx, p); err == nil || errors.Is(err, store.ErrUnavailable) {
				return writes, err
			}
		default:
			return writes, nil
		}
	}
	return writes, fmt.Errorf("ledger: %w: a page changes under its owner", store.ErrAmbiguous)
}

func (l *Ledger) isGone(p *page) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return p.gone
}

func (l *Ledger) isDirty(p *page) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return p.dirty
}

// look reads the row of a page whose last write may have happened or not, and finds
// out what the page is now.
func (l *Ledger) look(ctx context.Context, p *page) error {
	row, err := l.o.Store.Get(ctx, p.key)
	if errors.Is(err, store.ErrNotFound) {
		return l.missing(ctx, p)
	}
	if err != nil {
		return err
	}
	p.etag, p.unsure = row.ETag, false
	if p.proven {
		p.doubt = nil
	}
	seal, _ := row.Columns[columnSealed].(int64)
	if seal == sealedByOwner { // Taken back, and the answer to that was lost.
		return l.disown(ctx, p)
	}
	text, _ := row.Columns[columnCounters].(string)
	l.hold(p, text)
	switch {
	case seal == 0: // A write that is still on its way meets another ETag after ours.
	case p.proven: // What the seal keeps is counted.
		l.move(p)
	default:
		p.sealed = seal
	}
	return nil
}

// hold notes what the row of a page holds.
func (l *Ledger) hold(p *page, text string) {
	held := make(map[usage.Dimensions]usage.Counts)
	eachLine(text, func(d usage.Dimensions, n usage.Counts) bool {
		held[d] = n
		return true
	})
	l.mu.Lock()
	keys := p.keys
	l.mu.Unlock()
	p.kept = make([]usage.Counts, len(keys))
	for i, key := range keys {
		p.kept[i] = held[key.dimensions()]
	}
}

// missing finds out what became of a page that has no row.
func (l *Ledger) missing(ctx context.Context, p *page) error {
	now, err := l.state(ctx)
	if err != nil {
		return err
	}
	switch {
	case !now.Closed.After(p.hour):
		// It was never written, or the table was lost. A write that is still on its way
		// comes before the next one, or finds a row and fails.
		p.etag, p.proven, p.unsure = "", false, false
		return nil
	case now.Gone.After(p.hour):
		l.assume(p)
		return nil
	}
	// The hour takes no new page. One that is still on its way must not arrive.
	_, err = l.o.Store.Insert(ctx, p.key, l.pageColumns("", sealedByOwner))
	switch {
	case err == nil:
		return l.disown(ctx, p)
	case errors.Is(err, store.ErrConflict):
		return nil // It has arrived: look again.
	}
	return err
}

// disown moves all of a page whose row holds nothing. That an earlier write of it
// was counted and its row deleted is possible only once the state says so.
func (l *Ledger) disown(ctx context.Context, p *page) error {
	now, err := l.state(ctx)
	if err != nil {
		p.unsure = true
		return err
	}
	p.kept = nil
	if p.doubt != nil && now.Gone.After(p.hour) {
		l.assume(p)
		return nil
	}
	l.move(p)
	return nil
}

// assume holds what was sent of a page to be counted that was deleted after its hour
// was folded. It is certain but for a write whose answer was lost, and for a page that
// was never proven.
func (l *Ledger) assume(p *page) {
	uncertain := usage.Counts{}
	held := make([]usage.Counts, max(len(p.kept), len(p.doubt)))
	copy(held, p.kept)
	for i := range held {
		if !p.proven {
			uncertain.Add(held[i])
		}
		if i < len(p.doubt) {
			more := p.doubt[i].Beyond(held[i])
			uncertain.Add(more)
			held[i].Add(more)
		}
	}
	p.kept = held
	l.move(p)
	if uncertain.Requests > 0 {
		l.o.Events(Event{Kind: EventUncertain, Requests: uncertain.Requests})
	}
}

// move carries what a page's row does not hold over to the hour that is counted for.
// The page is done with then.
func (l *Ledger) move(p *page) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.hour.After(p.hour) {
		l.roll(p.hour.Add(time.Hour))
	}
	p.gone, l.moved = true, true
	for i, key := range p.keys {
		l.carry(key.dimensions(), p.now[i].Beyond(p.keptOf(i)))
	}
}

// prove reads the state once for all pages that are new in the store. A page whose
// hour was closed by then is taken back.
func (l *Ledger) prove(ctx context.Context) (err error) {
	l.mu.Lock()
	var fresh []*page
	for _, p := range l.pages {
		if p.etag != "" && !p.gone && !p.unsure && !p.proven && p.sealed == 0 {
			fresh = append(fresh, p)
		}
	}
	l.mu.Unlock()
	if len(fresh) == 0 {
		return nil
	}
	now, err := l.state(ctx)
	if err != nil {
		return err
	}
	for _, p := range fresh {
		if !now.Closed.After(p.hour) {
			p.proven, p.doubt = true, nil
		} else if err = l.takeBack(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// takeBack empties the row of a page that is not counted, for good. What it held
// moves on only then, so that no reader meets it twice.
func (l *Ledger) takeBack(ctx context.Context, p *page) error {
	_, err := l.o.Store.Replace(ctx, p.key, l.pageColumns("", sealedByOwner), p.etag)
	switch {
	case err == nil:
		p.sealed = 0
		return l.disown(ctx, p)
	case errors.Is(err, store.ErrUnavailable):
		return err
	}
	p.sealed, p.unsure = 0, true // A fold was faster, or it is deleted, or nobody knows.
	l.mu.Lock()
	l.moved = true
	l.mu.Unlock()
	return nil
}

// judge decides about a page that a fold sealed before it was proven: once the hour
// is folded, the generations tell whether that seal counts.
func (l *Ledger) judge(ctx context.Context, p *page) error {
	now, err := l.state(ctx)
	if err != nil {
		return err
	}
	if !now.Folded.After(p.hour) {
		return ErrPending
	}
	counting, err := readGenerations(ctx, l.o.Store, p.hour, p.hour.Add(time.Hour))
	switch {
	case err != nil:
		return err
	case counting[p.hour] == p.sealed:
		p.sealed = 0
		l.move(p)
		return nil
	}
	return l.takeBack(ctx, p)
}

// state reads how far folding has come. Hours that are closed are not counted for
// any more.
func (l *Ledger) state(ctx context.Context) (state, error) {
	s, _, err := readState(ctx, l.o.Store)
	if err != nil {
		return s, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.Closed.After(l.hour) {
		l.roll(s.Closed)
	}
	return s, nil
}
