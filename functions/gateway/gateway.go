// Package gateway is the request path: one http.Handler that authenticates a
// call, reserves its tokens before anything is sent, finds a deployment that
// has room, relays the answer as it comes and settles what was really used.
//
// The steps are read top to bottom in serve; each has a file of its own.
package gateway

import (
	"context"
	"errors"
	"net/http"
	"runtime/debug"
	"time"

	"spillway/shared/breaker"
	"spillway/shared/clock"
	"spillway/shared/openai"
	"spillway/shared/pool"
	"spillway/shared/store"
	"spillway/shared/tokens"
	"spillway/shared/upstream"
	"spillway/shared/usage"
)

// Options are the parts that a Gateway is made of. All are required, but for Trace
// and Random.
type Options struct {
	// Authenticate says who is calling, or why the caller is refused.
	Authenticate func(context.Context, *http.Request) (Caller, *openai.Error)
	Estimator    *tokens.Estimator
	Counter      *tokens.Counter
	Breakers     *breaker.Board
	Upstream     *upstream.Client
	Clock        *clock.Clock
	RetryBudget  *pool.RetryBudget
	// MaxAttempts bounds the attempts of one request; 0: every member once.
	MaxAttempts int
	// MaxRetryAfter caps the waiting time that a backend may ask for.
	MaxRetryAfter time.Duration
	// Total bounds a request from its arrival to the last byte of its answer.
	Total time.Duration
	// BodyIdle bounds the wait for the next bytes of a request's body.
	BodyIdle time.Duration
	// MaxBody is the largest request body in bytes.
	MaxBody int64
	// Record is given each finished request, exactly once.
	Record func(*usage.Record)
	// Trace begins to trace a request, or returns nil if it is not to be traced. The
	// record is the request's, and may be told the id of the trace. Nil: no request is
	// traced, and a client's traceparent goes on to the backend as it is.
	Trace func(client http.Header, record *usage.Record) Span
	// Notice is told of limits that are nearly or wholly used; nil: nobody is. It is
	// called by many goroutines.
	Notice func(Notice)
	// Fault is told of a panic in the request path, and where it was.
	Fault func(fault any, stack []byte)
	// Random returns a uniform number in [0, n). Nil: the runtime's generator.
	Random func(n uint64) uint64
}

// Gateway serves the OpenAI API from pools of deployments. It is safe for
// concurrent use.
type Gateway struct {
	Options
	bodies bodyPool
}

// New makes a Gateway of its parts.
func New(o Options) (*Gateway, error) {
	switch {
	case o.Authenticate == nil, o.Estimator == nil, o.Counter == nil, o.Breakers == nil,
		o.Upstream == nil, o.Clock == nil, o.RetryBudget == nil, o.Record == nil, o.Fault == nil:
		return nil, errors.New("gateway: a part is missing")
	case o.Total <= 0, o.BodyIdle <= 0, o.MaxBody <= 0, o.MaxRetryAfter <= 0:
		return nil, errors.New("gateway: a time or size limit is not positive")
	}
	if o.Random == nil {
		o.Random = randomBelow
	}
	return &Gateway{Options: o}, nil
}

// ServeHTTP answers one request and records it. A panic is answered with a
// 500: a Functions host would otherwise run the request again, and a Lambda
// process would end.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	out := &response{ResponseWriter: w, clock: g.Clock}
	record := g.open(out, r)
	var span Span // nil: the request is not traced
	defer func() {
		if fault := recover(); fault != nil {
			g.Fault(fault, debug.Stack())
			if out.started {
				out.broken = true
			} else {
				g.refuse(out, record, openai.Internal())
			}
		}
		g.notice(record.Consumer, out.limits)
		record.Status = out.status
		record.Duration = g.Clock.Now().Sub(record.Start)
		if span != nil {
			span.End()
		}
		g.Record(record)
		if out.broken {
			panic(http.ErrAbortHandler) // net/http's way to end a connection early
		}
	}()
	if g.Trace != nil {
		span = g.Trace(r.Header, record)
	}
	if refused := g.serve(out, r, record, span); refused != nil {
		g.refuse(out, record, refused)
	}
}

// serve is the request path. It returns why the request is refused, or nil
// once an answer has begun.
func (g *Gateway) serve(w *response, r *http.Request, record *usage.Record, span Span) *openai.Error {
	route, refused := findRoute(r)
	if refused != nil {
		return refused
	}
	caller, refused := g.Authenticate(r.Context(), r)
	if refused != nil {
		return refused
	}
	consumer := caller.Consumer
	record.Consumer, record.Credential = consumer.Name, caller.Credential
	w.limits = consumer.Limits

	body, refused := g.readBody(w, r)
	if refused != nil {
		return refused
	}
	req, refused := g.parse(route, r, body.bytes)
	if refused != nil {
		body.release()
		return refused
	}
	defer req.wire.Release(body.release)
	defer g.countFailed(req, record)
	req.span = span
	record.Operation, record.Model, record.Stream = route.Operation.String(), req.model, req.wire.Stream
	first, refused := consumer.pool(req.model)
	if refused != nil {
		return refused
	}
	record.Pool = first.Name
	w.limits = consumer.limits(req.model)

	ctx, cancel := context.WithTimeoutCause(r.Context(), g.Total, errTotal)
	defer cancel()
	ctx = store.WithPatience(ctx, storePatience)
	hold, refused := g.reserve(ctx, consumer, req)
	if refused != nil {
		return refused
	}
	defer hold.cancel()
	record.Estimated, record.Shadowed = hold.tokens, hold.shadowed

	answer, refused := g.dispatch(ctx, consumer, first, req, record)
	if refused != nil {
		if record.Tokens.Total() > 0 { // by a call whose client left
			hold.settle(record.Tokens)
		}
		return refused
	}
	defer answer.close()
	g.reply(w, req, hold, answer, record)
	return nil
}

// storePatience is how long one request waits for a store that is slow or down,
// over all limits and breakers that it meets.
const storePatience = 150 * time.Millisecond

// errTotal is the cause of a request that took longer than Options.Total.
var errTotal = errors.New("gateway: request took too long")
