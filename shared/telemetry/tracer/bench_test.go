package tracer_test

import (
	"context"
	"net/http"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"spillway/shared/telemetry/tracer"
	"spillway/shared/usage"
)

// BenchmarkRequest is what following one request of one attempt adds to it, at the
// share of requests that is sampled.
func BenchmarkRequest(b *testing.B) {
	for _, bench := range []struct {
		name    string
		sampler sdktrace.Sampler
	}{{"none", sdktrace.NeverSample()}, {"tenth", sdktrace.TraceIDRatioBased(0.1)}, {"all", sdktrace.AlwaysSample()}} {
		b.Run(bench.name, func(b *testing.B) {
			provider := sdktrace.NewTracerProvider(sdktrace.WithSampler(bench.sampler), sdktrace.WithSpanProcessor(dropped{}))
			tr := tracer.New(provider, map[string]tracer.Backend{"ptu": {Provider: "azure.ai.openai"}})
			attempts := []usage.Attempt{{Deployment: "ptu/gpt-4o-ptu", Status: 200, Reason: "ok"}}
			header := http.Header{}
			b.ReportAllocs()
			for b.Loop() {
				delete(header, "Traceparent")
				r := usage.Record{RequestID: "req_1", Consumer: "team-a", Operation: "chat", Model: "gpt-4o", Pool: "gpt-4o", Status: 200}
				span := tr.Start(header, &r)
				if span == nil {
					continue
				}
				span.Attempt(header)
				r.Attempts, r.Backend, r.Deployment, r.Measured = attempts, "ptu", "gpt-4o-ptu", true
				r.Tokens = usage.Tokens{Prompt: 500, Completion: 12}
				span.End()
			}
		})
	}
}

// dropped takes spans that nobody exports.
type dropped struct{ sdktrace.SpanProcessor }

// OnStart does nothing.
func (dropped) OnStart(context.Context, sdktrace.ReadWriteSpan) {}

// OnEnd does nothing.
func (dropped) OnEnd(sdktrace.ReadOnlySpan) {}
