package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"spillway/shared/lease"
	"spillway/shared/pool"
	"spillway/shared/quota"
	"spillway/shared/store/memory"
	"spillway/tests/bench/meter"
	"spillway/tests/bench/report"
)

// local measures what each request pays in this process.
type local struct {
	rounds int
	each   time.Duration // The time of each benchmark in each round.
}

func (local) name() string { return "local" }

func (local) about() string {
	return "time and allocations of a reservation and of a pick, against an atomic addition"
}

// micro is one benchmark.
type micro struct {
	name string
	run  func(*testing.B)
	goal float64 // ns at most; 0: none.
}

// microFigures is what the rounds of a micro gave.
type microFigures struct {
	Name        string
	Nanoseconds report.Spread
	Allocations int64 // The most.
}

func (l local) measure(ctx context.Context, progress io.Writer) (report.Result, error) {
	testing.Init() // Benchmarks outside of go test need it.
	if err := flag.Set("test.benchtime", l.each.String()); err != nil {
		return report.Result{}, err
	}
	micros, err := micros()
	if err != nil {
		return report.Result{}, err
	}
	began, used := time.Now(), meter.ProcessorTime()
	runs := make([][]testing.BenchmarkResult, len(micros))
	for n := range l.rounds {
		for i, m := range micros {
			if ctx.Err() != nil {
				return report.Result{}, ctx.Err()
			}
			b := testing.Benchmark(m.run)
			if b.N == 0 {
				return report.Result{}, fmt.Errorf("%s failed", m.name)
			}
			runs[i] = append(runs[i], b)
		}
		fmt.Fprintf(progress, "  round %d of %d\n", n+1, l.rounds)
	}
	result := l.result(micros, runs)
	result.Voids = localVoids(time.Since(began), meter.ProcessorTime()-used)
	return result, nil
}

// localVoids says why not to believe what took so long while this process had so much
// processor time: it never waits.
func localVoids(took, used time.Duration) []string {
	const least = 0.8
	if part := used.Seconds() / took.Seconds(); part < least {
		return []string{fmt.Sprintf("this process had %.0f %% of a processor: the machine is busy with something else", 100*part)}
	}
	return nil
}

func (l local) result(micros []micro, runs [][]testing.BenchmarkResult) report.Result {
	result := report.Result{
		Title:   fmt.Sprintf("one goroutine, %d rounds of %v, in turns", l.rounds, l.each),
		Columns: []string{"operation", "ns", "allocations", "ns, as a multiple of the first"},
	}
	var figures []microFigures
	for i, m := range micros {
		f := microFigures{Name: m.name, Nanoseconds: report.SpreadOf(runs[i], nanoseconds)}
		for _, b := range runs[i] {
			f.Allocations = max(f.Allocations, b.AllocsPerOp())
		}
		figures = append(figures, f)
		result.Rows = append(result.Rows, []string{
			m.name, f.Nanoseconds.Text(tenths), fmt.Sprint(f.Allocations),
			fmt.Sprintf("%.0f", f.Nanoseconds.Median/figures[0].Nanoseconds.Median),
		})
		if m.goal > 0 {
			result.Goals = append(result.Goals,
				report.AtMost(m.name+", ns", f.Nanoseconds, m.goal, whole),
				report.Goal{What: m.name + ", allocations", Want: "0", Got: fmt.Sprint(f.Allocations), Reached: f.Allocations == 0})
		}
	}
	result.Figures = figures
	return result
}

func micros() ([]micro, error) {
	limit, err := warmLimit()
	if err != nil {
		return nil, err
	}
	return []micro{
		{name: "add to an atomic integer", run: addAtomic},
		{name: "reserve and settle on a warm lease", run: func(b *testing.B) { reserveSettle(b, limit) }, goal: 300},
		{name: "pick 1 of 20, weighted", run: func(b *testing.B) { pick(b, pool.Weighted) }, goal: 1000},
		{name: "pick 1 of 20, least latency", run: func(b *testing.B) { pick(b, pool.LeastLatency) }, goal: 1000},
		{name: "pick 1 of 20, most headroom", run: func(b *testing.B) { pick(b, pool.MostHeadroom) }, goal: 1000},
	}, nil
}

func addAtomic(b *testing.B) {
	var n atomic.Int64
	b.ReportAllocs()
	for b.Loop() {
		n.Add(1000)
	}
}

// warmLimit is a limit whose lease never runs dry.
func warmLimit() (*lease.Limit, error) {
	engine, err := lease.New(lease.Options{Store: memory.New(), Instance: "bench"})
	if err != nil {
		return nil, err
	}
	limit := engine.Limit("warm", quota.MaxUnits, quota.Month)
	r, v := limit.Reserve(context.Background(), quota.MaxUnits/2)
	if !v.OK() {
		return nil, errors.New("warming up: " + v.Outcome.String())
	}
	r.Settle(0)
	return limit, nil
}

func reserveSettle(b *testing.B, limit *lease.Limit) {
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		r, v := limit.Reserve(ctx, 1000)
		if !v.OK() {
			b.Fatal(v)
		}
		r.Settle(400)
	}
}

func pick(b *testing.B, strategy pool.Strategy) {
	random := rand.New(rand.NewPCG(1, 1))
	candidates := make([]pool.Candidate, 20)
	for i := range candidates {
		candidates[i] = pool.Candidate{
			Index: i, Weight: 1 + i%4, Headroom: random.Int64N(100_000), Latency: time.Duration(1 + random.Int64N(int64(time.Second))), InFlight: random.Int64N(20),
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if pool.Pick(strategy, candidates, rand.Uint64N) < 0 {
			b.Fatal("nobody was picked")
		}
	}
}

func nanoseconds(b testing.BenchmarkResult) float64 {
	return float64(b.T.Nanoseconds()) / float64(b.N)
}
