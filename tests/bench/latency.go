package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"runtime"
	"time"

	"spillway/tests/bench/load"
	"spillway/tests/bench/report"
	"spillway/tests/bench/stand"
	"spillway/tests/bench/wrk"
)

// latency measures what a request waits longer with Spillway between, at a load that keeps
// the machine half busy, and at a tenth of that.
type latency struct {
	*traffic
	rounds int
	each   time.Duration
}

func (latency) name() string { return "latency" }

func (latency) about() string {
	return "added time and processor time of a short request at half load; requests come at random"
}

// What a request may wait longer, in seconds.
const (
	addedMedian = 0.00015
	addedP99    = 0.001
)

const (
	// tenth is the part of half load that shows what a request takes by itself.
	tenth = 0.1
	// atHalf is how many connections carry half load. Fewer requests come on fewer of
	// them, or on a slow machine there would be too few for each.
	atHalf = 100
)

func (l latency) measure(ctx context.Context, progress io.Writer) (report.Result, error) {
	folder, upstream, err := l.static(ctx, l.name(), progress)
	if err != nil {
		return report.Result{}, err
	}
	defer upstream.Stop()
	entries := l.entries(ctx, folder, upstream, direct, nginx, reverseProxy, spillway)
	defer stopAll(entries)
	full, err := l.saturation(ctx, upstream, entries)
	if err != nil {
		return report.Result{}, err
	}
	half, err := l.halfLoad(ctx, folder, upstream, entries[len(entries)-1].contender, full)
	if err != nil {
		return report.Result{}, err
	}
	under := func(part float64) *contest {
		p := pace{rate: half * part, connections: int(atHalf * part), long: l.each}
		turns := make(map[string]uint64)
		c := play(ctx, progress, entries, l.rounds, func(ctx context.Context, c *stand.Contender) (load.Turn, load.Rules, error) {
			turns[c.Name]++
			p.seed = turns[c.Name] // the same times for all in one round, others in the next
			t, err := l.undisturbed(func() (load.Turn, error) { return l.paced(ctx, folder, upstream, c, p) })
			return t, load.Rules{Rate: p.rate, Quiet: true, Lag: mostLag}, err
		})
		return &c
	}
	r := latencyResult(under(1), under(tenth))
	r.Title = fmt.Sprintf("%.0f requests/s, at which load, Spillway and upstream together keep the processors half busy, and a tenth of that, where hardly any request waits for another.\n"+
		"A request is sent when it is due, whether or not others have been answered, for a client that waits sends the fewer requests the slower it is answered.\n"+
		"Load, contender and upstream share the processors, and a request that comes alone wakes each of them up, which costs processor time, too (of clients that wait, Spillway carries %.0f requests/s here); %d rounds of %v, in turns", half, full, l.rounds, l.each)
	return r, nil
}

// mostLag is how late the generator may be, in seconds: a fifth of what is measured.
const mostLag = addedP99 / 5

// undisturbed takes a turn again, a few times at most, if other processes have disturbed
// it, or its generator was late: neither says anything about the contender.
func (latency) undisturbed(turn func() (load.Turn, error)) (t load.Turn, err error) {
	for range 5 {
		if t, err = turn(); err != nil || !t.Disturbed() && t.Lag <= mostLag {
			break
		}
	}
	return t, err
}

// halfLoad is how many requests a second keep the processors half busy with Spillway, its
// load and its upstream. It is sought from half of what that should be on, a few times
// nearer: the more requests there are, the less each of them costs.
func (l latency) halfLoad(ctx context.Context, folder string, u *stand.Upstream, c *stand.Contender, full float64) (float64, error) {
	rate := full / 4
	for range 3 {
		t, err := l.undisturbed(func() (load.Turn, error) {
			return l.paced(ctx, folder, u, c, pace{rate: rate, connections: atHalf, long: time.Second, seed: 1})
		})
		if err != nil {
			return 0, err
		}
		if voids := t.Voids(load.Rules{Rate: rate, Quiet: true}); len(voids) > 0 {
			return 0, fmt.Errorf("half load: %s", voids[0])
		}
		rate = halfBusy(rate, t, runtime.NumCPU())
	}
	return rate, nil
}

// halfBusy is the rate at which so many processors would be half busy if each request
// went on to cost what it did in a turn at the given rate.
func halfBusy(rate float64, t load.Turn, processors int) float64 {
	busy := (t.Contender + t.Generator + t.Upstream).Seconds() / t.Seconds / float64(processors)
	return math.Round(rate * 0.5 / busy)
}

// saturation is how many requests a second Spillway carries, of clients that wait.
func (l latency) saturation(ctx context.Context, u *stand.Upstream, entries []entry) (float64, error) {
	last := entries[len(entries)-1]
	if last.err != nil {
		return 0, last.err
	}
	t, err := u.Requests(ctx, last.contender, l.tools.wrk, wrk.Load{Body: stand.Short, Connections: 32, For: l.each})
	if voids := t.Voids(load.Rules{}); err == nil && len(voids) > 0 {
		err = fmt.Errorf("the load that Spillway carries: %s", voids[0])
	}
	return t.Rate(), err
}

// times are the figures of one turn that are shown.
var times = []column{
	median,
	{"p90", func(t load.Turn) float64 { return t.P90 }, median.unit},
	p99,
	{"p99.9", func(t load.Turn) float64 { return t.P999 }, median.unit},
}

// latencyResult judges what was seen at half load, and shows a tenth of it beside.
func latencyResult(half, low *contest) report.Result {
	r := report.Result{Columns: []string{"load", "contender"}, Figures: map[string]any{"half": half.turns, "tenth": low.turns}}
	for _, t := range times {
		r.Columns = append(r.Columns, t.head)
	}
	r.Columns = append(r.Columns, perRequest.head)
	for _, one := range []struct {
		load string
		*contest
	}{{"half", half}, {"a tenth of it", low}} {
		for _, name := range one.names {
			used, ok := one.spread(name, perRequest.figure)
			cells := append([]string{one.load, name}, one.times(name)...)
			r.Rows = append(r.Rows, append(cells, cell(used, ok, perRequest.unit)))
		}
		for _, name := range one.names {
			if name != direct {
				cells := append([]string{one.load, name + ", more than direct"}, one.moreTimes(name)...)
				r.Rows = append(r.Rows, append(cells, ""))
			}
		}
		for _, why := range one.reasons() {
			r.Voids = append(r.Voids, one.load+": "+why)
		}
	}
	moreMedian, ok := half.added(spillway, direct, median.figure)
	moreP99, okP99 := half.added(spillway, direct, p99.figure)
	r.Goals = []report.Goal{
		goal("added time of a short request at half load, median", moreMedian, ok, addedMedian, median.unit),
		goal("added time of a short request at half load, p99", moreP99, okP99, addedP99, p99.unit),
	}
	for _, of := range []struct {
		name  string
		bound float64
	}{{reverseProxy, proxyFurther}, {nginx, nginxBound}} {
		times, ok := half.ratio(spillway, of.name, load.Turn.PerRequest)
		r.Goals = append(r.Goals, goal(fmt.Sprintf("processor time of a short request at half load, as a multiple of %s's", of.name), times, ok, of.bound, hundredths))
	}
	return r
}

// times are the cells of a contender.
func (c *contest) times(name string) (cells []string) {
	for _, t := range times {
		s, ok := c.spread(name, t.figure)
		cells = append(cells, cell(s, ok, t.unit))
	}
	return cells
}

// moreTimes are by how much a contender's exceed those without anybody between.
func (c *contest) moreTimes(name string) (cells []string) {
	for _, t := range times {
		s, ok := c.added(name, direct, t.figure)
		cells = append(cells, cell(s, ok, t.unit))
	}
	return cells
}
