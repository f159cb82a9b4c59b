package breaker

import (
	"time"

	"spillway/shared/breaker/rule"
)

// Pass lets one request go to a deployment. It is a small value. Exactly one of
// Success, Failure, Throttled and Abandon must be called, once, as soon as the
// headers of the answer are there or will not come. An outcome that comes after
// the state has changed moves the breaker no more: it speaks of the past.
type Pass struct {
	d        *Deployment
	epoch    uint64
	deadline time.Time
	lifts    time.Time // When a probe was sent: its success lifts older throttles.
	kind     kind
}

// Trial tells whether the request is the trial of the deployment.
func (p Pass) Trial() bool { return p.kind == trial }

// Deadline returns when the attempt must have ended, by the Board's clock. It is
// zero if the request is no trial: then there is none. It lies two seconds
// before the moment from which others may claim the next trial, since either
// clock may be wrong by one.
func (p Pass) Deadline() time.Time { return p.deadline }

// Success reports that the deployment answered as a healthy one does: with a
// good answer, or with one that blames the request. It closes a half-open
// breaker and ends a run of failures. That of a probe lifts the throttle, unless
// a 429 came less than two seconds before the probe was sent, or since.
func (p Pass) Success() {
	if p.d != nil {
		p.SuccessAt(p.d.board.clock.Now())
	}
}

// SuccessAt is Success at a time that the Board's clock told a moment ago.
func (p Pass) SuccessAt(now time.Time) {
	d := p.d
	if d == nil {
		return
	}
	d.mu.Lock()
	d.ended(p)
	t := d.demand.at(now, demandSpan)
	if p.kind == forced { // Counted when it was admitted, as not accepted.
		t.bad--
	} else {
		t.total++
	}
	if p.kind == ordinary {
		if p.epoch == d.epoch {
			d.closed.succeed(now, d.board.tolerance)
		}
		d.mu.Unlock()
		return
	}
	lifted := d.lift(p.lifts, now)
	var happened Event
	if p.epoch == d.epoch {
		switch {
		case p.kind == lifting:
			d.closed.succeed(now, d.board.tolerance)
		case p.kind == forced && d.facts.State == Open:
			d.invited = rule.Wall(now)
			d.show()
		case p.kind == trial && !d.facts.Late(now):
			happened = d.settle(d.facts.Succeed(), ReasonTrialSucceeded)
		}
	}
	d.leave(now, happened, lifted)
}

// lift records that a probe sent at some moment succeeded; zero: there was none.
// The caller holds mu.
func (d *Deployment) lift(sent, now time.Time) Event {
	if sent.IsZero() {
		return Event{}
	}
	before := d.throttledUntil()
	d.facts.Throttle = d.facts.Throttle.Lift(sent, &d.board.settings)
	d.show()
	return d.throttleChanged(before, now, ReasonProbeSucceeded)
}

// Failure reports that the deployment is unhealthy: a status that says so, or 0
// for a connection that failed or an answer that did not come in time. It may
// open a closed breaker, and opens a half-open one.
func (p Pass) Failure(status int) {
	d := p.d
	if d == nil {
		return
	}
	now := d.board.clock.Now()
	jitter := d.board.jitter()
	settings := &d.board.settings
	d.mu.Lock()
	d.ended(p)
	d.rejected(p, now)
	var happened Event
	if p.epoch == d.epoch {
		switch p.kind {
		case ordinary, lifting:
			why := d.closed.fail(now, d.board.tolerance)
			if why != "" {
				happened = d.settle(d.facts.Open(now, status, jitter, settings), why)
				break
			}
			failed := d.facts
			failed.LastStatus = int64(status)
			d.set(failed, "")
		case trial:
			if !d.facts.Late(now) {
				happened = d.settle(d.facts.Fail(now, d.openUntil, status, jitter, settings), ReasonTrialFailed)
			}
		case forced: // The breaker is open as it should be.
		}
	}
	d.leave(now, happened)
}

// Throttled reports a 429 that asks to come back at some moment. That is no
// failure: a trial that gets it closes the breaker. The throttle is believed
// for at most Options.MaxRetryAfter, whatever the state of the breaker.
func (p Pass) Throttled(until time.Time, status int) {
	d := p.d
	if d == nil {
		return
	}
	now := d.board.clock.Now()
	d.mu.Lock()
	d.ended(p)
	d.rejected(p, now)
	throttled := d.throttle(now, until, status)
	var closed Event
	if p.kind == trial && p.epoch == d.epoch && !d.facts.Late(now) {
		closed = d.settle(d.facts.Succeed(), ReasonTrialThrottled)
	}
	d.leave(now, closed, throttled)
}

// Abandon reports that there is no verdict, for instance because the client
// left. A trial becomes free for the next request.
func (p Pass) Abandon() {
	d := p.d
	if d == nil || p.kind == ordinary || p.kind == lifting {
		return
	}
	now := d.board.clock.Now()
	d.mu.Lock()
	d.ended(p)
	var happened Event
	switch p.kind {
	case trial:
		if p.epoch == d.epoch && !d.facts.Late(now) {
			happened = d.settle(d.facts.Abandon(now, d.openUntil), ReasonTrialAbandoned)
		}
	case forced:
		t := d.demand.at(now, demandSpan)
		t.total--
		t.bad--
	}
	d.leave(now, happened)
}

// ended notes that the request of the pass is over. The caller holds mu.
func (d *Deployment) ended(p Pass) {
	if p.kind == trial && p.deadline.Equal(d.mine) {
		d.mine = time.Time{}
	}
}

// settle makes next the facts and leaves them to be published. The caller holds
// mu.
func (d *Deployment) settle(next rule.Facts, why Reason) Event {
	d.link.news = true
	return d.set(next, why)
}

// rejected counts a request that was not accepted. The caller holds mu.
func (d *Deployment) rejected(p Pass, now time.Time) {
	if p.kind == forced { // Counted when it was admitted.
		return
	}
	t := d.demand.at(now, demandSpan)
	t.total++
	t.bad++
}

// leave unlocks mu, tells what happened and starts publishing what is to be
// published.
func (d *Deployment) leave(now time.Time, happened ...Event) {
	d.link.version++
	publish := d.unpublished(now)
	d.mu.Unlock()
	d.board.tell(happened...)
	if publish {
		d.board.kick(now)
	}
}
