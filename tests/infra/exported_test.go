package infra

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/rs/zerolog"

	"spillway/shared/quota"
	"spillway/shared/store"
	"spillway/shared/store/memory"
	"spillway/shared/telemetry/export"
	"spillway/shared/telemetry/meter"
	"spillway/shared/usage"
)

// exportedMetric is a metric as Prometheus has it: its type, and its labels with the
// values that they had.
type exportedMetric struct {
	kind   string // COUNTER, GAUGE or HISTOGRAM
	values map[string]map[string]bool
}

// lacks says what is wrong with a matcher; "" if nothing is. Each alternative of a
// pattern must be a value that there is.
func (e *exportedMetric) lacks(m matcher) string {
	values := e.values[m.label]
	if values == nil {
		return "there is no such label"
	}
	if m.operator == "=" && !values[m.value] {
		return fmt.Sprintf("it is never %q", m.value)
	}
	if m.operator != "=~" {
		return ""
	}
	pattern, err := regexp.Compile("^(?:" + m.value + ")$")
	if err != nil {
		return err.Error()
	}
	found := 0
	for value := range values {
		if pattern.MatchString(value) {
			found++
		}
	}
	if want := strings.Count(m.value, "|") + 1; found < want {
		return fmt.Sprintf("%d values match %q, want at least %d", found, m.value, want)
	}
	return ""
}

// exported are the metrics that Prometheus reads once everything was recorded: as the
// gateway exports them, and "up", which Prometheus adds.
func exported(t *testing.T) map[string]*exportedMetric {
	t.Helper()
	for _, name := range []string{"OTEL_SDK_DISABLED", "OTEL_METRICS_EXPORTER", "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT"} {
		t.Setenv(name, "")
	}
	e := export.FromEnvironment(t.Context(), export.Options{Log: zerolog.Nop()})
	record(t, e)
	answer := httptest.NewRecorder()
	e.Prometheus().ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/", nil))
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*exportedMetric{"up": {"GAUGE", map[string]map[string]bool{"job": set("spillway"), "instance": set("")}}}
	for name, family := range families {
		metric := &exportedMetric{family.GetType().String(), map[string]map[string]bool{"instance": set(""), "job": set("spillway")}}
		for _, series := range family.Metric {
			for _, label := range series.Label {
				if metric.values[label.GetName()] == nil {
					metric.values[label.GetName()] = map[string]bool{}
				}
				metric.values[label.GetName()][label.GetValue()] = true
			}
		}
		if metric.kind != "HISTOGRAM" {
			all[name] = metric
			continue
		}
		all[name+"_sum"], all[name+"_count"] = metric, metric
		buckets := &exportedMetric{metric.kind, map[string]map[string]bool{"le": set("+Inf")}}
		for label, values := range metric.values {
			buckets.values[label] = values
		}
		all[name+"_bucket"] = buckets
	}
	return all
}

// record measures one of everything.
func record(t *testing.T, e *export.Export) {
	t.Helper()
	options := meter.Options{Provider: e.Meters(), Providers: map[string]string{"ptu": "azure.ai.openai", "payg": "azure.ai.openai"}}
	m, err := meter.New(options)
	if err != nil {
		t.Fatal(err)
	}
	recordRequests(m)
	_, counted := events(t)
	for event := range counted {
		m.Event(event)
	}
	for kind := range mapValues(t, "functions/app", "leaseKinds") {
		m.Lease(kind, "deployment/ptu/gpt-4o-ptu/tokens", 3)
		m.Lease(kind, "consumer/team-a/requests", 3)
	}
	for kind := range kinds(t, "breaker_") {
		m.Breaker(kind, "consecutive_failures", "ptu/gpt-4o-ptu")
	}
	recordTable(t, m)
	m.Watch(func() meter.State {
		return meter.State{Instances: 2, Degraded: map[string]bool{"limits": false, "breakers": true}, Deployments: []meter.Deployment{{
			Backend: "ptu", Name: "gpt-4o-ptu", Region: "eastus2", Breaker: "open",
			Limits: []meter.Limit{{Unit: "tokens", Amount: 1000, Remaining: 250}, {Unit: "requests", Amount: 10, Remaining: 10}},
		}}}
	})
	options.Limit = 30 // more than there are instruments, each of which may overflow
	narrow, err := meter.New(options)
	if err != nil {
		t.Fatal(err)
	}
	for i := range options.Limit {
		narrow.Breaker("opened", fmt.Sprint("reason ", i), "ptu/gpt-4o-ptu")
	}
}

// recordRequests measures one request of each outcome, in all that it may take.
func recordRequests(m *meter.Meter) {
	spilled := usage.Record{
		Consumer: "team-a", Operation: "chat", Model: "gpt-4o", Pool: "gpt-4o", Backend: "payg", Deployment: "gpt-4o", Region: "eastus2",
		Stream: true, Status: http.StatusOK, Spillover: "quota", Shadowed: "rate_limit_exceeded", Estimated: 600,
		Tokens: usage.Tokens{Prompt: 500, Completion: 12}, Measured: true,
		Attempts: []usage.Attempt{{Deployment: "payg/gpt-4o", Status: http.StatusOK, Reason: "ok"}},
		Waited:   time.Millisecond, FirstByte: time.Millisecond, Duration: time.Second,
	}
	m.Request(&spilled)
	served := spilled
	served.Spillover, served.Measured = "", false // and counted here
	m.Request(&served)
	served.Measured = true
	m.Request(&served)
	for _, status := range []int{http.StatusBadRequest, http.StatusTooManyRequests, http.StatusBadGateway, 499} {
		for _, reserved := range []int64{0, 600} { // without room in the consumer's limits, and with
			m.Request(&usage.Record{Consumer: "team-a", Model: "gpt-4o", Pool: "gpt-4o", Status: status, Estimated: reserved})
		}
	}
}

// recordTable measures a write of a limit's row that grants.
func recordTable(t *testing.T, m *meter.Meter) {
	t.Helper()
	table := m.Store(memory.New())
	row := quota.New(quota.Minute.Window(time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)), 100)
	for _, limit := range []string{"deployment/ptu/gpt-4o-ptu/tokens", "consumer/team-a/tokens"} {
		key := store.Key{Partition: quota.Partition(limit, quota.Minute, 0), Row: quota.RowKey}
		if _, err := table.Insert(t.Context(), key, row.Columns()); err != nil {
			t.Fatal(err)
		}
	}
}
