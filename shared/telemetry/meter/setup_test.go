package meter_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"spillway/shared/telemetry/meter"
	"spillway/shared/usage"
)

// served is a request that the first deployment served, as its backend reported.
var served = usage.Record{
	RequestID: "req_1", Consumer: "team-a", Operation: "chat", Model: "gpt-4o", Pool: "gpt-4o",
	Backend: "ptu", Deployment: "gpt-4o-ptu", Region: "eastus2", Status: 200, Estimated: 600,
	Tokens: usage.Tokens{Prompt: 500, Cached: 128, Completion: 12}, Measured: true,
	Attempts:  []usage.Attempt{{Deployment: "ptu/gpt-4o-ptu", Status: 200, Reason: "ok", Duration: 900 * time.Millisecond}},
	FirstByte: 500 * time.Millisecond, Duration: time.Second,
}

// spilled is one that the first deployment answered with 429, and the second served.
var spilled = usage.Record{
	RequestID: "req_2", Consumer: "team-a", Operation: "chat", Model: "gpt-4o", Pool: "gpt-4o",
	Backend: "payg", Deployment: "gpt-4o", Region: "swedencentral", Stream: true, Status: 200, Spillover: "throttled", Estimated: 600,
	Tokens: usage.Tokens{Prompt: 500, Completion: 101}, Measured: true,
	Attempts: []usage.Attempt{
		{Deployment: "ptu/gpt-4o-ptu", Status: 429, Reason: "status_429", Duration: 20 * time.Millisecond},
		{Deployment: "payg/gpt-4o", Status: 200, Reason: "ok", Duration: 500 * time.Millisecond},
	},
	Waited: 250 * time.Millisecond, FirstByte: time.Second, Duration: 3 * time.Second,
}

// newMeter is a meter of two backends, and the reader of its numbers.
func newMeter(t testing.TB, limit int) (*meter.Meter, *sdkmetric.ManualReader) {
	t.Helper()
	reader := sdkmetric.NewManualReader()
	m, err := meter.New(meter.Options{
		Provider:  sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader), sdkmetric.WithExemplarFilter(exemplar.AlwaysOffFilter)),
		Providers: map[string]string{"ptu": "azure.ai.openai", "payg": "azure.ai.openai"},
		Limit:     limit,
	})
	if err != nil {
		t.Fatal(err)
	}
	return m, reader
}

// numbers are all that a reader reads, by instrument.
func numbers(t testing.TB, reader *sdkmetric.ManualReader) map[string]metricdata.Metrics {
	t.Helper()
	var data metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
	all := make(map[string]metricdata.Metrics)
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			all[m.Name] = m
		}
	}
	return all
}

// counts are the values of an instrument by their attributes, "key=value,key=value"
// in the order of the keys; of a histogram, how many there were.
func counts(t testing.TB, m metricdata.Metrics) map[string]float64 {
	t.Helper()
	all := make(map[string]float64)
	add := func(at attribute.Set, value float64) { all[at.Encoded(attribute.DefaultEncoder())] = value }
	switch data := m.Data.(type) {
	case nil:
	case metricdata.Sum[int64]:
		for _, p := range data.DataPoints {
			add(p.Attributes, float64(p.Value))
		}
	case metricdata.Gauge[int64]:
		for _, p := range data.DataPoints {
			add(p.Attributes, float64(p.Value))
		}
	case metricdata.Gauge[float64]:
		for _, p := range data.DataPoints {
			add(p.Attributes, p.Value)
		}
	case metricdata.Histogram[int64]:
		for _, p := range data.DataPoints {
			add(p.Attributes, float64(p.Count))
		}
	case metricdata.Histogram[float64]:
		for _, p := range data.DataPoints {
			add(p.Attributes, float64(p.Count))
		}
	default:
		t.Fatalf("%s is a %T", m.Name, data)
	}
	return all
}

// expect fails the test unless an instrument has exactly these values.
func expect(t testing.TB, all map[string]metricdata.Metrics, name string, want map[string]float64) {
	t.Helper()
	if got := counts(t, all[name]); !maps.Equal(got, want) {
		t.Errorf("%s is\n%v, want\n%v", name, lines(got), lines(want))
	}
}

func lines(values map[string]float64) string {
	var b strings.Builder
	for _, at := range slices.Sorted(maps.Keys(values)) {
		fmt.Fprintf(&b, "  %g  {%s}\n", values[at], at)
	}
	return b.String()
}
