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
// load that Spillway can carry on this machine.
type latency struct {
	*traffic
	rounds int
	each   time.Duration
}

func (latency) name() string { return "latency" }

func (latency) about() string { return "added time of a short request at half load, median and p99" }

func (l latency) measure(ctx context.Context, progress io.Writer) (report.Result, error) {
	folder, upstream, err := l.static(ctx, l.name(), progress)
	if err != nil {
		return report.Result{}, err
	}
	defer upstream.Stop()
	entries := l.entries(ctx, folder, upstream, direct, reverseProxy, spillway)
	defer stopAll(entries)
	full, err := l.saturation(ctx, upstream, entries)
	if err != nil {
		return report.Result{}, err
	}
	// Many connections with long pauses are near to requests that come at random.
	const connections = 100
	half := full / 2
	pause := time.Duration(connections / half * float64(time.Second)).Round(time.Millisecond)
	half = connections / pause.Seconds()
	c := play(ctx, progress, entries, l.rounds, func(ctx context.Context, c *stand.Contender) (load.Turn, load.Rules, error) {
		t, err := upstream.Requests(ctx, c, l.tools.wrk, wrk.Load{Body: stand.Short, Connections: connections, For: l.each, Pause: pause})
		return t, load.Rules{Rate: half, Quiet: true}, err
	})
	r := latencyResult(&c)
	r.Title = fmt.Sprintf("%.0f requests/s at random, half of what Spillway carries here; load, contender and upstream share the processors; %d rounds of %v, in turns", half, l.rounds, l.each)
	return r, nil
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

// latencyResult judges what was seen.
func latencyResult(c *contest) report.Result {
	r := c.table("", []column{median, p99, rate}, direct)
	addedMedian, ok := c.added(spillway, direct, median.figure)
	addedP99, okP99 := c.added(spillway, direct, p99.figure)
	r.Goals = []report.Goal{
		goal("added time of a short request at half load, median", addedMedian, ok, 0.00015, median.unit),
		goal("added time of a short request at half load, p99", addedP99, okP99, 0.001, p99.unit),
	}
	return r
}
