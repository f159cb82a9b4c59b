package breaker

import (
	"context"
	"errors"
	"time"

	"spillway/shared/breaker/rule"
	"spillway/shared/store"
)

const (
	// claimTime bounds how long a request may wait for the store in a claim.
	claimTime = 150 * time.Millisecond
	// claimTries bounds the rounds of a claim, each a read and a write.
	claimTries = 4
)

// The causes of contexts that this package ends. Only the first one blames the store.
var (
	errSlow      = errors.New("breaker: the store did not answer in time")
	errImpatient = errors.New("breaker: the request waits no longer")
)

// claim makes the caller the owner of the next trial, if the store agrees. All
// other requests of this instance that ask meanwhile are told no.
func (d *Deployment) claim(ctx context.Context, early bool) (Pass, bool) {
	most := store.Patience(ctx, claimTime)
	if most < claimTime/2 {
		return Pass{}, false // The next request has more time for it.
	}
	if d.trying() || !d.occupy() {
		return Pass{}, false
	}
	began := time.Now()
	pass, ok, happened := d.negotiate(ctx, early, most)
	store.Waited(ctx, time.Since(began))
	d.release()
	d.board.tell(happened)
	return pass, ok
}

// trying tells whether this instance's own trial is still under way.
func (d *Deployment) trying() bool {
	now := d.board.clock.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	return now.Before(d.mine)
}

// negotiate reads the row, decides on what it says and writes the claim, again
// after a conflict and after an answer that was lost. The caller has called occupy.
func (d *Deployment) negotiate(ctx context.Context, early bool, most time.Duration) (Pass, bool, Event) {
	cause := errSlow
	if most < claimTime {
		cause = errImpatient
	}
	ctx, cancel := context.WithTimeoutCause(ctx, most, cause)
	defer cancel()
	nonce := d.nonce()
	for range claimTries {
		if d.alone() {
			return d.take(nonce, early)
		}
		if ctx.Err() != nil {
			break
		}
		row, err := d.get(ctx)
		if err != nil {
			continue
		}
		if pass, ok, happened := d.recognize(row, nonce); ok {
			return pass, true, happened
		}
		if d.learn(row); d.alone() {
			return d.take(nonce, early)
		}
		next, pass, ok := d.prepare(nonce, early)
		if !ok || pass.kind != trial {
			return pass, ok, Event{}
		}
		if _, err := d.write(ctx, next, row.etag); err == nil {
			pass, happened := d.own(next, false)
			return pass, true, happened
		}
	}
	if d.alone() {
		return d.take(nonce, early)
	}
	return Pass{}, false, Event{}
}

// nonce returns the nonce of the next claim. The one of an earlier claim whose
// outcome is unknown is used again: no request was given it, and whichever of
// the writes comes to be applied is ours.
func (d *Deployment) nonce() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.link.nonce == "" {
		d.link.nonce = d.board.newNonce()
	}
	return d.link.nonce
}

// prepare decides on the present facts. It returns the facts of the claim and
// an unfinished trial pass, or an ordinary pass if the breaker has closed, or
// false.
func (d *Deployment) prepare(nonce string, early bool) (rule.Facts, Pass, bool) {
	now := d.board.clock.Now()
	settings := &d.board.settings
	d.mu.Lock()
	defer d.mu.Unlock()
	// However many instances probe, the deployment is not probed all the time.
	rested := now.Sub(d.facts.Throttle.Probed) >= settings.ProbeEvery/2
	switch {
	case d.facts.State == Closed:
		return rule.Facts{}, Pass{d: d, epoch: d.epoch}, true
	case !d.facts.Claimable(now, early && rested || !d.invited.IsZero()):
		return rule.Facts{}, Pass{}, false
	}
	d.link.nonce = nonce // An older claim of that nonce may have been given up.
	next := d.facts.Claim(now, d.board.instance, nonce, settings)
	if early {
		next.Throttle = next.Throttle.Probe(now)
	}
	return next, Pass{kind: trial}, true
}

// recognize finds a claim of this very call in the row: the write whose answer
// was lost had been applied.
func (d *Deployment) recognize(row shared, nonce string) (Pass, bool, Event) {
	now := d.board.clock.Now()
	seen, reading := row.decode(now, &d.board.settings)
	if !seen.Recognize(nonce, now, 2*claimTime, &d.board.settings) {
		return Pass{}, false, Event{}
	}
	d.board.answered(writing)
	d.mu.Lock()
	d.link.known, d.link.etag, d.link.throttle, d.link.reading = true, row.etag, seen.Throttle, reading
	d.mu.Unlock()
	pass, happened := d.own(seen, false)
	return pass, true, happened
}

// take claims the trial without the store, for this instance alone.
func (d *Deployment) take(nonce string, early bool) (Pass, bool, Event) {
	next, pass, ok := d.prepare(nonce, early)
	if !ok || pass.kind != trial {
		return pass, ok, Event{}
	}
	pass, happened := d.own(next, true)
	return pass, true, happened
}

// own makes this instance the owner of a claimed trial. News tells whether the
// store does not know of it.
func (d *Deployment) own(next rule.Facts, news bool) (Pass, Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := &d.link
	l.nonce = ""
	l.news = news
	l.version++
	// What outcomes have taught meanwhile about throttling stays.
	next.Throttle = next.Throttle.Merge(d.facts.Throttle)
	d.openUntil = time.Time{}
	if d.facts.State == Open {
		d.openUntil = d.facts.Until
	}
	d.mine = next.Deadline(&d.board.settings)
	happened := d.set(next, ReasonTrialClaimed)
	return Pass{d: d, epoch: d.epoch, kind: trial, deadline: d.mine}, happened
}
