// Package export takes metrics and traces out of the process: by OTLP, as the standard
// OTEL_* variables of the OpenTelemetry specification say, and as Prometheus reads
// them. Nothing of it is in the way of a request: an endpoint that is slow, down or
// wrong costs background work, and a log line now and then.
//
// Without an endpoint and without an exporter in the environment nothing is exported.
package export

import (
	"cmp"
	"context"
	"crypto/rand"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	client "github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/otlptranslator"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Options say whose metrics and traces they are.
type Options struct {
	// Log is told of wrong settings, once, and of exports that fail, now and then.
	Log zerolog.Logger
	// Version and Instance are service.version and service.instance.id, which must
	// tell instances apart; the name of the service is "spillway". The environment
	// overrides all three. Default: no version, and a random instance.
	Version, Instance string
	// Cardinality is the most attribute sets of one instrument. 0: the SDK's default.
	Cardinality int
}

// Export is the way out. It is safe for concurrent use.
type Export struct {
	reports    *reports
	interval   time.Duration // between two exports of metrics
	meters     *sdkmetric.MeterProvider
	traces     *sdktrace.TracerProvider
	pushed     bool // metrics are exported, not only read
	prometheus http.Handler

	mu   sync.Mutex
	next time.Time // No flush before. Guarded by mu.
}

// FromEnvironment makes what the environment asks for. It never fails: what is wrong
// is told in one log line, and the rest works. It sets the process's OpenTelemetry
// error handler and logger, which would else write to stderr.
func FromEnvironment(ctx context.Context, o Options) *Export {
	s := read(os.Getenv)
	e := &Export{reports: newReports(o.Log), interval: s.interval}
	// What the SDK makes of its variables it would tell line by line, with their values.
	otel.SetLogger(logr.Discard())
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) {}))
	described, err := describe(ctx, o)
	if err != nil {
		s.wrong("OTEL_RESOURCE_ATTRIBUTES", "is no list of NAME=VALUE, separated by commas; what cannot be read of it is left out")
	}
	e.openMetrics(ctx, &s, o, described)
	e.openTraces(ctx, &s, described)
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { e.reports.failed("sdk", err) }))
	if len(s.problems) > 0 {
		o.Log.Warn().Str("event", "telemetry_settings").Str("reason", strings.Join(s.problems, "; ")).
			Msg("settings of OpenTelemetry cannot be used")
	}
	return e
}

// describe is the resource that all metrics and traces are of.
func describe(ctx context.Context, o Options) (*resource.Resource, error) {
	all := []attribute.KeyValue{
		attribute.String("service.name", "spillway"),
		attribute.String("service.instance.id", cmp.Or(o.Instance, rand.Text())),
	}
	if o.Version != "" {
		all = append(all, attribute.String("service.version", o.Version))
	}
	return resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(all...), resource.WithFromEnv())
}

func (e *Export) openMetrics(ctx context.Context, s *settings, o Options, described *resource.Resource) {
	options := []sdkmetric.Option{
		sdkmetric.WithResource(described),
		sdkmetric.WithExemplarFilter(exemplar.AlwaysOffFilter),
	}
	if o.Cardinality > 0 {
		options = append(options, sdkmetric.WithCardinalityLimit(o.Cardinality))
	}
	readers := len(options)
	if s.prometheus {
		registry := client.NewRegistry()
		reader, err := prometheus.New(
			prometheus.WithRegisterer(registry),
			prometheus.WithoutScopeInfo(),
			prometheus.WithTranslationStrategy(otlptranslator.UnderscoreEscapingWithSuffixes),
		)
		if err == nil {
			options = append(options, sdkmetric.WithReader(reader))
			e.prometheus = promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
		}
	}
	if s.metrics {
		exporter, err := otlpmetrichttp.New(ctx)
		if err != nil {
			s.wrong("OTEL_EXPORTER_OTLP_*", "cannot be used; metrics are not exported")
		} else {
			options = append(options, sdkmetric.WithReader(sdkmetric.NewPeriodicReader(metricExporter{exporter, e.reports})))
			e.pushed = true
		}
	}
	if len(options) > readers {
		e.meters = sdkmetric.NewMeterProvider(options...)
	}
}

func (e *Export) openTraces(ctx context.Context, s *settings, described *resource.Resource) {
	if !s.traces {
		return
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		s.wrong("OTEL_EXPORTER_OTLP_*", "cannot be used; traces are not exported")
		return
	}
	e.traces = sdktrace.NewTracerProvider(sdktrace.WithResource(described), sdktrace.WithBatcher(spanExporter{exporter, e.reports}))
}

// Meters makes instruments. It is nil if nobody is to read them.
func (e *Export) Meters() metric.MeterProvider {
	if e.meters == nil {
		return nil
	}
	return e.meters
}

// Traces makes tracers. It is nil if traces are not exported.
func (e *Export) Traces() trace.TracerProvider {
	if e.traces == nil {
		return nil
	}
	return e.traces
}

// Prometheus answers with all metrics as Prometheus reads them. It is nil if they are
// switched off. It does not ask who is calling.
func (e *Export) Prometheus() http.Handler { return e.prometheus }

// Flush exports what there is, at most until ctx ends: for a host that freezes the
// process between two requests, where nothing goes on in the background. Metrics go
// out when their interval has passed, spans each time. After a failure it does nothing
// for an interval, so that an endpoint that hangs costs one flush of many.
func (e *Export) Flush(ctx context.Context) {
	now := time.Now()
	e.mu.Lock()
	due := !now.Before(e.next)
	e.mu.Unlock()
	if !due {
		return
	}
	failures := e.reports.failures.Load()
	var signals sync.WaitGroup
	if e.traces != nil {
		signals.Go(func() { _ = e.traces.ForceFlush(ctx) })
	}
	if e.pushed && now.Sub(e.reports.lastMetrics()) >= e.interval {
		signals.Go(func() { _ = e.meters.ForceFlush(ctx) })
	}
	signals.Wait()
	if ctx.Err() != nil || e.reports.failures.Load() > failures {
		e.mu.Lock()
		e.next = time.Now().Add(e.interval)
		e.mu.Unlock()
	}
}

// Shutdown exports what there is, at most until ctx ends, and stops. Afterwards
// nothing is exported any more.
func (e *Export) Shutdown(ctx context.Context) {
	var signals sync.WaitGroup
	if e.traces != nil {
		signals.Go(func() { _ = e.traces.Shutdown(ctx) })
	}
	if e.meters != nil {
		signals.Go(func() { _ = e.meters.Shutdown(ctx) })
	}
	signals.Wait()
}
