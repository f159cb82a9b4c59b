package gateway

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"spillway/shared/objects"
	"spillway/shared/openai"
	"spillway/shared/upstream"
	"spillway/shared/usage"
)

// rememberTime bounds the wait for the table to know of a stored object. The client
// has no use for an id that nobody finds again.
const rememberTime = 2 * time.Second

// follow finds the backend that keeps the response which the request follows, and
// pins the request to it.
func (g *Gateway) follow(ctx context.Context, c *Consumer, first *Pool, req *request) *openai.Error {
	if id := req.wire.PreviousResponse; id != "" {
		object, found, err := g.Objects.Get(ctx, c.Name, objects.Response, id)
		switch {
		case err != nil:
			return unreadable()
		case found && (req.only == "" || req.only == object.Backend):
			req.only = object.Backend
		case req.asked.freshRoute:
			req.afresh = true
		case found:
			return badControl(controlBackend, fmt.Sprintf("the previous response is kept by %s", object.Backend))
		default:
			e := notFound("Previous response", id)
			e.Param, e.Code = "previous_response_id", "previous_response_not_found"
			return e
		}
	}
	refused := req.reachable(c, first)
	if refused != nil && req.mayStartAfresh() {
		req.startOver()
		refused = req.reachable(c, first)
	}
	return refused
}

// mayStartAfresh tells whether the request is pinned, and its client would rather have
// an answer without the previous response than none.
func (r *request) mayStartAfresh() bool {
	return r.asked.freshRoute && !r.afresh && r.pinned()
}

// pinned tells whether the request is held to the backend of its previous response.
func (r *request) pinned() bool { return r.only != "" && r.only != r.asked.backend }

// startOver takes the previous response out of the request.
func (r *request) startOver() { r.afresh, r.only = true, r.asked.backend }

// startAfresh takes the previous response out of a request that its backend could not
// serve, and tells whether to try once more.
func (r *request) startAfresh(ctx context.Context) bool {
	if ctx.Err() != nil || !r.mayStartAfresh() {
		return false
	}
	r.startOver()
	return true
}

// remember begins to remember the response that a backend has just stored, and
// returns what waits until it is known to all instances.
func (g *Gateway) remember(ctx context.Context, c *Consumer, req *request, h *hold, a *answer) (wait func()) {
	id := a.result.ObjectID
	if req.route.Operation != openai.Responses || !req.wire.Store || a.result.Outcome != upstream.OK || id == "" {
		return func() {}
	}
	now := g.Clock.Now()
	object := objects.Object{
		Kind: objects.Response, ID: id, Consumer: c.Name,
		Backend: a.member.Backend.Name, Deployment: a.member.Name, Model: req.model, Pool: a.pool.Name,
		Created: now, Expires: now.Add(objects.Keep),
		Pending: req.wire.Background && !a.result.HasUsage, Estimated: h.tokens,
		Spilled: a.spillover != "", Tags: req.asked.tags,
	}
	kept := make(chan struct{})
	go func() {
		defer close(kept)
		g.keep(ctx, object)
	}()
	return func() { <-kept }
}

// keep remembers an object, also when its client has left meanwhile.
func (g *Gateway) keep(ctx context.Context, object objects.Object) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rememberTime)
	defer cancel()
	if err := g.Objects.Put(ctx, object); err != nil {
		g.Unkept(object, err)
	}
}

// settleOnce tells whether nobody has been charged yet with what a response took that
// was made in the background, nor will be. Where nobody can tell, it is left to who
// asks for the response later.
func (g *Gateway) settleOnce(ctx context.Context, c *Consumer, id string) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rememberTime)
	defer cancel()
	object, found, err := g.Objects.Get(ctx, c.Name, objects.Response, id)
	if err != nil || !found {
		return err == nil // it could not be remembered: nobody will find it
	}
	first, err := g.Objects.Settle(ctx, object)
	return err == nil && first
}

// spilledBefore is noted of what a response took in the background that was spillover
// when it was made.
const spilledBefore = "background"

// charge charges the consumer with what a response took that was made in the background,
// once for all who ask for it. Its estimate was charged when it was made; what it took
// beyond that is a debt of now.
func (g *Gateway) charge(ctx context.Context, c *Consumer, object objects.Object, used usage.Tokens, record *usage.Record) {
	first, err := g.Objects.Settle(ctx, object)
	if err != nil || !first {
		return // it is billed by who asks next, or has been
	}
	record.Tokens, record.Measured = used, true
	record.Tags = cmp.Or(object.Tags, record.Tags)
	if object.Spilled {
		record.Spillover = spilledBefore
	}
	if p := c.Pools[object.Model]; p != nil {
		record.Cost = p.Price.Cost(used)
	}
	beyond := c.charge(used) - object.Estimated
	if beyond <= 0 {
		return
	}
	for _, limit := range c.limits(nil, object.Model) {
		if limit.Requests {
			continue
		}
		debt, _ := limit.Reserve(ctx, 1) // a limit without room has refused its due already
		debt.Settle(beyond)
	}
}

// notFound is the answer to an id that the consumer has nothing under, be it that
// another one has.
func notFound(what, id string) *openai.Error {
	return &openai.Error{
		Status:  http.StatusNotFound,
		Message: fmt.Sprintf("%s with id '%s' not found.", what, openai.Printable(id)),
		Type:    "invalid_request_error",
	}
}

// unreadable is the answer when it cannot be told where an object is.
func unreadable() *openai.Error {
	e := openai.Overloaded(time.Second)
	e.Message = "It cannot be told at the moment which backend keeps this. Please try again."
	e.Code = "objects_unavailable"
	return e
}

// away is the answer when the one backend that keeps an object cannot be reached.
func away(what, backend string, wait time.Duration) *openai.Error {
	e := openai.Overloaded(wait)
	e.Message = fmt.Sprintf("The backend %s, which keeps this %s, cannot be reached.", backend, strings.ToLower(what))
	e.Code = "backend_unavailable"
	return e
}
