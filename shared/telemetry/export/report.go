package export

import (
	"context"
	"errors"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"spillway/shared/telemetry/meter"
)

// reports tells of exports that fail: of the first at once, then every five minutes,
// and that they work again. It is safe for concurrent use.
type reports struct {
	log      zerolog.Logger
	failures atomic.Int64
	metrics  atomic.Int64 // when metrics were last exported, in nanoseconds of Unix time

	mu    sync.Mutex
	since map[string]*failing // by signal. Guarded by mu.
}

// failing is a signal whose exports fail.
type failing struct {
	times int
	told  time.Time
}

// tellEvery is the time between two lines about one signal.
const tellEvery = 5 * time.Minute

func newReports(log zerolog.Logger) *reports {
	return &reports{log: log, since: make(map[string]*failing)}
}

// ended takes note of how an export ended.
func (r *reports) ended(signal string, err error) {
	if err != nil {
		r.failed(signal, err)
		return
	}
	r.mu.Lock()
	f := r.since[signal]
	delete(r.since, signal)
	r.mu.Unlock()
	if f != nil {
		r.log.Info().Str("event", "telemetry_exported").Str("signal", signal).Int("failures", f.times).
			Msg("telemetry is exported again")
	}
}

func (r *reports) failed(signal string, err error) {
	r.failures.Add(1)
	now := time.Now()
	r.mu.Lock()
	f := r.since[signal]
	if f == nil {
		f = new(failing)
		r.since[signal] = f
	}
	f.times++
	times, tell := f.times, now.Sub(f.told) >= tellEvery
	if tell {
		f.told = now
	}
	r.mu.Unlock()
	if tell {
		r.log.Warn().Str("event", "telemetry_not_exported").Str("signal", signal).Int("failures", times).
			Str("reason", cause(err)).Msg("telemetry cannot be exported")
	}
}

// cause is what went wrong, without the endpoint's URL, which may hold a secret, and
// not too long: a collector may answer with a page.
func cause(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return meter.Value(err.Error())
}

func (r *reports) lastMetrics() time.Time { return time.Unix(0, r.metrics.Load()) }

// metricExporter keeps to itself what goes wrong: the reader would tell it to the
// process's error handler.
type metricExporter struct {
	sdkmetric.Exporter
	reports *reports
}

// Export exports metrics.
func (e metricExporter) Export(ctx context.Context, m *metricdata.ResourceMetrics) error {
	e.reports.metrics.Store(time.Now().UnixNano())
	e.reports.ended("metrics", e.Exporter.Export(ctx, m))
	return nil
}

// spanExporter is the same for traces.
type spanExporter struct {
	sdktrace.SpanExporter
	reports *reports
}

// ExportSpans exports spans.
func (e spanExporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	e.reports.ended("traces", e.SpanExporter.ExportSpans(ctx, spans))
	return nil
}

var (
	_ sdkmetric.Exporter    = metricExporter{}
	_ sdktrace.SpanExporter = spanExporter{}
)
