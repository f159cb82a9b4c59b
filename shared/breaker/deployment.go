package breaker

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

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
	facts  facts  // Guarded by mu.
	closed closed // Guarded by mu.
	demand window // Requests, and those of them not accepted. Guarded by mu.
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
	if d.facts.state == Closed {
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

// Probe claims the trial of an open breaker even before its open time is over,
// so that a probe can close early what has recovered. It says no if the breaker
// is closed, if another trial runs, or if the claim failed. A probe that fails
// leaves the open time as it was.
func (d *Deployment) Probe(ctx context.Context) (Pass, bool) {
	if d.View().State == Closed {
		return Pass{}, false
	}
	pass, ok := d.claim(ctx, true)
	if ok && pass.kind != trial { // It has closed meanwhile: nothing to find out.
		return Pass{}, false
	}
	return pass, ok
}

// set makes next the facts, and returns the event if the state changed. The
// caller holds mu.
func (d *Deployment) set(next facts, why Reason) Event {
	last := d.facts
	d.facts = next
	changed := last.state != next.state || !last.sameTrial(next)
	if changed {
		d.epoch++
		d.closed = closed{}
		d.invited = time.Time{}
	}
	d.show()
	if !changed || last.state == Closed && next.state == Closed {
		return Event{}
	}
	kind := EventClosed
	switch next.state {
	case Open:
		kind = EventOpened
	case HalfOpen:
		kind = EventHalfOpen
	}
	return d.event(kind, why, next.until)
}

// show lets readers see the present facts. The caller holds mu.
func (d *Deployment) show() {
	view := d.facts.view()
	if !d.invited.IsZero() {
		view.OpenUntil = sooner(view.OpenUntil, d.invited)
	}
	d.current.Store(&snapshot{view: view, epoch: d.epoch})
}

// throttle makes the deployment throttled until some moment, and returns the
// event if it was free. The caller holds mu.
func (d *Deployment) throttle(now time.Time, until time.Time, status int) Event {
	free := !now.Before(d.facts.throttledUntil)
	d.facts = d.facts.throttle(now, until, status, &d.board.rules)
	d.show()
	if !free || !now.Before(d.facts.throttledUntil) {
		return Event{}
	}
	return d.event(EventThrottled, ReasonAnswer, d.facts.throttledUntil)
}

// event describes the present facts. The caller holds mu.
func (d *Deployment) event(kind EventKind, why Reason, until time.Time) Event {
	return Event{
		Kind:       kind,
		Reason:     why,
		Deployment: d.id,
		Until:      until,
		Opens:      int(d.facts.opens),
		Status:     int(d.facts.lastStatus),
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
