package swarm

import (
	"context"
	"time"

	"spillway/shared/breaker"
	"spillway/tests/sim/script"
)

// The deployments that requests go to.
const (
	sickly = "b0/sick"
	sound  = "b1/sound"
)

// openFor is the shortest time that a breaker stays open.
const openFor = 10 * time.Second

// trialSkew is how far a clock may be off for one trial at a time to be promised.
const trialSkew = time.Second

// hangs is how long the sick backend keeps a connection without an answer.
const hangs = 60 * time.Second

// sick tells whether the sick backend is sick: in the first part of every two
// minutes, until the faults stop.
func (w *world) sick() bool {
	return time.Since(w.start)%(2*time.Minute) < 75*time.Second && time.Now().Before(w.quiet)
}

// try is a trial under way.
type try struct {
	from  *incarnation
	began time.Time
	alone bool // Of an instance that could not ask the store.
	off   bool // Of an instance whose clock was too far off, perhaps until the claim's answer.
}

// visit sends a request to its backend, by the breaker's leave.
func (w *world) visit(n *incarnation, q *request) {
	id := sound
	if q.sick {
		id = sickly
	}
	ctx := context.Background()
	began := time.Now()
	n.board.Refresh(ctx, n.clock.Now())
	d := n.board.Deployment(id)
	pass, ok := d.Admit(ctx)
	waited := time.Since(began)
	paused := n.machine.thawed()
	if n.dead.Load() {
		return
	}
	w.mu.Lock()
	if waited > 2*budget { // One for the view, which may be old, and one for a claim.
		w.violate(RuleWait, "%s waited %v for the breaker of %s", n.name, waited, id)
	}
	if !ok {
		w.tally["breaker: held back"]++
		if late := time.Now().After(w.end.Add(-judged)); late && w.config.Faults {
			w.violate(RuleRecovery, "%s still keeps requests from %s, which is well", n.name, id)
		}
	}
	w.mu.Unlock()
	if ok {
		w.call(n, id, pass, paused)
	}
}

// call is a request at the backend.
func (w *world) call(n *incarnation, id string, pass breaker.Pass, paused bool) {
	var t *try
	if pass.Trial() {
		t = w.begin(n, id, paused)
	}
	draw := script.Dice(w.config.Seed ^ uint64(n.machine.index)<<40)
	latency := 100*time.Millisecond + time.Duration(draw(uint64(2*time.Second)))
	ill := id == sickly && w.sick()
	stuck := ill && draw(4) == 0
	if stuck {
		latency = hangs
	}
	if pass.Trial() {
		latency = min(latency, pass.Deadline().Sub(n.clock.Now()))
	} else {
		latency = min(latency, 20*time.Second)
	}
	wait(max(latency, 0))
	if t != nil {
		w.finish(id, t, stuck)
	}
	n.machine.thawed()
	if n.dead.Load() {
		return
	}
	switch {
	case ill && stuck:
		pass.Failure(0)
	case ill:
		pass.Failure(503)
	case draw(200) == 0:
		pass.Abandon()
	default:
		pass.Success()
	}
}

// begin notes a trial, and judges that it is the only one: it need not be where the store
// could not be asked, where somebody was frozen or where a clock was too far off. Steps and
// wrong dates make of a clock's second up to three, until two answers have told better.
func (w *world) begin(n *incarnation, id string, paused bool) *try {
	t := &try{from: n, began: time.Now(), alone: n.board.Degraded() || paused}
	n.checkClock()
	t.off = n.offAt.Load() > t.began.Add(-budget).UnixNano()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tally[countTrials]++
	if t.off {
		w.tally[countOffTrials]++
	}
	for _, other := range w.trials[id] {
		if other.from.dead.Load() {
			continue // Its connection died with it.
		}
		m := other.from.machine
		if t.alone || other.alone || m.frozen.Load() != nil || m.thawedAt.Load() > other.began.UnixNano() {
			w.tally["breaker: trials overlap, store down or frozen"]++
			continue
		}
		if t.off || other.off {
			w.tally["breaker: trials overlap, a clock more than a second off"]++
			continue
		}
		w.violate(RuleTrial, "%s and %s both try %s: one began %v before the other", other.from.name, n.name, id, time.Since(other.began))
	}
	w.trials[id] = append(w.trials[id], t)
	return t
}

// finish notes the end of a trial.
func (w *world) finish(id string, t *try, stuck bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if stuck {
		w.tally[countHung]++
	}
	for i, other := range w.trials[id] {
		if other == t {
			w.trials[id] = append(w.trials[id][:i:i], w.trials[id][i+1:]...)
			return
		}
	}
}

// told takes the events of the breaker.
func (n *incarnation) told(e breaker.Event) {
	if e.Reason != breaker.ReasonShared {
		n.machine.world.count("breaker: " + e.Kind.String() + ", " + string(e.Reason))
	}
}
