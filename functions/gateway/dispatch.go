package gateway

import (
	"context"
	"time"

	"spillway/shared/clock"
	"spillway/shared/lease"
	"spillway/shared/openai"
	"spillway/shared/pool"
	"spillway/shared/upstream"
	"spillway/shared/usage"
)

// answer is a backend's answer that the client will get, with what is reserved
// for it.
type answer struct {
	member    *Member
	pool      *Pool
	result    *upstream.Result
	charge    charge
	spill     lease.Reservation // of the consumer's cap on spillover
	spillover reason            // why a member of higher priority did not serve
}

// close ends the attempt. What was not settled by then used nothing more.
func (a *answer) close() {
	if a.result != nil {
		a.result.Close()
	}
	a.charge.cancel()
	a.spill.Cancel()
	a.member.inFlight.Add(-1)
}

// trail is what a request has tried so far, in whichever pool.
type trail struct {
	tried     map[*Deployment]skip // how each ended; nil before the first
	failed    bool                 // the last attempt failed: the next one is a retry
	exhausted bool                 // no further attempt may be made
}

// reconsider forgets those that the request was not sent to after all, so that
// they are asked again: room comes back while an attempt elsewhere takes its
// time.
func (t *trail) reconsider() {
	for d, k := range t.tried {
		if k.reason != failed && k.reason != throttled {
			delete(t.tried, d)
		}
	}
}

// note keeps how an attempt at a deployment ended.
func (t *trail) note(d *Deployment, k skip) {
	if t.tried == nil {
		t.tried = make(map[*Deployment]skip)
	}
	t.tried[d] = k
}

// forgive forgets those, too, whose own waiting time is over.
func (t *trail) forgive(now time.Time) {
	t.reconsider()
	for d, k := range t.tried {
		if k.reason == throttled && !k.readyAt.After(now) {
			delete(t.tried, d)
		}
	}
}

// turn is one request's way through one pool.
type turn struct {
	gateway  *Gateway
	consumer *Consumer
	pool     *Pool
	req      *request
	record   *usage.Record
	trail    *trail
	now      clock.Instant // when the members were looked at
	answered clock.Instant // when the last attempt ended

	surveyed field // the last survey of the pool: its memory serves the next
}

// dispatch gives the request to one member after another, and then to the
// pools of fallback models, until one answers. It returns either an answer or
// why there is none.
func (g *Gateway) dispatch(ctx context.Context, c *Consumer, first *Pool, req *request, record *usage.Record) (*answer, *openai.Error) {
	g.RetryBudget.Request(record.Start)
	tried := &req.space.trail
	*tried = trail{}
	turns := g.turns(c, first, req, record, tried)
	giveUp := record.Start.Add(first.MaxWait)
	if late := req.asked.deadline; !late.IsZero() && late.Before(giveUp) {
		giveUp = late
	}
	for {
		var short shortage
		for i := range turns {
			a, refused := turns[i].run(ctx, &short)
			if a != nil || refused != nil {
				return a, refused
			}
		}
		if !g.await(ctx, short, giveUp, record) {
			return nil, g.unserved(ctx, first, req, short)
		}
		tried.forgive(g.Clock.Now())
	}
}

// turns are the pools to try, in order: the model's own, then its fallbacks.
func (g *Gateway) turns(c *Consumer, first *Pool, req *request, record *usage.Record, trail *trail) []turn {
	turns := req.space.turns[:0]
	add := func(p *Pool) {
		turns = append(turns, turn{gateway: g, consumer: c, pool: p, req: req, record: record, trail: trail})
	}
	add(first)
	for _, model := range first.Fallbacks {
		if p, ok := c.Pools[model]; ok && p != first {
			add(p)
		}
	}
	return turns
}

// run tries the members of the pool until one answers. When none does, the
// reasons are added to short.
//
// A breaker protects a pool from its sick members as long as it has others; the
// last of them is never taken out, so when no member may serve, the one that
// opened first is asked all the same.
func (t *turn) run(ctx context.Context, short *shortage) (*answer, *openai.Error) {
	for {
		t.now = t.gateway.Clock.Read()
		m, f := t.pick()
		last := m == nil && !t.trail.exhausted
		if last {
			m = t.leastOpen(f)
		}
		if m == nil {
			t.explain(f, short)
			return nil, nil
		}
		door := m.Breaker.Admit
		if last {
			door = m.Breaker.AdmitLast
		}
		a, refused := t.attempt(ctx, m, f, door)
		if a != nil || refused != nil {
			return a, refused
		}
	}
}

// pick chooses a member that may serve, or returns nil and why none may.
func (t *turn) pick() (*Member, field) {
	if m := t.draw(); m != nil {
		return m, field{}
	}
	f := t.survey(false)
	if len(f.candidates) == 0 {
		f = t.survey(true)
	}
	if t.trail.exhausted {
		return nil, f
	}
	i := pool.Pick(t.pool.Strategy, f.candidates, t.gateway.Random)
	if i < 0 {
		return nil, f
	}
	return &t.pool.Members[f.candidates[i].Index], f
}

// draw chooses by weight among all members of the first priority, and returns the one
// that it hits if that may serve, else nil. It asks one member where survey asks a
// hundred, and chooses no differently. Let W be the weight of the priority and C that of
// its members that may serve. One of these, of weight w, is drawn with the probability
// w/W. Where the draw misses, which has the probability 1 − C/W, the survey follows and
// chooses it with w/C. Together that is w/W + (1 − C/W)·w/C = w/C, as by the survey alone.
func (t *turn) draw() *Member {
	if t.pool.Strategy != pool.Weighted || t.trail.exhausted {
		return nil
	}
	m := &t.pool.Members[t.pool.best[t.pool.shares.Draw(t.gateway.Random)]]
	if k := t.consider(m, t.now.Time(), false); k.reason != "" {
		return nil
	}
	return m
}

// explain adds the reasons for which no member serves.
func (t *turn) explain(f field, short *shortage) {
	for i, k := range f.skips {
		switch {
		case !t.allowed(&t.pool.Members[i]):
		case k.reason == "": // it may serve, but no further attempt may be made
			short.add(skip{failed, t.gateway.Clock.Now().Add(mayRetryFailed)})
		default:
			short.add(k)
		}
	}
}

// leastOpen is the member whose open breaker ends first.
func (t *turn) leastOpen(f field) *Member {
	var least *Member
	var ready time.Time
	for i, k := range f.skips {
		m := &t.pool.Members[i]
		if _, tried := t.trail.tried[m.Deployment]; k.reason != open || tried {
			continue
		}
		if least == nil || k.readyAt.Before(ready) {
			least, ready = m, k.readyAt
		}
	}
	return least
}

// spills tells whether serving from m is spillover.
func (t *turn) spills(m *Member) bool { return m.Priority > t.pool.first }

// allowed tells whether m exists for this request at all.
func (t *turn) allowed(m *Member) bool {
	return t.req.permits(m.Backend.Name) && (!t.spills(m) || !t.consumer.NoSpillover && !t.req.asked.noSpillover)
}

// await holds the request until a member may have room again, and tells
// whether it is worth another try. It never waits beyond giveUp.
func (g *Gateway) await(ctx context.Context, short shortage, giveUp time.Time, record *usage.Record) bool {
	now := g.Clock.Now()
	if short.full == 0 || short.soonest.IsZero() || short.soonest.After(giveUp) || !now.Before(giveUp) {
		return false
	}
	// Room may come back sooner than the window ends, when others settle.
	const recheck = 250 * time.Millisecond
	wait := min(recheck, giveUp.Sub(now))
	if rest := short.soonest.Sub(now); rest > 0 {
		wait = min(wait, max(rest, time.Millisecond))
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		record.Waited += wait
		return true
	case <-ctx.Done():
		return false
	}
}
