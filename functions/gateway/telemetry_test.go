package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"spillway/functions/app"
	"spillway/shared/telemetry/export"
	"spillway/tests/fakes/otlp"
	"spillway/tests/rig"
)

// BenchmarkTelemetry is what telemetry adds to a request, beside BenchmarkServe.
func BenchmarkTelemetry(b *testing.B) {
	settings := "tokensPerMinute: 1000000000000, requestsPerMinute: 1000000000000, quotas: [{ tokens: 1000000000000, per: month }]"
	yaml := strings.Replace(limited(settings), "tokensPerMinute: 10000 ", "tokensPerMinute: 1000000000000, requestsPerMinute: 1000000000000 ", 1)
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
			a := newApp(b, yaml, o)
			body := fmt.Sprintf(`{"model":"gpt-4o","max_tokens":100,"messages":[{"role":"system","content":"You are terse."},{"role":"user","content":%q}]}`,
				strings.Repeat("The flow of water over a weir keeps its level. ", 40))
			call := rig.Call{Path: "/v1/chat/completions", Key: teamKey, Header: map[string]string{"User-Agent": "bench", "Accept": "*/*", "X-Stainless-Lang": "go"}}
			request := call.Request(b.Context())
			request.ContentLength = int64(len(body))
			header := http.Header{}
			b.ReportAllocs()
			for b.Loop() {
				r := *request
				r.Body = io.NopCloser(strings.NewReader(body))
				clear(header)
				a.ServeHTTP(&sink{header}, &r)
			}
		})
	}
}
