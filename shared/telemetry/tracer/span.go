package tracer

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"spillway/shared/telemetry/meter"
	"spillway/shared/usage"
)

// Span is a request that is traced. It belongs to the request's goroutine.
type Span struct {
	tracer *Tracer
	ctx    context.Context // of the server's span
	server trace.Span
	record *usage.Record

	attempt trace.Span // the one that runs, or ran last; nil: none
	began   time.Time  // when it did
	told    int        // how many of the record's attempts have their span
}

// Attempt begins the span of an attempt, and puts its traceparent into the headers
// that are to be sent. It ends the span of the attempt before, which by now is the
// last of the record.
func (s *Span) Attempt(header http.Header) {
	s.endAttempt(false)
	s.began = time.Now()
	var ctx context.Context
	ctx, s.attempt = s.tracer.tracer.Start(s.ctx, "attempt", trace.WithSpanKind(trace.SpanKindClient), trace.WithTimestamp(s.began))
	delete(header, "Tracestate") // that of a client whose traceparent cannot be read belongs to nothing
	w3c.Inject(ctx, propagation.HeaderCarrier(header))
}

// End ends the span of the request, by its record. The attempt that served has lasted
// until now.
func (s *Span) End() {
	s.endAttempt(true)
	r := s.record
	s.server.SetName(name(http.MethodPost, r.Operation))
	a := make(attributes, 0, mostAttributes)
	a.request(r)
	a.served(r)
	a.text("http.request.method", http.MethodPost)
	a.text("spillway.request.id", r.RequestID)
	a.text("spillway.consumer", r.Consumer)
	a.text("spillway.pool", r.Pool)
	a.text("spillway.spill.reason", r.Spillover)
	a.text("spillway.shadowed", r.Shadowed)
	a.text("error.type", meter.ErrorType(r))
	a = append(a,
		attribute.Int("http.response.status_code", r.Status),
		attribute.Int("spillway.attempts", len(r.Attempts)),
	)
	if r.Waited > 0 {
		a = append(a, attribute.Float64("spillway.queue.wait", r.Waited.Seconds()))
	}
	s.server.SetAttributes(a...)
	if r.Status >= http.StatusInternalServerError {
		s.server.SetStatus(codes.Error, "")
	}
	s.server.End()
}

// endAttempt ends the span of the last attempt, if one is open. An attempt that failed
// ended when it was judged; the one that served, with the request.
func (s *Span) endAttempt(final bool) {
	if s.attempt == nil {
		return
	}
	r, ended := s.record, time.Now()
	a := make(attributes, 0, mostAttributes)
	a.request(r)
	if s.told < len(r.Attempts) { // else a panic has passed through
		tried := r.Attempts[s.told]
		s.told++
		backend, deployment, _ := strings.Cut(tried.Deployment, "/")
		a = append(a, s.tracer.backends[backend]...)
		a.text("spillway.deployment", deployment)
		if tried.Status != 0 {
			a = append(a, attribute.Int("http.response.status_code", tried.Status))
		}
		if n := s.told - 1; n > 0 {
			a = append(a, attribute.Int("http.request.resend_count", n))
		}
		if served := final && r.Backend == backend && r.Deployment == deployment; served {
			a.served(r)
		} else {
			ended = s.began.Add(tried.Duration)
		}
		if tried.Reason != "ok" {
			a.text("error.type", tried.Reason)
			s.attempt.SetStatus(codes.Error, "")
		} else if tried.Status >= http.StatusBadRequest {
			a.text("error.type", strconv.Itoa(tried.Status))
			s.attempt.SetStatus(codes.Error, "")
		}
	}
	s.attempt.SetName(name(r.Operation, known(r)))
	s.attempt.SetAttributes(a...)
	s.attempt.End(trace.WithTimestamp(ended))
	s.attempt = nil
}

func name(first, second string) string {
	if first == "" || second == "" {
		return meter.Value(first + second)
	}
	return meter.Value(first + " " + second)
}

// known is the request's model, if anybody serves it.
func known(r *usage.Record) string {
	if r.Pool == "" {
		return ""
	}
	return r.Model
}

// attributes are being put together. One without a value is left out.
type attributes []attribute.KeyValue

// mostAttributes is as many as a span may get.
const mostAttributes = 24

func (a *attributes) text(key, value string) {
	if value != "" {
		*a = append(*a, attribute.String(key, meter.Value(value)))
	}
}

// request adds what the client asked for.
func (a *attributes) request(r *usage.Record) {
	a.text("gen_ai.operation.name", r.Operation)
	a.text("gen_ai.request.model", known(r))
	if r.Stream {
		*a = append(*a, attribute.Bool("gen_ai.request.stream", true))
	}
}

// served adds who answered, and what it took. Tokens are those that the backend
// reported.
func (a *attributes) served(r *usage.Record) {
	a.text("spillway.backend", r.Backend)
	a.text("spillway.deployment", r.Deployment)
	a.text("spillway.region", r.Region)
	a.text("spillway.backend.request.id", r.BackendID)
	if r.Measured && r.Tokens.Total() > 0 {
		*a = append(*a,
			attribute.Int64("gen_ai.usage.input_tokens", r.Tokens.Prompt),
			attribute.Int64("gen_ai.usage.output_tokens", r.Tokens.Completion),
		)
		if r.Tokens.Cached > 0 {
			*a = append(*a, attribute.Int64("gen_ai.usage.cache_read.input_tokens", r.Tokens.Cached))
		}
	}
	if r.Stream && r.FirstByte > 0 {
		*a = append(*a, attribute.Float64("gen_ai.response.time_to_first_chunk", r.FirstByte.Seconds()))
	}
}
