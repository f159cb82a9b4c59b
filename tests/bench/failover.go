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

// failover measures what it costs that some attempts are refused and made again
// elsewhere.
type failover struct {
	*traffic
	rounds int
	each   time.Duration
}

func (failover) name() string { return "failover" }

func (failover) about() string {
	return "processor time of a short request when backends refuse one attempt of twenty"
}

const (
	spillwayFailing = "Spillway, failing over"
	nginxFailing    = "nginx, failing over"
)

func (f failover) measure(ctx context.Context, progress io.Writer) (report.Result, error) {
	folder, upstream, err := f.static(ctx, f.name(), progress)
	if err != nil {
		return report.Result{}, err
	}
	defer upstream.Stop()
	entries := f.entries(ctx, folder, upstream, nginx)
	good, err := stand.StartSpillway(ctx, folder, f.tools.spillway, upstream, stand.Settings{Backends: 12})
	entries = append(entries, enter(spillway, good, err))
	failing, err := stand.StartNginx(ctx, folder, f.tools.nginx, upstream, f.files, true)
	entries = append(entries, enter(nginxFailing, failing, err))
	failing, err = stand.StartSpillway(ctx, folder, f.tools.spillway, upstream, stand.Settings{Limited: true})
	entries = append(entries, enter(spillwayFailing, failing, err))
	defer stopAll(entries)
	c := play(ctx, progress, entries, f.rounds, func(ctx context.Context, _ int, c *stand.Contender) (load.Turn, load.Rules, error) {
		t, err := upstream.Requests(ctx, c, f.tools.wrk, wrk.Load{Body: stand.Short, Connections: 16, For: f.each})
		rules := load.Rules{}
		if c.Name == spillwayFailing || c.Name == nginxFailing {
			rules = load.Rules{Attempts: 1.05, Slack: 0.02} // from 3 to 7 of 100 are made again
		}
		return t, rules, err
	})
	r := c.table("", []column{perRequest, rate, median, p99, attempts}, spillway)
	r.Title = fmt.Sprintf("one attempt of twenty is answered with 429 and retry-after-ms: 1; 10 such backends before 2 good ones, against 12 good ones; 16 connections; %d rounds of %v, in turns", f.rounds, f.each)
	ratio, ok := c.ratio(spillwayFailing, spillway, load.Turn.PerRequest)
	r.Goals = []report.Goal{goal("processor time of a request when 5 % of attempts fail, as a multiple of when none does", ratio, ok, 1.15, hundredths)}
	return r, nil
}

// attempts are those that reached the upstream, per request.
var attempts = column{"attempts per request", func(t load.Turn) float64 { return float64(t.Reached) / float64(t.Requests) }, hundredths}
