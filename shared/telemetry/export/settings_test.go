package export

import (
	"strings"
	"testing"
	"time"
)

// What is exported follows from the standard variables; a wrong value is told, and
// nothing more depends on it than must.
func TestSettings(t *testing.T) {
	const collector = "http://collector:4318"
	for _, c := range []struct {
		name       string
		env        map[string]string
		prometheus bool
		metrics    bool
		traces     bool
		problem    string // a part of the only one; "" if there is none
	}{
		{"nothing is set", nil, true, false, false, ""},
		{"an endpoint", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": collector}, true, true, true, ""},
		{"an endpoint of traces", map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": collector + "/v1/traces"}, true, false, true, ""},
		{"an exporter, at the specification's own endpoint", map[string]string{"OTEL_METRICS_EXPORTER": "otlp"}, true, true, false, ""},
		{"an endpoint, and no traces", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": collector, "OTEL_TRACES_EXPORTER": "none"}, true, true, false, ""},
		{"Prometheus alone", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": collector, "OTEL_METRICS_EXPORTER": "prometheus"}, true, false, true, ""},
		{"both", map[string]string{"OTEL_METRICS_EXPORTER": "prometheus, otlp"}, true, true, false, ""},
		{"no metrics", map[string]string{"OTEL_METRICS_EXPORTER": "none"}, false, false, false, ""},
		{"off", map[string]string{"OTEL_SDK_DISABLED": "TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT": collector, "OTEL_METRICS_EXPORTER": "x"}, false, false, false, ""},
		{"neither on nor off", map[string]string{"OTEL_SDK_DISABLED": "maybe"}, true, false, false, "OTEL_SDK_DISABLED"},
		{"an exporter that is not known", map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, true, false, false, "OTEL_TRACES_EXPORTER"},
		{"gRPC for traces", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": collector, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"}, true, true, false, "4318; traces are not exported"},
		{"no scheme", map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "collector:4317"}, true, false, false, "metrics are not exported"},
		{"no URL", map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://%zz"}, true, false, false, "traces are not exported"},
		{"headers", map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": collector, "OTEL_EXPORTER_OTLP_HEADERS": "api-key=secret,x=%20"}, true, false, true, ""},
		{"headers that are none", map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": collector, "OTEL_EXPORTER_OTLP_HEADERS": "secret"}, true, false, true, "OTEL_EXPORTER_OTLP_HEADERS"},
		{"an interval that is none", map[string]string{"OTEL_METRIC_EXPORT_INTERVAL": "60s"}, true, false, false, "OTEL_METRIC_EXPORT_INTERVAL"},
		{"a sampler that is not known", map[string]string{"OTEL_TRACES_SAMPLER": "jaeger_remote"}, true, false, false, "OTEL_TRACES_SAMPLER"},
		{"a share above 1", map[string]string{"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "10"}, true, false, false, "OTEL_TRACES_SAMPLER_ARG"},
		{"a share that is no number", map[string]string{"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "NaN"}, true, false, false, "OTEL_TRACES_SAMPLER_ARG"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := read(func(name string) string { return c.env[name] })
			if s.prometheus != c.prometheus || s.metrics != c.metrics || s.traces != c.traces {
				t.Errorf("prometheus %v, metrics %v, traces %v; want %v, %v, %v", s.prometheus, s.metrics, s.traces, c.prometheus, c.metrics, c.traces)
			}
			told := strings.Join(s.problems, "; ")
			if (c.problem == "") != (told == "") || !strings.Contains(told, c.problem) || len(s.problems) > 1 {
				t.Errorf("told is %q, want %q", told, c.problem)
			}
			if strings.Contains(told, "secret") {
				t.Errorf("a value is told: %q", told)
			}
		})
	}
}

// The time between two exports is the environment's, else a minute.
func TestInterval(t *testing.T) {
	for value, want := range map[string]time.Duration{"": time.Minute, "5000": 5 * time.Second, "0": time.Minute, "x": time.Minute} {
		if got := read(func(name string) string {
			if name == "OTEL_METRIC_EXPORT_INTERVAL" {
				return value
			}
			return ""
		}).interval; got != want {
			t.Errorf("the interval of %q is %s, want %s", value, got, want)
		}
	}
}

// Whatever the environment holds, reading it ends, and no value is told.
func FuzzSettings(f *testing.F) {
	f.Add("true", "otlp", "http://collector:4318", "http/protobuf", "api-key=1", "60000", "traceidratio", "0.1")
	f.Add("maybe", "otlp,none,,x", "http://%zz", "grpc", "=,=", "-1", "x", "NaN")
	f.Fuzz(func(t *testing.T, disabled, exporter, endpoint, protocol, headers, interval, sampler, arg string) {
		const secret = "Zq7-"
		values := map[string]string{
			"OTEL_SDK_DISABLED": disabled, "OTEL_METRICS_EXPORTER": exporter, "OTEL_TRACES_EXPORTER": exporter,
			"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_EXPORTER_OTLP_HEADERS": headers,
			"OTEL_METRIC_EXPORT_INTERVAL": interval, "OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": arg,
		}
		s := read(func(name string) string {
			if values[name] == "" {
				return ""
			}
			return values[name] + secret
		})
		if s.interval <= 0 && !s.disabled {
			t.Errorf("the interval is %s", s.interval)
		}
		if told := strings.Join(s.problems, "; "); strings.Contains(told, secret) {
			t.Errorf("a value is told: %q", told)
		}
	})
}
