package app

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"spillway/functions/gateway"
	"spillway/shared/breaker"
	"spillway/shared/clock"
	"spillway/shared/lease"
	"spillway/shared/openai"
	"spillway/shared/upstream"
)

// forms are the smallest requests that make a model work. Which one a deployment
// takes depends on its model, of which only the backend knows: one that refuses a
// form is sent the next, and what it takes is remembered.
//
// A request that is merely well-formed would not do: a service's front may go on
// finding fault with requests while nothing behind it generates.
var forms = [...]struct {
	operation openai.Operation
	body      string
}{
	{openai.ChatCompletions, `{"messages":[{"role":"user","content":"."}],"max_tokens":1}`},
	{openai.ChatCompletions, `{"messages":[{"role":"user","content":"."}],"max_completion_tokens":1}`},
	{openai.Embeddings, `{"input":"."}`},
	{openai.Completions, `{"prompt":".","max_tokens":1}`},
}

const (
	// probeTokens is what a probe may cost at most: a dot in its message's
	// wrapping, and the answer.
	probeTokens = 10
	// defaultThrottle is how long a 429 that names no time is believed.
	defaultThrottle = 10 * time.Second
	// probeMargin is kept of a probe's time, so that a backend which does not
	// answer is found out before the probe is called off.
	probeMargin = 250 * time.Millisecond
)

// prober sends probes to deployments. It is safe for concurrent use.
type prober struct {
	upstream *upstream.Client
	clock    *clock.Clock
	events   events
	targets  map[string]*target // by the deployment's id
}

// target is a deployment that may be probed.
type target struct {
	*gateway.Deployment
	form atomic.Int64 // of forms: the one it takes, as far as is known
}

func newProber(u *upstream.Client, c *clock.Clock, e events, deployments []*gateway.Deployment) *prober {
	p := &prober{upstream: u, clock: c, events: e, targets: make(map[string]*target, len(deployments))}
	for _, d := range deployments {
		p.targets[d.ID] = &target{Deployment: d}
	}
	return p
}

// finding is what a probe has found out. The zero value is nothing.
type finding struct {
	answered bool
	outcome  upstream.Outcome
	status   int
	reason   string
	until    time.Time // if throttled
	counts   bool      // a failure to the breaker
}

// probe sends one small request to the deployment, and reports how it went to
// the pass. It is judged as a user's request would be, or probes would close what
// requests open: an answer that blames the request is one of a healthy
// deployment, and a refused key, though it says nothing of health, keeps the
// deployment out as long as it would refuse the users' requests, too.
func (p *prober) probe(ctx context.Context, id string, pass breaker.Pass) {
	var found finding
	defer func() { found.report(pass) }() // of a panic, too
	if t := p.targets[id]; t != nil {
		found = p.ask(ctx, t)
	}
	if found.answered {
		p.events.probed(id, found)
	}
}

// report tells the pass.
func (f finding) report(pass breaker.Pass) {
	switch {
	case !f.answered:
		pass.Abandon()
	case f.outcome == upstream.OK, f.outcome == upstream.ClientFault:
		pass.Success()
	case f.outcome == upstream.Throttled:
		pass.Throttled(f.until, f.status)
	case f.counts:
		pass.Failure(f.status)
	default:
		pass.Abandon()
	}
}

// ask sends one form after another until the deployment takes one. If it takes
// none, a refusal that blames the request tells more than one that knows no such
// path. If the deployment's limit has no room nothing is sent, and nothing found.
func (p *prober) ask(ctx context.Context, t *target) finding {
	var found finding
	first := t.form.Load()
	for i := range int64(len(forms)) {
		form := (first + i) % int64(len(forms))
		f := p.send(ctx, t, form)
		switch {
		case !f.answered:
			return found
		case !f.refused():
			t.form.Store(form)
			return f
		case !found.answered || f.outcome == upstream.ClientFault:
			found = f
		}
	}
	return found
}

// refused tells whether another form may do better.
func (f finding) refused() bool {
	return f.outcome == upstream.ClientFault || f.outcome == upstream.Broken && f.status == http.StatusNotFound
}

// send sends one form within what the deployment's limits have left.
func (p *prober) send(ctx context.Context, t *target, form int64) finding {
	held, ok := reserveProbe(ctx, t.Deployment)
	if !ok {
		return finding{}
	}
	defer held.cancel()
	f := forms[form]
	wire, fault := openai.ParseRequest(f.operation, []byte(f.body))
	if fault != nil {
		return finding{}
	}
	var patch openai.Patch
	if f.operation.ModelInBody(t.Backend.Dialect) {
		patch.Model = t.Name
	}
	call := upstream.Call{Operation: f.operation, Deployment: t.Name, Body: wire.Body(patch)}
	call.Header = http.Header{"Content-Type": {"application/json"}}
	if deadline, ok := ctx.Deadline(); ok {
		call.Within = max(time.Until(deadline)-probeMargin, time.Millisecond)
	}
	result := p.upstream.Do(ctx, t.Backend, call)
	defer result.Close()
	held.settle(result)
	return p.judge(result)
}

// judge sums up how a request ended.
func (p *prober) judge(r *upstream.Result) finding {
	f := finding{
		answered: r.Outcome != upstream.Canceled,
		outcome:  r.Outcome,
		status:   r.Status,
		reason:   r.Reason,
		counts:   r.CountsOnBreaker(),
	}
	if r.Outcome == upstream.Throttled {
		wait := defaultThrottle
		if r.HasRetryAfter {
			wait = r.RetryAfter
		}
		f.until = p.clock.Now().Add(wait)
	}
	return f
}

// probeHold is what a probe has reserved of its deployment's limits.
type probeHold struct {
	accounting gateway.Accounting
	tokens     lease.Reservation
	requests   lease.Reservation
}

// reserveProbe reserves for one probe: it counts at the backend as any request
// does, and where there is no room for it, it would find out nothing but that.
func reserveProbe(ctx context.Context, d *gateway.Deployment) (h probeHold, ok bool) {
	h.accounting = d.Accounting
	if d.Tokens != nil {
		reservation, verdict := d.Tokens.Reserve(ctx, probeTokens)
		if !verdict.OK() {
			return h, false
		}
		h.tokens = reservation
	}
	if d.Requests != nil {
		reservation, verdict := d.Requests.Reserve(ctx, 1)
		if !verdict.OK() {
			h.cancel()
			return h, false
		}
		h.requests = reservation
	}
	return h, true
}

// settle ends the hold of a request as the backend counts it.
func (h *probeHold) settle(r *upstream.Result) {
	if !r.Sent {
		return
	}
	h.requests.Settle(h.requests.Reserved())
	switch {
	case r.Outcome == upstream.Throttled:
		h.tokens.Cancel()
	case h.accounting == gateway.Azure:
		h.tokens.Settle(h.tokens.Reserved())
	default:
		h.tokens.Settle(r.Usage.Total)
	}
}

// cancel gives back what is not settled.
func (h *probeHold) cancel() {
	h.tokens.Cancel()
	h.requests.Cancel()
}
