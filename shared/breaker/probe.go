package breaker

import (
	"context"
	"errors"

	"spillway/shared/breaker/rule"
	"spillway/shared/store"
)

// probe marks in the row that this instance probes a throttled deployment, so
// that the others need not. It is no lock: a mark whose outcome is unknown, or
// whose owner dies, costs no more than the wait for the next probe.
func (d *Deployment) probe(ctx context.Context) (Pass, bool) {
	if _, _, ok := d.markProbe(); !ok || !d.occupy() {
		return Pass{}, false
	}
	defer d.release()
	ctx, cancel := context.WithTimeoutCause(ctx, claimTime, errSlow)
	defer cancel()
	for range claimTries {
		if d.alone() {
			return d.takeProbe()
		}
		row, err := d.get(ctx)
		if err != nil {
			continue
		}
		if d.learn(row); d.alone() {
			return d.takeProbe()
		}
		next, version, ok := d.markProbe()
		if !ok {
			return Pass{}, false
		}
		if _, err := d.write(ctx, next, row.etag); err == nil {
			d.published(version)
			return d.ownProbe(next), true
		} else if !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrNotFound) {
			break
		}
	}
	if d.alone() {
		return d.takeProbe()
	}
	return Pass{}, false
}

// markProbe returns the present facts with the mark of a probe and the version
// of them, or false if there is nothing to probe.
func (d *Deployment) markProbe() (rule.Facts, uint64, bool) {
	now := d.board.clock.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	next := d.facts
	if next.State != Closed || !next.Throttle.Probeable(now, d.board.every(), &d.board.settings) {
		return rule.Facts{}, 0, false
	}
	next.Throttle = next.Throttle.Probe(now)
	return next, d.link.version, true
}

// takeProbe begins a probe without the store, for this instance alone.
func (d *Deployment) takeProbe() (Pass, bool) {
	next, _, ok := d.markProbe()
	if !ok {
		return Pass{}, false
	}
	return d.ownProbe(next), true
}

// ownProbe begins the probe that was marked.
func (d *Deployment) ownProbe(marked rule.Facts) Pass {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.facts.Throttle = d.facts.Throttle.Merge(marked.Throttle)
	return Pass{d: d, epoch: d.epoch, kind: lifting, lifts: marked.Throttle.Probed}
}
