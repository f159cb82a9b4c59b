package gateway_test

import (
	"testing"

	"github.com/rs/zerolog"

	"spillway/functions/app"
	"spillway/shared/telemetry/export"
	"spillway/shared/usage"
	"spillway/tests/fakes/otlp"
)

// BenchmarkTelemetry is what telemetry adds to a request, beside BenchmarkServe.
func BenchmarkTelemetry(b *testing.B) {
	collector := otlp.Start()
	b.Cleanup(collector.Close)
	collector.Hang() // its own work, and that of sending to it, is not the request's
	for _, bench := range []struct {
		name string
		env  map[string]string // nil: no telemetry
	}{
		{"off", nil},
		{"prometheus", map[string]string{}},
		{"otlp", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": collector.URL(), "OTEL_TRACES_EXPORTER": "none"}},
		{"tenth", map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": collector.URL() + "/v1/traces", "OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"}},
		{"unsampled", map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": collector.URL() + "/v1/traces", "OTEL_TRACES_SAMPLER": "parentbased_always_off"}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			o := app.Options{Transport: instantPlain()}
			if bench.env != nil {
				for name, value := range bench.env {
					b.Setenv(name, value)
				}
				o.Telemetry = export.FromEnvironment(b.Context(), export.Options{Log: zerolog.Nop()})
				b.Cleanup(func() { o.Telemetry.Shutdown(b.Context()) })
			}
			served := 0
			o.Observe = func(r *usage.Record) {
				if r.Backend == "ptu" && r.Measured {
					served++
				}
			}
			benchmarkChat(b, newApp(b, everythingOn(), o), false)
			if served < b.N {
				b.Fatalf("%d of %d requests were served by the first backend", served, b.N)
			}
		})
	}
}
