package swarm

import (
	"context"
	"math"
	"math/rand/v2"
	"time"

	"spillway/shared/lease"
	"spillway/shared/quota"
)

// request is one request as it was drawn.
type request struct {
	limit   int
	units   int64
	actual  int64         // What it will have cost.
	hold    time.Duration // Until that is known.
	machine int
	unsent  bool // It does not reach the backend: nothing is charged.
	sick    bool // It goes to the sick backend.
	stormed bool // It came with the storm.
	patient bool // Its client asks again after a moment.
}

// budget is the longest that a request may wait for the store.
const budget = 150 * time.Millisecond

// arrivals lets the requests of all limits come until the end.
func (w *world) arrivals() {
	for i := range w.config.Limits {
		w.loops.Go(func() { w.arrive(i) })
	}
	if w.config.Storm > 0 {
		wait(w.config.Storm)
		w.storm()
	}
	wait(time.Until(w.end))
}

// storm boots all machines but the first, each for a request of its own.
func (w *world) storm() {
	random := w.random(1)
	w.mu.Lock()
	w.served = len(w.machines)
	w.mu.Unlock()
	for _, m := range w.machines[1:] {
		m.boot()
		w.count(countJoined)
	}
	for i := range w.machines[1:] {
		q := w.draw(random, 0, len(w.machines))
		q.machine, q.stormed = i+1, true
		delay := time.Duration(random.Int64N(int64(time.Second)))
		w.requests.Go(func() {
			wait(delay)
			w.serve(q)
		})
	}
}

// arrive lets the requests of one limit come, as a Poisson process.
func (w *world) arrive(limit int) {
	random := w.random(uint64(100 + limit))
	l := w.config.Limits[limit]
	for {
		wait(1 + time.Duration(random.ExpFloat64()/l.Rate*float64(time.Second)))
		since := time.Since(w.start)
		if since >= w.config.Length {
			return
		}
		if l.Bursts > 0 && (since/l.Bursts)%2 == 1 {
			wait(l.Bursts - since%l.Bursts)
			continue
		}
		w.mu.Lock()
		served := w.served
		w.mu.Unlock()
		q := w.draw(random, limit, served)
		w.requests.Go(func() { w.serve(q) })
	}
}

// draw draws a request for one of so many machines, of which a tenth gets half.
func (w *world) draw(random *rand.Rand, limit, machines int) request {
	q := request{limit: limit, units: 1, machine: random.IntN(machines)}
	if w.config.Faults && random.IntN(2) == 0 {
		q.machine /= 10
	}
	if mean := w.config.Limits[limit].Mean; mean > 0 {
		// Log-normal: its mean is e^(mu + sigma²/2).
		const sigma = 1.0
		q.units = int64(math.Ceil(mean * math.Exp(sigma*random.NormFloat64()-sigma*sigma/2)))
		if random.IntN(500) == 0 {
			q.units *= 20
		}
	}
	q.hold = time.Second + time.Duration(random.Int64N(int64(9*time.Second)))
	// Most cost less than what was reserved, some more.
	q.actual = int64(float64(q.units) * (0.2 + random.Float64()))
	q.unsent = random.IntN(50) == 0
	q.sick = random.IntN(5) == 0
	q.patient = random.IntN(2) == 0
	return q
}

// serve is a request from its arrival to its end.
func (w *world) serve(q request) {
	m := w.machines[q.machine]
	m.thawed()
	n := m.current.Load()
	if n == nil || n.ending.Load() {
		w.count(countNobody)
		return
	}
	n.open.Add(1)
	defer n.open.Add(-1)
	r, ok := w.reserve(n, &q)
	if !ok {
		return
	}
	if w.config.Breakers && q.limit == 0 && !q.unsent {
		w.visit(n, &q)
	}
	wait(q.hold)
	m.thawed()
	if !n.dead.Load() {
		w.settle(n, &q, &r)
	}
}

// granted is a reservation that was made, and where it is booked.
type granted struct {
	lease.Reservation
	account *account
}

// reserve asks the lease for a request's units, and judges the verdict.
func (w *world) reserve(n *incarnation, q *request) (granted, bool) {
	l := w.config.Limits[q.limit]
	limit := n.engine.Limit(l.Key, w.amount(q.limit), l.Period)
	for first := true; ; first = false {
		began := time.Now()
		r, v := limit.Reserve(context.Background(), q.units)
		reset := limit.Status().ResetAt
		waited := time.Since(began)
		if w.config.Defect == SlowReserve && waited > 0 {
			waited += budget
		}
		if w.config.Defect == SecretUnits && v.OK() {
			_, _ = limit.Reserve(context.Background(), q.units) // Reserved, and never told.
		}
		paused := n.machine.thawed()
		if n.dead.Load() {
			return granted{}, false
		}
		a := w.judge(n, q, v, period(l.Period, reset), waited, paused, first)
		if v.Outcome == lease.Contended && q.patient && first {
			wait(max(v.RetryAt.Sub(n.clock.Now()), 0))
			n.machine.thawed()
			continue
		}
		return granted{r, a}, v.OK()
	}
}

// period is the window that ends at a moment.
func period(p quota.Period, end time.Time) quota.Window {
	return p.Window(end.Add(-time.Second))
}

// judge judges a verdict, and books the units of a grant.
func (w *world) judge(n *incarnation, q *request, v lease.Verdict, window quota.Window, waited time.Duration, paused, first bool) *account {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.note(q, v.Outcome, waited, first)
	w.tally["verdict: "+v.Outcome.String()]++
	w.offered[sheet{q.limit, window}] += q.units
	if waited > budget {
		w.violate(RuleWait, "%s waited %v for %d of %s", n.name, waited, q.units, w.config.Limits[q.limit].Key)
	}
	now := time.Now()
	late := w.recovered(n, now)
	if !w.config.Faults && (v.Outcome == lease.Unmetered || v.Outcome == lease.Refused) {
		w.violate(RuleOutage, "%s says %v after %v, and nothing is wrong with the store", n.name, v.Outcome, waited)
	}
	switch v.Outcome {
	case lease.Granted, lease.Unmetered:
	case lease.Full:
		w.judgeFull(n, q, v, window, late)
		return nil
	case lease.Refused:
		w.judgeAlone(n, q, v.Outcome, now.Add(-waited))
		return nil
	default:
		return nil
	}
	a := n.account(q.limit, window)
	beyond := a.used + q.units - a.net - a.unmetered
	switch {
	case v.Outcome == lease.Unmetered:
		// It may have been granted more than it knows of.
		a.unmetered += max(beyond, 0)
		a.owed += q.units - min(max(beyond, 0), q.units)
		w.judgeAlone(n, q, v.Outcome, now.Add(-waited))
	case beyond > a.owed:
		w.violate(RuleSpent, "%s spent %d of %s in %d, %d more than it has been granted", n.name, q.units, w.config.Limits[q.limit].Key, window, beyond)
	case beyond > 0:
		w.tally[countForgotten]++
	}
	a.used += q.units
	end := w.config.Limits[q.limit].Period.End(window)
	early, past := window.Start().Sub(now), now.Sub(end)
	if !paused {
		f := w.figures()
		f.Off = max(f.Off, early, past)
		if bound := w.clockError(); early > bound || past > bound {
			w.violate(RuleWindow, "%s spent units of the window %v to %v at %v", n.name, window.Start(), end, now)
		}
	}
	return a
}

// judgeFull judges a refusal for want of room. The caller holds mu.
func (w *world) judgeFull(n *incarnation, q *request, v lease.Verdict, window quota.Window, late bool) {
	end := w.config.Limits[q.limit].Period.End(window)
	if v.RetryAt.After(end) {
		w.violate(RuleRecovery, "%s refuses until %v, after the end of the window at %v", n.name, v.RetryAt, end)
	}
	most, granted := w.vault.amounts(q.limit, window)
	room := most - granted
	if room < q.units {
		return
	}
	share := float64(room) / float64(most)
	f := w.figures()
	f.Needless++
	f.Room = max(f.Room, share)
	if late && share > 0.5 && q.units*64*4 < room {
		w.stubborn++
	}
}

// settle ends a request whose process still runs.
func (w *world) settle(n *incarnation, q *request, r *granted) {
	actual := q.units
	switch {
	case q.unsent:
		actual = 0
	case w.config.Limits[q.limit].Settled:
		actual = q.actual
	}
	current := r.Current(n.clock.Read())
	w.mu.Lock()
	if current {
		r.account.used += actual - q.units
	}
	if current && actual < q.units {
		r.account.returned += q.units - actual
	}
	if actual > q.units {
		r.account.owed += actual - q.units
		w.tally[countOver]++
	}
	w.mu.Unlock()
	again := r.Reservation
	r.Settle(actual)
	if w.config.Defect == DoubleSettle {
		again.Settle(actual)
	}
}
