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

// growth measures whether a request costs more where there are many backends, or many
// consumers.
type growth struct {
	*traffic
	rounds    int
	each      time.Duration
	consumers int
}

func (growth) name() string { return "growth" }

func (growth) about() string {
	return "processor time of a short request with many backends, and with many active consumers"
}

const (
	small        = "1 backend, 10 consumers"
	manyBackends = "100 backends"
)

func (g growth) measure(ctx context.Context, progress io.Writer) (report.Result, error) {
	folder, upstream, err := g.static(ctx, g.name(), progress)
	if err != nil {
		return report.Result{}, err
	}
	defer upstream.Stop()
	manyConsumers := fmt.Sprintf("%d consumers", g.consumers)
	var entries []entry
	defer func() { stopAll(entries) }()
	keys := make(map[string][]string)
	for _, s := range []stand.Settings{{Name: small, Backends: 1}, {Name: manyBackends, Backends: 100}, {Name: manyConsumers, Backends: 1, Consumers: g.consumers}} {
		contender, err := stand.StartSpillway(ctx, folder, g.tools.spillway, upstream, s)
		entries = append(entries, enter(s.Name, contender, err))
		keys[s.Name] = stand.Keys(max(s.Consumers, 10))
	}
	for _, name := range []string{small, manyConsumers} {
		contender, err := g.start(ctx, folder, upstream, reverseProxy)
		entries = append(entries, enter(control(name), contender, err))
		keys[control(name)] = keys[name]
	}
	next := make(map[string]int64) // whose turn it is
	turn := func(ctx context.Context, c *stand.Contender) (load.Turn, load.Rules, error) {
		t, err := upstream.Requests(ctx, c, g.tools.wrk, wrk.Load{Body: stand.Short, Keys: keys[c.Name], First: next[c.Name], Connections: 16, For: g.each})
		next[c.Name] += t.Requests
		return t, load.Rules{}, err
	}
	fmt.Fprintln(progress, "  each consumer calls for the first time")
	for _, e := range entries {
		if e.err != nil {
			continue
		}
		if err := g.firstCalls(ctx, e.contender, len(keys[e.name]), turn); err != nil {
			return report.Result{}, err
		}
	}
	c := play(ctx, progress, entries, g.rounds, turn)
	return g.result(&c, manyConsumers), nil
}

// firstCalls lets all consumers of a contender call, in a turn at least. What the first
// call of a consumer, or to a backend, costs beside, to make its limits and series, is
// paid once, and so is the start of a program: neither is what is measured.
func (g growth) firstCalls(ctx context.Context, c *stand.Contender, consumers int, turn turnOf) error {
	for calls := int64(0); calls < int64(consumers); {
		t, _, err := turn(ctx, c)
		if err != nil {
			return err
		}
		if t.Errors > 0 || t.Requests == 0 {
			return fmt.Errorf("%s: %d errors in %d first calls", c.Name, t.Errors, t.Requests)
		}
		calls += t.Requests
	}
	return nil
}

// control is the name of a program that knows no consumers under the load that they are:
// what their keys cost there is the load's own, such as memory that is not in a cache.
func control(load string) string { return reverseProxy + ", keys as with " + load }

// result judges what was seen.
func (g growth) result(c *contest, manyConsumers string) report.Result {
	const bound = 1.15
	figures := []column{perRequest, rate, median, p99}
	c.names = []string{small, manyBackends, manyConsumers}
	r := c.table("", figures, small)
	r.Columns[len(r.Columns)-1] = "the first as a multiple of the same program's with 10 consumers"
	r.Title = fmt.Sprintf("each contender has had a turn before, in which each consumer has called; their keys take turns, and go on from turn to turn, so that each of many calls about twice a minute; 16 connections; %d rounds of %v, in turns", g.rounds, g.each)
	for _, name := range c.names[1:] {
		ratio, ok := c.ratio(name, small, load.Turn.PerRequest)
		r.Goals = append(r.Goals, goal(fmt.Sprintf("processor time of a request with %s, as a multiple of that with %s", name, small), ratio, ok, bound, hundredths))
	}
	c.names = []string{control(small), control(manyConsumers)}
	for _, name := range c.names {
		r.Rows = append(r.Rows, c.row(name, figures, control(small)))
	}
	r.Voids = append(r.Voids, c.reasons()...)
	return r
}
