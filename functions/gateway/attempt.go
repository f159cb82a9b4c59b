package gateway

import (
	"cmp"
	"context"
	"net/http"
	"time"

	"spillway/shared/breaker"
	"spillway/shared/lease"
	"spillway/shared/openai"
	"spillway/shared/upstream"
	"spillway/shared/usage"
)

// charge is what one attempt has reserved of its deployment's limits.
type charge struct {
	accounting Accounting
	tokens     lease.Reservation
	requests   lease.Reservation
}

// settle ends the charge of a request that the backend has answered. The
// backend counted the request, and by Azure's rules its estimate for good.
func (c *charge) settle(actual int64) {
	c.requests.Settle(c.requests.Reserved())
	if c.accounting == Azure {
		actual = c.tokens.Reserved()
	}
	c.tokens.Settle(actual)
}

// keep ends the charge of a request that the backend goes on with.
func (c *charge) keep() {
	c.requests.Settle(c.requests.Reserved())
	c.tokens.Settle(c.tokens.Reserved())
}

// refused ends the charge of a request that the backend answered with 429: it
// counts as a request, and its tokens do not.
func (c *charge) refused() {
	c.requests.Settle(c.requests.Reserved())
	c.tokens.Cancel()
}

// cancel gives everything back: the backend has counted nothing.
func (c *charge) cancel() {
	c.requests.Cancel()
	c.tokens.Cancel()
}

// charge is what the request costs on a deployment that has a token limit.
func (t *turn) charge(d *Deployment) int64 {
	if d.Accounting == Azure {
		return t.req.azure
	}
	return t.gateway.need(t.req, d.Tokens, t.req.estimate.Output, t.now)
}

// spillNeed is what the request may count against the consumer's cap on spillover.
func (t *turn) spillNeed() int64 {
	return t.gateway.need(t.req, t.consumer.Spillover, t.consumer.possibleOutput(t.req.estimate.Output), t.now)
}

// reserve takes the request's tokens, and one request, from the deployment's
// limits. It is this reservation, made before anything is sent, that keeps
// parallel requests from overshooting.
func (t *turn) reserve(ctx context.Context, d *Deployment) (charge, skip) {
	c := charge{accounting: d.Accounting}
	if d.Tokens != nil {
		reservation, verdict := d.Tokens.ReserveAt(ctx, t.charge(d), t.now)
		if !verdict.OK() {
			return c, shortOf(noRoom, verdict)
		}
		c.tokens = reservation
	}
	if d.Requests != nil {
		reservation, verdict := d.Requests.ReserveAt(ctx, 1, t.now)
		if !verdict.OK() {
			c.cancel()
			return c, shortOf(noRoom, verdict)
		}
		c.requests = reservation
	}
	return c, skip{}
}

// admit is one of the two doors of a breaker: Admit, or AdmitLast.
type admit func(context.Context) (breaker.Pass, bool)

// attempt sends the request to one member. It returns an answer for the
// client, or a refusal that ends the request, or neither: then the member is
// marked as tried and the next one's turn has come.
func (t *turn) attempt(ctx context.Context, m *Member, f field, door admit) (*answer, *openai.Error) {
	if !t.mayTry() {
		return nil, nil
	}
	spill, ok := t.reserveSpill(ctx, m)
	if !ok {
		return nil, nil
	}
	charge, short := t.reserve(ctx, m.Deployment)
	if short.reason != "" {
		spill.Cancel()
		t.trail.note(m.Deployment, short)
		return nil, nil
	}
	pass, ok := door(ctx)
	if ok && t.tooLate(pass) {
		pass.Abandon()
		ok = false
	}
	if !ok {
		spill.Cancel()
		charge.cancel()
		t.trail.note(m.Deployment, skip{open, m.Breaker.View().ReadyAt(t.gateway.Clock.Now())})
		return nil, nil
	}
	a := &t.req.space.answer
	*a = answer{member: m, pool: t.pool, charge: charge, spill: spill, spillover: t.whySpilled(m, f)}
	a.member.inFlight.Add(1)
	defer func() {
		if a.result == nil { // a panic is passing through
			pass.Abandon()
			a.close()
		}
	}()
	a.result = t.send(ctx, m, pass)
	t.trail.reconsider() // it may have taken long
	if t.conclude(a, pass) {
		return a, nil
	}
	a.close()
	return nil, t.gateway.ended(ctx)
}

// tooLate tells whether a trial's time has passed since it was claimed: the process
// was frozen, and the next trial may be running elsewhere.
func (t *turn) tooLate(pass breaker.Pass) bool {
	deadline := pass.Deadline()
	return !deadline.IsZero() && !t.gateway.Clock.Now().Before(deadline)
}

// mayTry tells whether another attempt may be made. One that follows a failure
// must be within the retry budget: an outage must not multiply its own load.
func (t *turn) mayTry() bool {
	if t.trail.failed && !t.gateway.RetryBudget.TakeRetry(t.gateway.Clock.Now()) {
		t.trail.exhausted = true
	}
	t.trail.failed = false
	return !t.trail.exhausted
}

// reserveSpill takes the tokens from the consumer's cap on spillover, where m
// is spillover and a cap is set.
func (t *turn) reserveSpill(ctx context.Context, m *Member) (lease.Reservation, bool) {
	if t.consumer.Spillover == nil || !t.spills(m) {
		return lease.Reservation{}, true
	}
	reservation, verdict := t.consumer.Spillover.Reserve(ctx, t.spillNeed())
	if verdict.OK() {
		return reservation, true
	}
	if t.consumer.Shadow {
		t.record.Shadowed = shadowedSpill
		return lease.Reservation{}, true
	}
	short := shortOf(capped, verdict)
	for i := range t.pool.Members {
		if other := &t.pool.Members[i]; t.spills(other) {
			t.trail.note(other.Deployment, short)
		}
	}
	return lease.Reservation{}, false
}

// shadowedSpill is noted where only shadow lets a request spill over.
const shadowedSpill = "spillover_limit_exceeded"

// whySpilled is the reason for which the best member of a higher priority does
// not serve, or "" where m is of the first priority.
func (t *turn) whySpilled(m *Member, f field) reason {
	best, why := m.Priority, reason("")
	for i, k := range f.skips {
		other := &t.pool.Members[i]
		if tried, ok := t.trail.tried[other.Deployment]; ok {
			k = tried
		}
		if other.Priority < best && k.reason != "" {
			best, why = other.Priority, k.reason
		}
	}
	return why
}

// send makes the attempt itself.
func (t *turn) send(ctx context.Context, m *Member, pass breaker.Pass) *upstream.Result {
	wire := t.req.wire
	askUsage := wire.Stream && !wire.IncludeUsage && asksUsage(t.req.route.Operation) && m.reportsUsage(t.req.route)
	result := t.call(ctx, m, pass, askUsage)
	if result.Reason == upstream.ReasonStreamOptions {
		// An old model: it refused what we have put into the request ourselves.
		result.Close()
		m.refusesStreamOptions.Store(true)
		result = t.call(ctx, m, pass, false)
	}
	return result
}

// call sends the request once.
func (t *turn) call(ctx context.Context, m *Member, pass breaker.Pass, askUsage bool) *upstream.Result {
	start := t.gateway.Clock.Read()
	if t.req.span != nil {
		t.req.span.Attempt(t.req.header)
	}
	call := upstream.Call{
		Operation:  t.req.route.Operation,
		Deployment: m.Name,
		APIVersion: t.req.route.APIVersion,
		Header:     t.req.header,
		Body:       t.req.body(openai.Patch{Model: m.modelField(t.req), IncludeUsage: askUsage, DropPrevious: t.req.afresh}),
		Stream:     t.req.wire.Stream,
		DropUsage:  askUsage,
	}
	if deadline := pass.Deadline(); !deadline.IsZero() {
		// A trial that outlived its claim would overlap with the next one's.
		call.Within = max(time.Millisecond, deadline.Sub(start.Time()))
	}
	result := t.gateway.Upstream.DoIn(ctx, &t.req.space.result, m.Backend, call)
	t.answered = t.gateway.Clock.Read()
	t.record.Attempts = append(t.record.Attempts, usage.Attempt{
		Deployment: m.ID,
		Status:     result.Status,
		Reason:     cmp.Or(result.Reason, "ok"),
		Duration:   t.answered.Since(start),
		Spilled:    t.spills(m),
		Region:     m.Backend.Region,
	})
	return result
}

// conclude learns from an attempt, and tells whether its answer is the
// client's.
func (t *turn) conclude(a *answer, pass breaker.Pass) bool {
	g, m, result := t.gateway, a.member, a.result
	now := t.answered.Time()
	if a.charge.tokens.Current(t.answered) {
		m.correct(result.RateLimit, now)
	}
	switch result.Outcome {
	case upstream.OK, upstream.ClientFault:
		pass.SuccessAt(now)
		m.Latency.Observe(result.TimeToFirstByte, now)
		return true
	case upstream.Throttled:
		until := now.Add(g.throttle(result))
		pass.Throttled(until, result.Status)
		a.charge.refused()
		t.trail.note(m.Deployment, skip{throttled, until})
	case upstream.Canceled:
		pass.Abandon()
		if result.Sent { // the backend goes on, and bills the prompt at least
			servedBy(t.record, a)
			t.record.Tokens.Prompt = t.gateway.exactPrompt(t.req)
			t.record.Cost = t.pool.Price.Cost(t.record.Tokens)
			a.charge.settle(t.record.Tokens.Prompt)
		}
	default: // failed or broken
		if result.CountsOnBreaker() {
			pass.Failure(result.Status)
		} else {
			pass.Abandon()
		}
		if result.Sent {
			a.charge.settle(0)
			if result.Outcome == upstream.Failed {
				t.req.failed = append(t.req.failed, len(t.record.Attempts)-1)
			}
		}
		t.trail.note(m.Deployment, skip{failed, now.Add(mayRetryFailed)})
		t.trail.failed = true
	}
	t.trail.exhausted = g.MaxAttempts > 0 && len(t.record.Attempts) >= g.MaxAttempts
	return false
}

// defaultThrottle is how long a backend is left alone after a 429 that names
// no waiting time.
const defaultThrottle = 10 * time.Second

// throttle is how long a backend that answered 429 is left alone. The cap
// stands against waiting times of a day, which Azure has sent.
func (g *Gateway) throttle(r *upstream.Result) time.Duration {
	if !r.HasRetryAfter {
		return min(defaultThrottle, g.MaxRetryAfter)
	}
	return min(r.RetryAfter, g.MaxRetryAfter)
}

// correctionLife bounds how long a remaining count without a reset time is
// believed: the backend's window may end long before ours does.
const correctionLife = 10 * time.Second

// correct lowers the view of the deployment's room to what the backend itself
// has reported: others may use it too, and limits are cut at times. It must
// have a token limit, and the report must be of the window that runs.
func (d *Deployment) correct(seen upstream.RateLimit, now time.Time) {
	if seen.LimitTokens > 0 {
		d.Tokens.CorrectAmount(seen.LimitTokens)
	}
	if seen.RemainingTokens > 0 || seen.RemainingTokens == 0 && seen.LimitTokens > 0 {
		d.Tokens.CorrectRemaining(seen.RemainingTokens, now.Add(cmp.Or(seen.ResetTokens, correctionLife)))
	}
}

// reportsUsage tells whether the backend understands stream_options.
func (d *Deployment) reportsUsage(route openai.Route) bool {
	if d.refusesStreamOptions.Load() {
		return false
	}
	if d.Backend.Dialect != openai.Azure {
		return true
	}
	version := d.Backend.APIVersion
	if version == "" {
		version = route.APIVersion
	}
	return openai.SupportsStreamOptions(version)
}

// asksUsage tells the operations whose streams report their usage only to those who
// ask for it.
func asksUsage(op openai.Operation) bool {
	return op == openai.ChatCompletions || op == openai.Completions
}

// body is the request's body for a backend.
func (r *request) body(p openai.Patch) upstream.Body {
	if r.form != nil {
		return r.form.Body(p.Model)
	}
	return r.wire.Body(p)
}

// modelField is the name to write into the body: where the path names the
// deployment the body stays as it is.
func (d *Deployment) modelField(req *request) string {
	if !req.route.Operation.ModelInBody(d.Backend.Dialect) || req.wire.Model == d.Name {
		return ""
	}
	return d.Name
}

var _ http.Handler = (*Gateway)(nil)
