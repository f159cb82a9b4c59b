package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"spillway/functions/app"
	"spillway/shared/config"
	"spillway/shared/store/memory"
	"spillway/shared/telemetry/export"
	"spillway/tests/bench/meter"
	"spillway/tests/bench/report"
)

// observed measures what metrics cost a request: the whole path without sockets,
// with and without them, in turns.
type observed struct {
	rounds int
	each   time.Duration
}

func (observed) name() string { return "telemetry" }

func (observed) about() string {
	return "what metrics cost a request, of the whole path without sockets"
}

// observedYAML has everything on that a request passes through.
const observedYAML = `
access: keys
backends: [{ name: one, endpoint: "http://one.test", deployments: [{ model: gpt-4o, tokensPerMinute: 1000000000 }] }]
pools: [{ model: gpt-4o, members: [{ backend: one }] }]
consumers: [{ name: team, keys: ["the key of this measurement"], tokensPerMinute: 1000000000 }]
prices: [{ model: gpt-4o, inputPerMillion: 2.5, outputPerMillion: 10 }]
`

func (o observed) measure(ctx context.Context, progress io.Writer) (report.Result, error) {
	testing.Init() // Benchmarks outside of go test need it.
	if err := flag.Set("test.benchtime", o.each.String()); err != nil {
		return report.Result{}, err
	}
	telemetry := export.FromEnvironment(ctx, export.Options{Version: "bench", Instance: "bench"})
	defer telemetry.Shutdown(ctx)
	if telemetry.Prometheus() == nil {
		return report.Result{}, fmt.Errorf("metrics are switched off by an OTEL_ variable")
	}
	off, err := onePath(ctx, nil)
	if err != nil {
		return report.Result{}, err
	}
	on, err := onePath(ctx, telemetry)
	if err != nil {
		return report.Result{}, err
	}
	var without, with, ratios []float64
	began, used := time.Now(), meter.ProcessorTime()
	for n := range o.rounds {
		a, b := testing.Benchmark(off), testing.Benchmark(on)
		if a.N == 0 || b.N == 0 {
			return report.Result{}, fmt.Errorf("a request failed")
		}
		without, with = append(without, nanoseconds(a)), append(with, nanoseconds(b))
		ratios = append(ratios, nanoseconds(b)/nanoseconds(a))
		if (n+1)%100 == 0 {
			fmt.Fprintf(progress, "  round %d of %d\n", n+1, o.rounds)
		}
	}
	itself := func(v float64) float64 { return v }
	ratio, percent := report.SpreadOf(ratios, itself), report.Unit{Digits: 3}
	result := report.Result{
		Title:   fmt.Sprintf("a plain request and its answer, %d rounds of %v, in turns", o.rounds, o.each),
		Columns: []string{"what", "figure"},
		Rows: [][]string{
			{"without metrics", report.SpreadOf(without, itself).Text(report.Unit{Name: "ns"})},
			{"with metrics, for Prometheus", report.SpreadOf(with, itself).Text(report.Unit{Name: "ns"})},
			{"the second as a multiple of the first", ratio.Text(percent)},
		},
		Goals:   []report.Goal{report.AtMost("a request with metrics, as a multiple of one without", ratio, 1.05, percent)},
		Figures: map[string]any{"without": without, "with": with},
	}
	result.Voids = localVoids(time.Since(began), meter.ProcessorTime()-used)
	return result, nil
}

// onePath is a request through a whole gateway.
func onePath(ctx context.Context, to *export.Export) (func(*testing.B), error) {
	cfg, err := config.Parse("gateway.yaml", []byte(observedYAML), nil)
	if err != nil {
		return nil, err
	}
	gateway, err := app.New(ctx, cfg, app.Options{Store: memory.New(), Transport: canned{}, Telemetry: to, Log: zerolog.New(io.Discard)})
	if err != nil {
		return nil, err
	}
	const key = "the key of this measurement"
	if err := callOnce(ctx, gateway, key); err != nil {
		return nil, err
	}
	return func(b *testing.B) {
		for b.Loop() {
			if err := callOnce(ctx, gateway, key); err != nil {
				b.Fatal(err)
			}
		}
	}, nil
}
