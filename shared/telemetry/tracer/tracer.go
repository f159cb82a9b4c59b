// Package tracer follows requests with OpenTelemetry's spans: one of the server for
// each request, and below it one of the client for each attempt at a backend, by the
// conventions for generative AI. A span tells who was served, by whom and for how much;
// it holds no content, no credential, and nothing that a client made up.
package tracer

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"spillway/shared/usage"
)

// scope is the name of the instrumentation scope.
const scope = "spillway"

// Backend is what spans tell of a backend beside its name.
type Backend struct {
	// Provider is the value of gen_ai.provider.name, such as azure.ai.openai.
	Provider string
	// Endpoint is where it is; nil: nobody says.
	Endpoint *url.URL
}

// Tracer starts spans. It is safe for concurrent use.
type Tracer struct {
	tracer   trace.Tracer
	backends map[string][]attribute.KeyValue // by name
}

// New makes a Tracer; the backends are by name.
func New(p trace.TracerProvider, backends map[string]Backend) *Tracer {
	t := &Tracer{tracer: p.Tracer(scope), backends: make(map[string][]attribute.KeyValue, len(backends))}
	for name, b := range backends {
		var a attributes
		a.text("gen_ai.provider.name", b.Provider)
		a.text("spillway.backend", name)
		if b.Endpoint != nil {
			a.text("server.address", b.Endpoint.Hostname())
			if port := portOf(b.Endpoint); port > 0 {
				a = append(a, attribute.Int("server.port", port))
			}
		}
		t.backends[name] = a
	}
	return t
}

func portOf(endpoint *url.URL) int {
	if port, err := strconv.Atoi(endpoint.Port()); err == nil {
		return port
	}
	switch endpoint.Scheme {
	case "https":
		return 443
	case "http":
		return 80
	default:
		return 0
	}
}

// asServer is how each request's span starts, sampled or not.
var asServer = []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindServer)}

// w3c reads and writes traceparent and tracestate.
var w3c propagation.TraceContext

// Start begins the span of a request that has just come, as a child of the client's
// if there is one; the sampler decides by it. It returns nil if the request is not
// sampled: then its headers stay as they are. The record is the one that End will be
// given, and is told the id of the trace.
func (t *Tracer) Start(client http.Header, record *usage.Record) *Span {
	ctx := context.Background()
	if client["Traceparent"] != nil {
		ctx = w3c.Extract(ctx, propagation.HeaderCarrier(client))
	}
	ctx, span := t.tracer.Start(ctx, http.MethodPost, asServer...)
	if !span.IsRecording() {
		return nil
	}
	record.TraceID = span.SpanContext().TraceID().String()
	return &Span{tracer: t, ctx: ctx, server: span, record: record}
}
