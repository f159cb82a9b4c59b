package tracer_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"spillway/shared/telemetry/tracer"
	"spillway/shared/usage"
)

const (
	clientTrace  = "4bf92f3577b34da6a3ce929d0e0e4736"
	clientParent = "00-" + clientTrace + "-00f067aa0ba902b7-01"
)

// newTracer is a tracer of two backends, and what keeps its spans.
func newTracer(t testing.TB, sampler sdktrace.Sampler) (*tracer.Tracer, *tracetest.SpanRecorder) {
	t.Helper()
	endpoint, err := url.Parse("https://payg.openai.azure.com/prefix?code=secret")
	if err != nil {
		t.Fatal(err)
	}
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans), sdktrace.WithSampler(sampler))
	return tracer.New(provider, map[string]tracer.Backend{
		"ptu":  {Provider: "azure.ai.openai"},
		"payg": {Provider: "azure.ai.openai", Endpoint: endpoint},
	}), spans
}

// attributes are a span's, each value as a text.
func attributes(s sdktrace.ReadOnlySpan) map[string]string {
	all := make(map[string]string)
	for _, a := range s.Attributes() {
		all[string(a.Key)] = a.Value.String()
	}
	return all
}

// spilledOver plays a request that the first deployment answered with 429 and the
// second served, and returns the headers of the two attempts.
func spilledOver(t testing.TB, tr *tracer.Tracer, client http.Header) (first, second http.Header) {
	t.Helper()
	r := &usage.Record{RequestID: "req_1"}
	span := tr.Start(client, r)
	if span == nil {
		t.Fatal("the request is not traced")
	}
	r.Consumer, r.Operation, r.Model, r.Pool, r.Stream = "team-a", "chat", "gpt-4o", "gpt-4o", true
	sent := client.Clone()
	span.Attempt(sent)
	first = sent.Clone()
	r.Attempts = append(r.Attempts, usage.Attempt{Deployment: "ptu/gpt-4o-ptu", Status: 429, Reason: "status_429", Duration: time.Nanosecond})
	span.Attempt(sent)
	r.Attempts = append(r.Attempts, usage.Attempt{Deployment: "payg/gpt-4o", Status: 200, Reason: "ok", Duration: time.Nanosecond})
	r.Backend, r.Deployment, r.Region, r.Spillover, r.Status = "payg", "gpt-4o", "swedencentral", "throttled", 200
	r.Tokens, r.Measured = usage.Tokens{Prompt: 500, Cached: 128, Completion: 12}, true
	r.FirstByte, r.Duration = time.Second, 3*time.Second
	span.End()
	return first, sent
}

// A request is one span of the server, and below it one of the client per attempt;
// each backend is told the span of its own attempt, in the client's trace.
func TestSpans(t *testing.T) {
	tr, recorder := newTracer(t, sdktrace.ParentBased(sdktrace.AlwaysSample()))
	first, second := spilledOver(t, tr, http.Header{"Traceparent": {clientParent}, "Tracestate": {"vendor=1"}})
	spans := recorder.Ended()
	if len(spans) != 3 {
		t.Fatalf("%d spans have ended, want 3", len(spans))
	}
	refused, served, server := spans[0], spans[1], spans[2]

	for i, s := range spans {
		if s.SpanContext().TraceID().String() != clientTrace {
			t.Errorf("span %d is of the trace %s, want the client's", i, s.SpanContext().TraceID())
		}
	}
	if got := server.Parent().SpanID().String(); got != "00f067aa0ba902b7" || server.SpanKind() != trace.SpanKindServer || server.Name() != "POST chat" {
		t.Errorf("the request's span is %q of kind %s below %s, want %q, %s, %s", server.Name(), server.SpanKind(), got, "POST chat", trace.SpanKindServer, "00f067aa0ba902b7")
	}
	for header, s := range map[string]sdktrace.ReadOnlySpan{first.Get("Traceparent"): refused, second.Get("Traceparent"): served} {
		if want := fmt.Sprintf("00-%s-%s-01", clientTrace, s.SpanContext().SpanID()); header != want {
			t.Errorf("the backend is told %s, want %s", header, want)
		}
		if s.Parent().SpanID() != server.SpanContext().SpanID() || s.SpanKind() != trace.SpanKindClient || s.Name() != "chat gpt-4o" {
			t.Errorf("an attempt's span is %q of kind %s below %s, want %q, %s, %s", s.Name(), s.SpanKind(), s.Parent().SpanID(), "chat gpt-4o", trace.SpanKindClient, server.SpanContext().SpanID())
		}
	}
	if got := second.Get("Tracestate"); got != "vendor=1" {
		t.Errorf("the backend is told the state %q, want the client's", got)
	}
	if refused.Status().Code != codes.Error || served.Status().Code != codes.Unset || server.Status().Code != codes.Unset {
		t.Errorf("the spans' statuses are %v, %v, %v; only the first attempt failed", refused.Status(), served.Status(), server.Status())
	}
	if took := refused.EndTime().Sub(refused.StartTime()); took != time.Nanosecond {
		t.Errorf("the attempt that failed took %s, want what the record says", took)
	}
	if served.EndTime().Sub(served.StartTime()) <= time.Nanosecond {
		t.Error("the attempt that served ended when it was judged, want when its answer had been relayed")
	}
}

// The attributes are those of the conventions, and ours; nothing else of an endpoint
// is told than its host.
func TestAttributes(t *testing.T) {
	tr, recorder := newTracer(t, sdktrace.AlwaysSample())
	spilledOver(t, tr, http.Header{})
	refused, served, server := attributes(recorder.Ended()[0]), attributes(recorder.Ended()[1]), attributes(recorder.Ended()[2])
	for _, c := range []struct {
		span      string
		got, want map[string]string
	}{
		{"refused", refused, map[string]string{
			"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.request.stream": "true",
			"gen_ai.provider.name": "azure.ai.openai", "spillway.backend": "ptu", "spillway.deployment": "gpt-4o-ptu",
			"http.response.status_code": "429", "error.type": "status_429",
		}},
		{"served", served, map[string]string{
			"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.request.stream": "true",
			"gen_ai.provider.name": "azure.ai.openai", "spillway.backend": "payg", "spillway.deployment": "gpt-4o",
			"server.address": "payg.openai.azure.com", "server.port": "443", "spillway.region": "swedencentral",
			"http.response.status_code": "200", "http.request.resend_count": "1",
			"gen_ai.usage.input_tokens": "500", "gen_ai.usage.output_tokens": "12", "gen_ai.usage.cache_read.input_tokens": "128",
			"gen_ai.response.time_to_first_chunk": "1",
		}},
		{"server", server, map[string]string{
			"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o", "gen_ai.request.stream": "true",
			"http.request.method": "POST", "http.response.status_code": "200",
			"spillway.request.id": "req_1", "spillway.consumer": "team-a", "spillway.pool": "gpt-4o",
			"spillway.backend": "payg", "spillway.deployment": "gpt-4o", "spillway.region": "swedencentral",
			"spillway.spill.reason": "throttled", "spillway.attempts": "2",
			"gen_ai.usage.input_tokens": "500", "gen_ai.usage.output_tokens": "12", "gen_ai.usage.cache_read.input_tokens": "128",
			"gen_ai.response.time_to_first_chunk": "1",
		}},
	} {
		if fmt.Sprint(c.got) != fmt.Sprint(c.want) {
			t.Errorf("the %s span has\n%v, want\n%v", c.span, c.got, c.want)
		}
	}
}

// A request that is not sampled is not traced, and its headers stay as they are: the
// client's own traceparent goes on to the backend.
func TestNotSampled(t *testing.T) {
	for name, header := range map[string]http.Header{
		"the client's parent is not sampled": {"Traceparent": {strings.TrimSuffix(clientParent, "1") + "0"}},
		"there is no parent":                 {},
	} {
		t.Run(name, func(t *testing.T) {
			tr, recorder := newTracer(t, sdktrace.ParentBased(sdktrace.NeverSample()))
			before, r := header.Clone(), new(usage.Record)
			if span := tr.Start(header, r); span != nil {
				t.Error("the request is traced")
			}
			if fmt.Sprint(header) != fmt.Sprint(before) || r.TraceID != "" || len(recorder.Started()) != 0 {
				t.Errorf("the headers are %v, the trace %q, %d spans", header, r.TraceID, len(recorder.Started()))
			}
		})
	}
}

// What a client makes up becomes no attribute: a traceparent that cannot be read begins
// no trace of ours, a model that nobody serves is not named, and values are short and
// valid, since one that is not would spoil the export of all others.
func TestHostileClient(t *testing.T) {
	for _, parent := range []string{"", "00", "00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01", strings.Repeat("x", 1<<20), "\x00\xff"} {
		tr, recorder := newTracer(t, sdktrace.ParentBased(sdktrace.AlwaysSample()))
		header := http.Header{"Traceparent": {parent, parent}, "Tracestate": {strings.Repeat("a=\xff,", 1000)}}
		r := &usage.Record{RequestID: "req_1", Consumer: "team-a\xff\x00", Model: strings.Repeat("secret", 1000), Operation: "chat", Refused: "model_not_found", Status: 404}
		span := tr.Start(header, r)
		if span == nil {
			t.Fatalf("%.40q keeps the request from being traced", parent)
		}
		span.Attempt(header)
		r.Attempts = []usage.Attempt{{Deployment: "ptu/gpt-4o-ptu", Reason: strings.Repeat("\n", 1<<20)}}
		span.End()
		for _, s := range recorder.Ended() {
			if id := s.SpanContext().TraceID().String(); id != r.TraceID || id == clientTrace || !s.SpanContext().IsValid() {
				t.Errorf("the trace is %s, the record's %s", id, r.TraceID)
			}
			for _, a := range append(s.Attributes(), attribute.String("name", s.Name())) {
				if value := a.Value.String(); len(value) > 128 || !utf8.ValidString(value) || strings.Contains(value, "secret") {
					t.Errorf("%s is %.200q", a.Key, value)
				}
			}
		}
		if got := header.Get("Tracestate"); got != "" {
			t.Errorf("the backend is told the state %.40q of a trace that nobody knows, want %.40q", got, "")
		}
	}
}

// An attempt that a panic has ended has its span ended, too.
func TestPanic(t *testing.T) {
	tr, recorder := newTracer(t, sdktrace.AlwaysSample())
	r := &usage.Record{Operation: "chat", Status: 500, Refused: "internal_error"}
	span := tr.Start(http.Header{}, r)
	span.Attempt(http.Header{})
	span.End()
	if len(recorder.Ended()) != 2 {
		t.Errorf("%d spans have ended, want 2", len(recorder.Ended()))
	}
	if got := recorder.Ended()[1].Status().Code; got != codes.Error {
		t.Errorf("the status is %s, want an error", got)
	}
}
