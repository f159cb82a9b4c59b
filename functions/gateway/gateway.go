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
	"spillway/shared/objects"
	"spillway/shared/openai"
	"spillway/shared/pool"
	"spillway/shared/tokens"
	"spillway/shared/upstream"
	"spillway/shared/usage"
)

// Options are the parts that a Gateway is made of. All are required, but for Folder,
// Trace, Notice, Unkept and Random.
type Options struct {
	// Authenticate says who is calling, or why the caller is refused. The instant is that
	// of the request's arrival.
	Authenticate func(context.Context, *http.Request, clock.Instant) (Caller, *openai.Error)
	Estimator    *tokens.Estimator
	Counter      *tokens.Counter
	Breakers     *breaker.Board
	Upstream     *upstream.Client
	// Objects knows which backend keeps what a consumer has stored there, and Backends
	// are all backends by their names.
	Objects     *objects.Registry
	Backends    map[string]*upstream.Backend
	Clock       *clock.Clock
	RetryBudget *pool.RetryBudget
	// MaxAttempts bounds the attempts of one request; 0: every member once.
	MaxAttempts int
	// MaxRetryAfter caps the waiting time that a backend may ask for.
	MaxRetryAfter time.Duration
	// Total bounds a request from its arrival to the last byte of its answer.
	Total time.Duration
	// BodyIdle bounds the wait for the next bytes of a request's body. Whoever calls
	// ServeHTTP has bounded the wait for the first ones.
	BodyIdle time.Duration
	// MaxBody is the largest request body in bytes.
	MaxBody int64
	// Folder is where forms are kept that are too large for memory, while they are
	// sent; empty: the system's folder for temporary files.
	Folder string
	// Record is given each finished request, exactly once. The record is the next
	// request's when it returns; what it refers to stays as it is.
	Record func(*usage.Record)
	// Trace begins to trace a request, or returns nil if it is not to be traced. The
	// record is the request's, and may be told the id of the trace. Nil: no request is
	// traced, and a client's traceparent goes on to the backend as it is.
	Trace func(client http.Header, record *usage.Record) Span
	// Notice is told of limits that are nearly or wholly used; nil: nobody is. It is
	// called by many goroutines.
	Notice func(Notice)
	// Unkept is told of an object that was stored and could not be remembered: its
	// client will not find it again.
	Unkept func(objects.Object, error)
	// Fault is told of a panic in the request path, and where it was, and of an error
	// of this host, such as a full disk, without a stack.
	Fault func(fault any, stack []byte)
	// Random returns a uniform number in [0, n). Nil: the runtime's generator.
	Random func(n uint64) uint64
}

// Gateway serves the OpenAI API from pools of deployments. It is safe for
// concurrent use.
type Gateway struct {
	Options
	bodies     bodyPool
	workspaces workspaces
}

// New makes a Gateway of its parts.
func New(o Options) (*Gateway, error) {
	switch {
	case o.Authenticate == nil, o.Estimator == nil, o.Counter == nil, o.Breakers == nil,
		o.Upstream == nil, o.Objects == nil, o.Clock == nil, o.RetryBudget == nil, o.Record == nil, o.Fault == nil:
		return nil, errors.New("gateway: a part is missing")
	case o.Total <= 0, o.BodyIdle <= 0, o.MaxBody <= 0, o.MaxRetryAfter <= 0:
		return nil, errors.New("gateway: a time or size limit is not positive")
	}
	if o.Random == nil {
		o.Random = randomBelow
	}
	if o.Unkept == nil {
		o.Unkept = func(objects.Object, error) {}
	}
	return &Gateway{Options: o}, nil
}

// ServeHTTP answers one request and records it. A panic is answered with a
// 500: a Functions host would otherwise run the request again, and a Lambda
// process would end.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	space := g.workspaces.take()
	out, record := &space.response, &space.record
	out.ResponseWriter, out.clock, out.arrived = w, g.Clock, g.Clock.Read()
	openRecord(record, r, out.arrived)
	var span Span // nil: the request is not traced
	defer func() {
		if fault := recover(); fault != nil {
			space.spoiled = true
			g.Fault(fault, debug.Stack())
			if out.started {
				out.broken = true
			} else {
				g.refuse(out, record, openai.Internal())
			}
		}
		now := g.Clock.Read()
		g.notice(record.Consumer, out.limits, now)
		record.Status = out.status
		record.Duration = now.Since(out.arrived)
		if span != nil {
			span.End()
		}
		g.Record(record)
		if out.broken {
			panic(http.ErrAbortHandler) // net/http's way to end a connection early
		}
		g.workspaces.give(space)
	}()
	if g.Trace != nil {
		span = g.Trace(r.Header, record)
	}
	if refused := g.serve(out, r, space, span); refused != nil {
		g.refuse(out, record, refused)
	}
}

// visit is a request whose sender and purpose are known.
type visit struct {
	consumer *Consumer
	route    openai.Route
	asked    controls
	record   *usage.Record
	span     Span       // nil: the request is not traced
	space    *workspace // that of the request itself and of its record
}

// serve finds out who asks for what, and has it served. It returns why the request is
// refused, or nil once an answer has begun.
//
// While an answer streams, for minutes, this and all that it calls is on the stack of a
// goroutine, and the runtime gives a stack back only as far as little of it is used. So
// what is done before is done in functions of its own.
func (g *Gateway) serve(w *response, r *http.Request, space *workspace, span Span) *openai.Error {
	v, refused := g.admit(w, r, space)
	if refused != nil {
		return refused
	}
	v.span = span
	kind, stored := storedKind(v.route.Operation)
	switch {
	case v.route.Operation == openai.ListModels, v.route.Operation == openai.GetModel:
		return g.models(w, v)
	case stored:
		return g.serveStored(w, r, v, kind)
	default:
		return g.generate(w, r, v)
	}
}

// admit finds out who asks for what.
func (g *Gateway) admit(w *response, r *http.Request, space *workspace) (*visit, *openai.Error) {
	route, refused := findRoute(r)
	if refused != nil {
		return nil, refused
	}
	caller, refused := g.Authenticate(r.Context(), r, w.arrived)
	if refused != nil {
		return nil, refused
	}
	consumer, record := caller.Consumer, &space.record
	record.Consumer, record.Credential = consumer.Name, caller.Credential
	record.Operation = route.Operation.String()
	w.limits = consumer.limits(space.limits[:0], "")
	asked, refused := readControls(r.Header, consumer, record.Start)
	if refused != nil {
		return nil, refused
	}
	record.Tags = asked.tags
	space.visit = visit{consumer: consumer, route: route, asked: asked, record: record, space: space}
	return &space.visit, nil
}

// generate is the path of a request that a model answers.
func (g *Gateway) generate(w *response, r *http.Request, v *visit) *openai.Error {
	req, refused := g.read(v, w, r)
	if refused != nil {
		return refused
	}
	defer g.leave(req)
	ctx := g.bound(r.Context(), v)
	defer unbind(v.space)
	return g.serveModel(ctx, w, req)
}

// serveModel serves a request that has been read.
func (g *Gateway) serveModel(ctx context.Context, w *response, req *request) *openai.Error {
	first, refused := g.choose(ctx, w, req)
	if refused != nil {
		return refused
	}
	hold, refused := g.reserve(ctx, req.consumer, req)
	if refused != nil {
		return refused
	}
	defer hold.cancel()
	answer, refused := g.obtain(ctx, first, req, hold)
	if refused != nil {
		return refused
	}
	defer answer.close()
	g.reply(ctx, w, req, hold, answer)
	return nil
}

// leave ends a request that was read.
func (g *Gateway) leave(req *request) {
	defer req.release()
	g.countFailed(req, req.record)
}

// choose finds the pool that a request is for, and what it follows.
func (g *Gateway) choose(ctx context.Context, w *response, req *request) (*Pool, *openai.Error) {
	consumer, record := req.consumer, req.record
	record.Model, record.Stream = req.model, req.wire.Stream
	first, refused := consumer.pool(req.model)
	if refused != nil {
		return nil, refused
	}
	record.Pool = first.Name
	req.limits = consumer.limits(req.space.limits[:0], req.model)
	w.limits = req.limits
	return first, g.follow(ctx, consumer, first, req)
}

// obtain gets an answer for a request that has been reserved.
func (g *Gateway) obtain(ctx context.Context, first *Pool, req *request, hold *hold) (*answer, *openai.Error) {
	consumer, record := req.consumer, req.record
	record.Estimated, record.Shadowed = hold.tokens, hold.shadowed
	g.Breakers.Refresh(ctx, hold.at.Time())
	answer, refused := g.dispatch(ctx, consumer, first, req, record)
	if refused != nil && req.startAfresh(ctx) {
		answer, refused = g.dispatch(ctx, consumer, first, req, record)
	}
	if refused != nil && record.Tokens.Total() > 0 { // by a call whose client left
		hold.settle(record.Tokens)
	}
	return answer, refused
}

// The causes of a request that took longer than Options.Total, or than its client
// had time for.
var (
	errTotal    = errors.New("gateway: request took too long")
	errDeadline = errors.New("gateway: the client's deadline has passed")
)
