package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"spillway/tests/bench/load"
	"spillway/tests/bench/report"
	"spillway/tests/bench/stand"
	"spillway/tests/bench/wrk"
)

// latency measures what a request waits longer with Spillway between, at half of the
// load that Spillway can carry on this machine, and at a tenth of that.
type latency struct {
	*traffic
	rounds int
	each   time.Duration
}

func (latency) name() string { return "latency" }

func (latency) about() string {
	return "added time of a short request at half load, median and p99; requests come at random"
}

// What a request may wait longer, in seconds.
const (
	addedMedian = 0.00015
	addedP99    = 0.001
)

// tenth is the part of half load that shows what a request takes by itself.
const tenth = 0.1

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
	half := full / 2
	under := func(rate float64) *contest {
		turns := make(map[string]uint64)
		c := play(ctx, progress, entries, l.rounds, func(ctx context.Context, c *stand.Contender) (load.Turn, load.Rules, error) {
			turns[c.Name]++ // the same times for all in one round, others in the next
			t, err := l.undisturbed(func() (load.Turn, error) {
				return l.paced(ctx, folder, upstream, c, pace{rate: rate, connections: 100, long: l.each, seed: turns[c.Name]})
			})
			return t, load.Rules{Rate: rate, Quiet: true, Lag: addedP99 / 5}, err
		})
		return &c
	}
	r := latencyResult(under(half), under(half*tenth))
	r.Title = fmt.Sprintf("%.0f requests/s, half of what Spillway carries here, and a tenth of that, where hardly any request waits for another.\n"+
		"A request is sent when it is due, whether or not others have been answered, for a client that waits sends the fewer requests the slower it is answered.\n"+
		"Load, contender and upstream share the processors, and a request that comes alone wakes each of them up, which costs processor time, too; %d rounds of %v, in turns", half, l.rounds, l.each)
	return r, nil
}

// undisturbed takes a turn again, a few times at most, if other processes have disturbed
// it: whether they have says nothing about the contender.
func (latency) undisturbed(turn func() (load.Turn, error)) (t load.Turn, err error) {
	for range 5 {
		if t, err = turn(); err != nil || !t.Disturbed() {
			break
		}
	}
	return t, err
}

// saturation is how many requests a second Spillway carries.
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
