package gateway

import (
	"context"
	"maps"
	"slices"

	"spillway/shared/lease"
	"spillway/shared/openai"
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
	tokens       int64
	reservations []lease.Reservation // one per limit, in the consumer's order
}

// reserve takes the request's tokens, and one request, from each limit of the
// consumer. When one has no room nothing stays reserved: a rejected request
// changes no counter.
func (g *Gateway) reserve(ctx context.Context, c *Consumer, req *request) (*hold, *openai.Error) {
	h := &hold{consumer: c, tokens: req.estimate.Total()}
	if len(c.Limits) == 0 {
		return h, nil
	}
	h.tokens = g.consumerNeed(c, req)
	h.reservations = make([]lease.Reservation, 0, len(c.Limits))
	for _, limit := range c.Limits {
		n := h.tokens
		if limit.Requests {
			n = 1
		}
		reservation, verdict := limit.Reserve(ctx, n)
		if !verdict.OK() {
			h.cancel()
			if verdict.Outcome == lease.Canceled {
				return nil, g.ended(ctx)
			}
			return nil, g.overLimit(limit, n, verdict)
		}
		h.reservations = append(h.reservations, reservation)
	}
	return h, nil
}

// consumerNeed is the number of tokens to reserve on each of a consumer's limits.
func (g *Gateway) consumerNeed(c *Consumer, req *request) int64 {
	prompt := req.estimate.Prompt
	for _, limit := range c.Limits {
		if !limit.Requests && req.straddles(limit.Limit) {
			prompt = g.exactPrompt(req)
			break
		}
	}
	need := prompt + req.estimate.Output
	for _, limit := range c.Limits {
		if !limit.Requests {
			need = req.possible(prompt, need, limit.Limit)
		}
	}
	return need
}

// need is the number of tokens to reserve on a limit that is settled to actual
// usage: the estimate, or the exact count where the decision hangs on it.
func (g *Gateway) need(req *request, limit *lease.Limit) int64 {
	prompt := req.estimate.Prompt
	if req.straddles(limit) {
		prompt = g.exactPrompt(req)
	}
	return req.possible(prompt, prompt+req.estimate.Output, limit)
}

// straddles tells whether the two bounds of the estimate fall on different sides
// of what a limit has left.
func (r *request) straddles(limit *lease.Limit) bool {
	e, room := r.estimate, limit.Headroom()
	return e.Low+e.Output <= room && room < e.High+e.Output
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
func (h *hold) settle(tokens int64) {
	for i := range h.reservations {
		if h.consumer.Limits[i].Requests {
			h.reservations[i].Settle(1)
			continue
		}
		h.reservations[i].Settle(tokens)
	}
}

// cancel gives everything back: the request used nothing.
func (h *hold) cancel() {
	for i := range h.reservations {
		h.reservations[i].Cancel()
	}
}
