package export_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/rs/zerolog"

	"spillway/shared/telemetry/export"
	"spillway/shared/telemetry/meter"
	"spillway/shared/telemetry/tracer"
	"spillway/shared/usage"
	"spillway/tests/fakes/otlp"
)

// served is a request that a deployment served.
func served() *usage.Record {
	return &usage.Record{
		RequestID: "req_1", Consumer: "team-a", Operation: "chat", Model: "gpt-4o", Pool: "gpt-4o",
		Backend: "ptu", Deployment: "gpt-4o-ptu", Status: 200, Measured: true,
		Tokens:   usage.Tokens{Prompt: 500, Completion: 12},
		Attempts: []usage.Attempt{{Deployment: "ptu/gpt-4o-ptu", Status: 200, Reason: "ok"}},
		Duration: time.Second,
	}
}

// clean is an environment without any variable of OpenTelemetry's, but for those given.
func clean(t *testing.T, set map[string]string) {
	t.Helper()
	for _, name := range []string{
		"OTEL_SDK_DISABLED", "OTEL_METRICS_EXPORTER", "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT",
		"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_METRIC_EXPORT_INTERVAL", "OTEL_SERVICE_NAME",
		"OTEL_RESOURCE_ATTRIBUTES", "OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG", "OTEL_EXPORTER_OTLP_TIMEOUT",
		"OTEL_METRIC_EXPORT_TIMEOUT", "OTEL_BSP_SCHEDULE_DELAY", "OTEL_BSP_EXPORT_TIMEOUT",
	} {
		t.Setenv(name, set[name])
	}
}

// output is where log lines go, from many goroutines.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{} // holds one while there is more than was looked at
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.more <- struct{}{}:
	default:
	}
	return o.text.Write(p)
}

// wait waits until something is said that has all of the parts, and tells whether it
// was before ctx ended.
func (o *output) wait(ctx context.Context, parts ...string) bool {
	for {
		said := o.String()
		if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(said, part) }) {
			return true
		}
		select {
		case <-o.more:
		case <-ctx.Done():
			return false
		}
	}
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// open reads the environment, and what was said about it.
func open(t *testing.T) (*export.Export, *output) {
	t.Helper()
	said := &output{more: make(chan struct{}, 1)}
	e := export.FromEnvironment(t.Context(), export.Options{Log: zerolog.New(said), Version: "v1", Instance: "instance-1"})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		e.Shutdown(ctx)
	})
	return e, said
}

func newMeter(t *testing.T, e *export.Export) *meter.Meter {
	t.Helper()
	m, err := meter.New(meter.Options{Provider: e.Meters(), Providers: map[string]string{"ptu": "azure.ai.openai"}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Without any setting nothing is exported, and no address of this machine is called;
// Prometheus may read all the same.
func TestNothingIsExportedUnasked(t *testing.T) {
	clean(t, nil)
	e, said := open(t)
	if e.Traces() != nil || e.Meters() == nil || e.Prometheus() == nil {
		t.Errorf("traces %v, meters %v, prometheus %v; want only the latter two", e.Traces(), e.Meters(), e.Prometheus())
	}
	newMeter(t, e).Request(served())
	e.Flush(t.Context())
	e.Shutdown(t.Context())
	if said.String() != "" {
		t.Errorf("said was %s", said)
	}
}

// When it is switched off there is nothing, not even for Prometheus.
func TestDisabled(t *testing.T) {
	clean(t, map[string]string{"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})
	e, said := open(t)
	if e.Traces() != nil || e.Meters() != nil || e.Prometheus() != nil || said.String() != "" {
		t.Errorf("traces %v, meters %v, prometheus %v; said was %q", e.Traces(), e.Meters(), e.Prometheus(), said)
	}
	e.Flush(t.Context())
	e.Shutdown(t.Context())
}

// A collector gets metrics and spans with the conventions' names, under the service
// and with the headers that the environment names; the end of the process exports what
// there is.
func TestCollectorGetsAll(t *testing.T) {
	collector := otlp.Start()
	defer collector.Close()
	clean(t, map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL(), "OTEL_EXPORTER_OTLP_HEADERS": "api-key=a%20b",
		"OTEL_SERVICE_NAME": "llm", "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment=test",
	})
	e, said := open(t)
	r := served()
	span := tracer.New(e.Traces(), nil).Start(http.Header{}, r)
	span.Attempt(http.Header{})
	span.End()
	newMeter(t, e).Request(r)
	e.Shutdown(t.Context())

	tokens, err := collector.Metric("gen_ai.client.token.usage").Find(map[string]string{"gen_ai.token.type": "input", "spillway.consumer": "team-a"})
	if err != nil || tokens.Value != 500 || tokens.Count != 1 {
		t.Errorf("the input tokens are %+v, %v; want one request of 500", tokens, err)
	}
	duration := collector.Metric("gen_ai.client.operation.duration")
	if duration.Kind != "histogram" || duration.Unit != "s" {
		t.Errorf("the duration is a %s in %s, want histogram, s", duration.Kind, duration.Unit)
	}
	requests := collector.Metric("spillway.requests")
	point, err := requests.Find(map[string]string{"spillway.outcome": "served", "gen_ai.provider.name": "azure.ai.openai"})
	if err != nil || point.Value != 1 {
		t.Errorf("the requests are %+v, want Value 1, %v", point, err)
	}
	for key, want := range map[string]string{
		"service.name": "llm", "service.version": "v1", "service.instance.id": "instance-1", "deployment.environment": "test",
	} {
		if got := requests.Resource[key]; got != want {
			t.Errorf("the resource's %s is %q, want %q", key, got, want)
		}
	}
	if got := collector.Header().Get("Api-Key"); got != "a b" {
		t.Errorf("the header is %q, want %q", got, "a b")
	}
	spans := collector.Spans()
	if len(spans) != 2 {
		t.Fatalf("%d spans came, want 2", len(spans))
	}
	if client, server := spans[0], spans[1]; client.Parent != server.ID || client.Name != "chat gpt-4o" ||
		server.Attributes["gen_ai.usage.output_tokens"] != "12" || server.Kind != "SPAN_KIND_SERVER" || server.Trace != r.TraceID {
		t.Errorf("the spans are %+v and %+v", client, server)
	}
	if refused := collector.Refused(); len(refused) > 0 || said.String() != "" {
		t.Errorf("the collector refused %v; said was %s", refused, said)
	}
}

// Metrics go out by themselves, in the interval that the environment names.
func TestMetricsGoOutInTheirInterval(t *testing.T) {
	collector := otlp.Start()
	defer collector.Close()
	clean(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL(), "OTEL_TRACES_EXPORTER": "none", "OTEL_METRIC_EXPORT_INTERVAL": "20"})
	e, _ := open(t)
	m := newMeter(t, e)
	m.Request(served())
	if !collector.Wait(deadline(t), func() bool { return len(collector.Metric("spillway.requests").Points) == 1 }) {
		t.Error("no metric came")
	}
	if e.Traces() != nil {
		t.Error("traces are exported")
	}
}

// deadline is a context for what must happen soon.
func deadline(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// A host that freezes the process flushes after each request: spans go out each time,
// metrics when their interval has passed.
func TestFlush(t *testing.T) {
	collector := otlp.Start()
	defer collector.Close()
	clean(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL(), "OTEL_BSP_SCHEDULE_DELAY": "3600000"})
	e, _ := open(t)
	m, tr := newMeter(t, e), tracer.New(e.Traces(), nil)
	for range 3 {
		r := served()
		span := tr.Start(http.Header{}, r)
		span.End()
		m.Request(r)
		e.Flush(t.Context())
	}
	if got := len(collector.Spans()); got != 3 {
		t.Errorf("%d spans came, want 3", got)
	}
	if got := collector.Calls("/v1/metrics"); got != 1 {
		t.Errorf("metrics came %d times in a minute, want once", got)
	}
}

// A collector that hangs, refuses or is not there costs no request anything: counting,
// tracing and a bounded flush go on, and the log says once what is wrong.
func TestCollectorFails(t *testing.T) {
	unreachable, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	unreachable.Close()
	for name, fail := range map[string]func(*otlp.Collector) string{
		"it hangs":        func(c *otlp.Collector) string { c.Hang(); return c.URL() },
		"it refuses":      func(c *otlp.Collector) string { c.Fail(http.StatusForbidden); return c.URL() },
		"it is not there": func(*otlp.Collector) string { return "http://" + unreachable.Addr().String() },
	} {
		t.Run(name, func(t *testing.T) {
			collector := otlp.Start()
			defer collector.Close()
			clean(t, map[string]string{
				"OTEL_EXPORTER_OTLP_ENDPOINT": fail(collector), "OTEL_EXPORTER_OTLP_TIMEOUT": "100",
				"OTEL_METRIC_EXPORT_TIMEOUT": "200", "OTEL_BSP_EXPORT_TIMEOUT": "200",
			})
			e, said := open(t)
			m, tr := newMeter(t, e), tracer.New(e.Traces(), nil)
			for range 10_000 { // more than any queue holds
				r := served()
				span := tr.Start(http.Header{}, r)
				span.Attempt(http.Header{})
				span.End()
				m.Request(r)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
			defer cancel()
			e.Flush(ctx)
			calls := collector.Calls("/v1/metrics")
			e.Flush(ctx) // does nothing: the first has failed
			if again := collector.Calls("/v1/metrics"); again != calls {
				t.Errorf("%d more calls came with a flush after one that failed", again-calls)
			}
			short, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			e.Shutdown(short)
			if !said.wait(deadline(t), `"signal":"metrics"`, `"signal":"traces"`) || strings.Count(said.String(), "\n") != 2 {
				t.Errorf("said was, want once of each signal that it cannot be exported:\n%s", said)
			}
		})
	}
}

// Wrong settings are told in one line, without their values, and nothing else stops.
func TestWrongSettings(t *testing.T) {
	clean(t, map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": "collector:4317/secret", "OTEL_TRACES_SAMPLER": "secret", "OTEL_METRIC_EXPORT_INTERVAL": "secret",
		"OTEL_RESOURCE_ATTRIBUTES": "secret", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
	})
	e, said := open(t)
	if n := strings.Count(said.String(), "\n"); n != 1 {
		t.Errorf("%d lines are said, want 1: %s", n, said)
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_SAMPLER", "OTEL_METRIC_EXPORT_INTERVAL", "OTEL_RESOURCE_ATTRIBUTES"} {
		if !strings.Contains(said.String(), name) {
			t.Errorf("%s is not told: %s", name, said)
		}
	}
	if strings.Contains(said.String(), "secret") {
		t.Errorf("a value is told: %s", said)
	}
	newMeter(t, e).Request(served())
}

// Prometheus reads all metrics in its own format, under names of its own rules.
func TestPrometheus(t *testing.T) {
	clean(t, nil)
	e, _ := open(t)
	m := newMeter(t, e)
	odd := served()
	odd.Consumer = "a\"b\\c\n\xff{}"
	m.Request(served())
	m.Request(odd)
	m.Watch(func() meter.State {
		return meter.State{Instances: 2, Deployments: []meter.Deployment{{Backend: "ptu", Name: "gpt-4o-ptu", Breaker: "closed", Limits: []meter.Limit{{Unit: "tokens", Amount: 100, Remaining: 25}}}}}
	})
	answer := httptest.NewRecorder()
	e.Prometheus().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/spillway/metrics", nil))
	body, err := io.ReadAll(answer.Result().Body)
	if err != nil || answer.Code != http.StatusOK {
		t.Fatalf("the answer is %d, want %d, %v", answer.Code, http.StatusOK, err)
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(body))
	if err != nil {
		t.Fatalf("Prometheus cannot read it: %v\n%s", err, body)
	}
	for name, series := range map[string]int{
		"gen_ai_client_token_usage":                4,
		"gen_ai_client_operation_duration_seconds": 2,
		"spillway_requests_total":                  2,
		"spillway_attempts_total":                  1,
		"spillway_deployment_headroom":             1,
		"spillway_deployment_fill_ratio":           1,
		"spillway_deployment_breaker":              3,
		"spillway_instances":                       1,
		"target_info":                              1,
	} {
		if got := len(families[name].GetMetric()); got != series {
			t.Errorf("%s has %d series, want %d", name, got, series)
		}
	}
	if t.Failed() {
		t.Logf("%s", body)
	}
}
