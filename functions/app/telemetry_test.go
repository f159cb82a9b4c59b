package app_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"spillway/functions/app"
	"spillway/shared/telemetry/export"
	"spillway/tests/fakes/azureopenai"
	"spillway/tests/fakes/otlp"
	"spillway/tests/rig"
)

// told is a transport that remembers the traceparents of the requests.
type told struct {
	http.RoundTripper
	parents []string
}

func (b *told) RoundTrip(r *http.Request) (*http.Response, error) {
	b.parents = append(b.parents, r.Header.Get("Traceparent"))
	return b.RoundTripper.RoundTrip(r)
}

// telemetryRig is a rig with telemetry before two backends, in real time: exports go
// over the network.
func telemetryRig(t *testing.T, env map[string]string) (*rig.Rig, *export.Export, *told) {
	t.Helper()
	for _, name := range []string{"OTEL_SDK_DISABLED", "OTEL_METRICS_EXPORTER", "OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_TRACES_SAMPLER"} {
		t.Setenv(name, env[name])
	}
	e := export.FromEnvironment(t.Context(), export.Options{Log: zerolog.Nop()})
	ptu, payg := backend("ptu", "gpt-4o"), backend("payg", "gpt-4o-payg")
	ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: http.StatusServiceUnavailable, Times: 1})
	backends := &told{RoundTripper: azureopenai.Hosts(map[string]*azureopenai.Server{"ptu.test": ptu, "payg.test": payg})}
	return rig.NewWith(t, ordinary, app.Options{Telemetry: e, Transport: backends}), e, backends
}

// chatWith sends a chat with headers.
func chatWith(t *testing.T, r *rig.Rig, header map[string]string) {
	t.Helper()
	r.Send(t.Context(), rig.Call{Path: "/v1/chat/completions", Body: chat, Header: header})
}

// Whoever has an admin key reads the metrics of what was served, of the deployments as
// they stand, and of the shared state.
func TestMetrics(t *testing.T) {
	r, _, _ := telemetryRig(t, nil)
	chatWith(t, r, nil)
	if w := r.Send(t.Context(), rig.Call{Method: http.MethodGet, Path: "/spillway/metrics"}); w.Code != http.StatusUnauthorized {
		t.Errorf("without a key the answer is %d, want 401", w.Code)
	}
	w := r.Send(t.Context(), rig.Call{Method: http.MethodGet, Path: "/spillway/metrics", Key: adminKey})
	for _, part := range []string{
		`spillway_requests_total{`, `spillway_outcome="served"`, `spillway_spill_reason="failed"`,
		`spillway_attempts_total{gen_ai_provider_name="azure.ai.openai",spillway_attempt_reason="status_503",spillway_backend="ptu",spillway_deployment="gpt-4o"} 1`,
		`spillway_deployment_limit{spillway_backend="ptu",spillway_deployment="gpt-4o",spillway_limit_unit="tokens"} 1000`,
		`spillway_lease_operations_total{`, `spillway_lease_kind="grant"`,
		`spillway_lease_overgranted_total{spillway_backend="ptu",spillway_deployment="gpt-4o",spillway_limit_owner="deployment",spillway_limit_unit="tokens"} 0`,
		`spillway_table_operations_total{spillway_outcome="ok",spillway_table_operation="insert",spillway_table_rows="quota"}`,
		`spillway_instances 1`,
	} {
		if !strings.Contains(w.Body.String(), part) {
			t.Errorf("the metrics lack %s", part)
		}
	}
	if t.Failed() {
		t.Logf("%d: %s", w.Code, w.Body)
	}
}

// The client's trace goes on: through the request's span to one span per attempt, of
// which each backend is told its own.
func TestTraceGoesOn(t *testing.T) {
	collector := otlp.Start()
	defer collector.Close()
	r, e, backends := telemetryRig(t, map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL(), "OTEL_METRICS_EXPORTER": "none"})
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	chatWith(t, r, map[string]string{"Traceparent": parent})
	e.Flush(t.Context())
	spans := collector.Spans()
	if len(spans) != 3 || len(backends.parents) != 2 {
		t.Fatalf("%d spans of %d attempts, want 3 of 2", len(spans), len(backends.parents))
	}
	server := spans[2]
	if server.Parent != "00f067aa0ba902b7" || server.Name != "POST chat" || server.Attributes["spillway.backend"] != "payg" {
		t.Errorf("the request's span is %+v", server)
	}
	for i, span := range spans[:2] {
		if want := "00-4bf92f3577b34da6a3ce929d0e0e4736-" + span.ID + "-01"; span.Parent != server.ID || backends.parents[i] != want {
			t.Errorf("attempt %d is below %s, and its backend is told %s, want %s", i, span.Parent, backends.parents[i], want)
		}
	}
}

// Without traces a client's traceparent goes to the backends as it is.
func TestTraceparentPasses(t *testing.T) {
	const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
	for name, env := range map[string]map[string]string{
		"traces are off":             nil,
		"the client does not sample": {"OTEL_TRACES_EXPORTER": "otlp"},
	} {
		t.Run(name, func(t *testing.T) {
			r, _, backends := telemetryRig(t, env)
			chatWith(t, r, map[string]string{"Traceparent": parent})
			for _, got := range backends.parents {
				if got != parent {
					t.Errorf("a backend is told %s, want %s", got, parent)
				}
			}
		})
	}
}
