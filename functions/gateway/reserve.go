package gateway

import (
	"context"
	"maps"
	"slices"
	"time"

	"spillway/shared/clock"
	"spillway/shared/lease"
	"spillway/shared/openai"
	"spillway/shared/usage"
)

// pool finds the consumer's pool for a model. What the consumer may not call
// does not exist for it.
func (c *Consumer) pool(model string) (*Pool, *openai.Error) {
	if p, ok := c.Pools[model]; ok {
		return p, nil
	}
	return nil, openai.ModelNotFound(model, slices.Sorted(maps.Keys(c.Pools)))
}

// hold is what a request has reserved of its consumer's limits.
type hold struct {
	consumer     *Consumer
	at           clock.Instant // when it was begun
	limits       []*Limit
	tokens       int64
	shadowed     string              // the code of the refusal that there would have been
	reservations []lease.Reservation // one per limit, in the same order
}

// reserve takes the request's tokens, and one request, from each limit of the
// consumer. When one has no room nothing stays reserved: a rejected request
// changes no counter. A limit in shadow that has no room lets the request pass
// and does not count it.
func (g *Gateway) reserve(ctx context.Context, c *Consumer, req *request) (*hold, *openai.Error) {
	h := &req.space.hold
	*h = hold{consumer: c, at: g.Clock.Read(), limits: req.limits, tokens: req.estimate.Total(), reservations: req.space.reservations[:0]}
	if len(h.limits) == 0 {
		return h, nil
	}
	h.tokens = g.consumerNeed(h, req)
	for _, limit := range h.limits {
		n := h.tokens
		if limit.Requests {
			n = 1
		}
		reservation, verdict := g.insist(ctx, limit, n, h.at)
		if !verdict.OK() {
			if verdict.Outcome == lease.Canceled {
				h.cancel()
				return nil, g.ended(ctx)
			}
			if verdict.Outcome == lease.Full {
				g.tell(c.Name, limit, Reached, limit.Status())
			}
			refused := g.overLimit(limit, n, verdict)
			if !c.Shadow {
				h.cancel()
				return nil, refused
			}
			h.shadowed = refused.Code
		}
		h.reservations = append(h.reservations, reservation)
	}
	return h, nil
}

// insist reserves, now at first, and tries again where others' writes were in the way: the
// limit may well have room, and a refusal would tell the client that it has none.
func (g *Gateway) insist(ctx context.Context, limit *Limit, n int64, now clock.Instant) (lease.Reservation, lease.Verdict) {
	const tries = 3
	for try := 1; ; try++ {
		reservation, verdict := limit.ReserveAt(ctx, n, now)
		if verdict.Outcome != lease.Contended || try == tries {
			return reservation, verdict
		}
		timer := time.NewTimer(g.until(verdict.RetryAt))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return reservation, lease.Verdict{Outcome: lease.Canceled}
		}
		now = g.Clock.Read()
	}
}

// consumerNeed is the number of tokens to reserve on each of a consumer's limits.
func (g *Gateway) consumerNeed(h *hold, req *request) int64 {
	prompt, output := req.estimate.Prompt, h.consumer.possibleOutput(req.estimate.Output)
	for _, limit := range h.limits {
		if !limit.Requests && req.straddles(limit.Limit, output, h.at) {
			prompt = g.exactPrompt(req)
			break
		}
	}
	need := max(prompt+output, 1) // a budget that is spent is spent for what has no tokens, too
	for _, limit := range h.limits {
		if !limit.Requests {
			need = req.possible(prompt, need, limit.Limit)
		}
	}
	return need
}

// need is the number of tokens to reserve, for an output of that size, on a limit
// that is settled to actual usage: the estimate, or the exact count where the
// decision hangs on it.
func (g *Gateway) need(req *request, limit *lease.Limit, output int64, now clock.Instant) int64 {
	prompt := req.estimate.Prompt
	if req.straddles(limit, output, now) {
		prompt = g.exactPrompt(req)
	}
	return req.possible(prompt, prompt+output, limit)
}

// straddles tells whether the two bounds of the estimate, with an output of that
// size, fall on different sides of what a limit has left.
func (r *request) straddles(limit *lease.Limit, output int64, now clock.Instant) bool {
	room := limit.HeadroomAt(now)
	return r.estimate.Low+output <= room && room < r.estimate.High+output
}

// possible lowers need to what a limit can ever grant, where the client set no
// maximum: a guess at the output's size must not make a request impossible.
func (r *request) possible(prompt, need int64, limit *lease.Limit) int64 {
	if r.wire.HasMaxTokens {
		return need
	}
	return max(prompt, min(need, limit.Amount()))
}

// exactPrompt counts the prompt's tokens, or estimates them where they cannot
// be counted.
func (g *Gateway) exactPrompt(req *request) int64 {
	if req.counted == 0 {
		req.counted = -1
		if prompt, exact := g.Counter.Prompt(req.model, req.wire); exact {
			req.counted = prompt
		}
	}
	if req.counted < 0 {
		return req.estimate.Prompt
	}
	return req.counted
}

// settle charges the consumer with what was really used. The first of settle
// and cancel counts.
func (h *hold) settle(used usage.Tokens) {
	tokens := h.consumer.charge(used)
	for i := range h.reservations {
		if h.limits[i].Requests {
			h.reservations[i].Settle(1)
			continue
		}
		h.reservations[i].Settle(tokens)
	}
}

// keep charges the consumer with what was reserved.
func (h *hold) keep() {
	for i := range h.reservations {
		h.reservations[i].Settle(h.reservations[i].Reserved())
	}
}

// cancel gives everything back: the request used nothing.
func (h *hold) cancel() {
	for i := range h.reservations {
		h.reservations[i].Cancel()
	}
}
