package breaker

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"spillway/shared/breaker/rule"
	"spillway/shared/store"
)

// Deployment is the breaker and the throttle of one deployment. All methods are
// safe for concurrent use.
type Deployment struct {
	board *Board
	id    string

	// current is what readers see; written under mu.
	current atomic.Pointer[snapshot]

	mu     sync.Mutex
	facts  rule.Facts // Guarded by mu.
	closed closed     // Guarded by mu.
	demand window     // Requests, and those of them not accepted. Guarded by mu.
	// pause is until when the 429s have asked for that are too short to be
	// shared. Guarded by mu.
	pause time.Time
	// openUntil is how long the breaker would be open if this instance's trial
	// did not run. Guarded by mu.
	openUntil time.Time
	// invited is when a request that was sent to the open breaker as the last one
	// of its pool succeeded, zero if none did. That is no trial, but a reason to
	// make one early. Guarded by mu.
	invited time.Time
	// mine is the deadline of the trial that this instance runs, zero if it runs
	// none. Its request may go on after another instance's state was adopted.
	// Guarded by mu.
	mine time.Time
	// epoch counts the changes of state; an outcome counts only in the epoch of
	// its pass. Guarded by mu.
	epoch uint64
	link  link // Guarded by mu.
}

// snapshot is what readers need of a Deployment. It is never changed.
type snapshot struct {
	view  View
	epoch uint64
}

// kind tells what a Pass was given for.
type kind uint8

const (
	ordinary kind = iota // The breaker was closed.
	trial                // The request is the trial.
	forced               // The request is the last resort of its pool.
	lifting              // The request finds out whether a throttle is over.
)

func newDeployment(b *Board, id string) *Deployment {
	d := &Deployment{board: b, id: id}
	d.current.Store(&snapshot{})
	return d
}

// ID returns the name the deployment was asked for with.
func (d *Deployment) ID() string { return d.id }

// View returns what is known now. It is one atomic load.
func (d *Deployment) View() View { return d.current.Load().view }

// Admit asks whether a request may go to the deployment. A closed breaker always
// says yes, without I/O. One that is due for a trial says yes to the single
// request that claims it, which takes two store operations and at most 150 ms;
// to all others it says no at once. Throttling is not looked at: see
// View.Usable.
//
// Whoever got a Pass must report exactly one outcome to it.
func (d *Deployment) Admit(ctx context.Context) (Pass, bool) {
	s := d.current.Load()
	if s.view.State == Closed {
		return Pass{d: d, epoch: s.epoch}, true
	}
	if d.board.clock.Now().Before(s.view.OpenUntil) {
		return Pass{}, false
	}
	return d.claim(ctx, false)
}

// AdmitLast is Admit for the last usable member of a pool, which is never taken
// out: if its breaker does not let the request through, adaptive throttling
// decides instead. The more of the recent requests went badly, the more
// probably the answer is no; it never becomes certain.
func (d *Deployment) AdmitLast(ctx context.Context) (Pass, bool) {
	if pass, ok := d.Admit(ctx); ok {
		return pass, true
	}
	now := d.board.clock.Now()
	chance := d.board.fraction()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.facts.State == Closed {
		return Pass{d: d, epoch: d.epoch}, true
	}
	t := d.demand.at(now, demandSpan)
	refused := chance < rejection(d.demand.sum())
	// Not accepted, until the answer says otherwise: requests that hang count.
	t.total++
	t.bad++
	if refused {
		return Pass{}, false
	}
	return Pass{d: d, epoch: d.epoch, kind: forced}, true
}

// Probe asks for a request that is made only to find out how the deployment
// fares, so that what has recovered can be used early. It takes at most 150 ms.
//
// Of an open breaker it claims the trial, even before the open time is over. It
// says no if another trial runs or the claim failed. A probe that fails leaves
// the open time as it was.
//
// Of a closed one that is throttled it gives a pass whose Success lifts the
// throttle in all instances; every other outcome counts as that of an ordinary
// request. It says no if the throttle ends within the refresh interval, if the
// last 429 came within the last two seconds, and if any instance has begun to
// probe within the last ten.
func (d *Deployment) Probe(ctx context.Context) (Pass, bool) {
	if d.View().State == Closed {
		return d.probe(ctx)
	}
	sent := d.board.clock.Now()
	pass, ok := d.claim(ctx, true)
	if ok && pass.kind != trial { // It has closed meanwhile: nothing to find out.
		return Pass{}, false
	}
	pass.lifts = sent
	return pass, ok
}

// set makes next the facts, and returns the event if the state changed. The
// caller holds mu.
func (d *Deployment) set(next rule.Facts, why Reason) Event {
	last := d.facts
	d.facts = next
	changed := last.State != next.State || !last.SameTrial(next)
	if changed {
		d.epoch++
		d.closed = closed{}
		d.invited = time.Time{}
	}
	d.show()
	if !changed || last.State == Closed && next.State == Closed {
		return Event{}
	}
	kind := EventClosed
	switch next.State {
	case Open:
		kind = EventOpened
	case HalfOpen:
		kind = EventHalfOpen
	}
	return d.event(kind, why, next.Until)
}

// show lets readers see the present facts. The caller holds mu.
func (d *Deployment) show() {
	view := View{
		State:          d.facts.State,
		OpenUntil:      d.facts.Until,
		ThrottledUntil: d.throttledUntil(),
		Opens:          int(d.facts.Opens),
		LastStatus:     int(d.facts.LastStatus),
	}
	if !d.invited.IsZero() {
		view.OpenUntil = rule.Sooner(view.OpenUntil, d.invited)
	}
	d.current.Store(&snapshot{view: view, epoch: d.epoch})
}

// throttledUntil is until when the deployment has asked to be left alone. The
// caller holds mu.
func (d *Deployment) throttledUntil() time.Time {
	return rule.Later(d.facts.Throttle.End(), d.pause)
}

// throttle makes the deployment throttled until some moment, and returns the
// event if it was free. A throttle that ends before the others would hear of it
// is kept apart: it must not stand for a lasting one. The caller holds mu.
func (d *Deployment) throttle(now time.Time, until time.Time, status int) Event {
	before := d.throttledUntil()
	if until.Sub(now) < d.board.every() {
		d.pause = rule.Later(d.pause, rule.Wall(until))
	} else {
		d.facts.Throttle = d.facts.Throttle.Learn(now, until, &d.board.settings)
	}
	d.facts.LastStatus = int64(status)
	d.show()
	return d.throttleChanged(before, now, ReasonAnswer)
}

// throttleChanged returns the event if a throttle began or ended before its
// time. The caller holds mu.
func (d *Deployment) throttleChanged(before, now time.Time, why Reason) Event {
	until := d.throttledUntil()
	switch was, is := now.Before(before), now.Before(until); {
	case is && !was:
		return d.event(EventThrottled, why, until)
	case was && !is:
		return d.event(EventLifted, why, now)
	}
	return Event{}
}

// event describes the present facts. The caller holds mu.
func (d *Deployment) event(kind EventKind, why Reason, until time.Time) Event {
	return Event{
		Kind:       kind,
		Reason:     why,
		Deployment: d.id,
		Until:      until,
		Opens:      int(d.facts.Opens),
		Status:     int(d.facts.LastStatus),
	}
}

func (d *Deployment) key() store.Key {
	return store.Key{Partition: Partition, Row: d.id}
}

// demandSpan and demandFactor are those of the adaptive throttling of "Site
// Reliability Engineering" (Beyer et al., 2016), chapter 21: two minutes, K = 2.
const (
	demandSpan   = 2 * time.Minute
	demandFactor = 2
)

// rejection is the probability with which a client rejects its own request:
// max(0, (requests − K × accepts) ÷ (requests + 1)).
func rejection(t tally) float64 {
	accepts := t.total - t.bad
	return max(0, float64(t.total-demandFactor*accepts)/float64(t.total+1))
}
