package main

import (
	"context"
	"fmt"
	"io"
	"slices"
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
	// longer is how many times as long the turns of many consumers are. While others have
	// their turns, nobody calls: in turns as short as those, consumers would call several
	// times more rarely than they do where their program alone is under that load, and
	// nearly each call would be the first in its minute.
	longer int
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
	turn := func(ctx context.Context, _ int, c *stand.Contender) (load.Turn, load.Rules, error) {
		long := g.each
		if len(keys[c.Name]) == g.consumers {
			long *= time.Duration(g.longer)
		}
		t, err := upstream.Requests(ctx, c, g.tools.wrk, wrk.Load{Body: stand.Short, Keys: keys[c.Name], First: next[c.Name], Connections: 16, For: long})
		next[c.Name] += t.Requests
		return t, load.Rules{Stolen: mostStolen}, err
	}
	var contests []*contest
	for _, pair := range []struct {
		few, many string
		judged    bool
	}{
		{small, manyBackends, true},
		{small, manyConsumers, true},
		{control(small), control(manyConsumers), false},
	} {
		fmt.Fprintf(progress, "  %s, %s\n", pair.few, pair.many)
		both := slices.DeleteFunc(slices.Clone(entries), func(e entry) bool { return e.name != pair.few && e.name != pair.many })
		rounds := shownRounds
		if pair.judged {
			rounds = g.rounds
			for _, e := range both {
				if err := g.firstCalls(ctx, e, len(keys[e.name]), turn); err != nil {
					return report.Result{}, err
				}
			}
		}
		c := play(ctx, progress, both, rounds, turn)
		contests = append(contests, &c)
	}
	return g.result(contests), nil
}

// warmUp is how many turns a contender has at least before it is measured: metrics of one
// consumer and one backend take memory until there have been 64 requests, which with a
// hundred backends and ten consumers are 64,000.
const warmUp = 3

// firstCalls lets all consumers of a contender call, in a few turns at least. What the first
// calls of a consumer, or to a backend, cost beside, to make its limits and series, is
// paid once, and so is the start of a program: neither is what is measured.
func (g growth) firstCalls(ctx context.Context, e entry, consumers int, turn turnOf) error {
	if e.err != nil {
		return nil // which makes it void
	}
	c := e.contender
	for calls, turns := int64(0), 0; calls < int64(consumers) || turns < warmUp; turns++ {
		t, _, err := turn(ctx, 0, c)
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

// result judges what was seen, in contests of two, the first with few of what the second
// has many of: of backends, of consumers, and of consumers of whom a program knows nothing.
func (g growth) result(contests []*contest) report.Result {
	const bound = 1.15
	figures := []column{perRequest, rate, median, p99}
	var r report.Result
	r.Title = fmt.Sprintf("in pairs: %d rounds of %v, in turns, or %v with so many consumers, and %d of %s; before them each Spillway has had %d turns at least, in which each consumer has called; their keys take turns, and go on from turn to turn, so that each of many calls every few seconds; 16 connections; %s",
		g.rounds, g.each, time.Duration(g.longer)*g.each, shownRounds, reverseProxy, warmUp, stolen(contests...))
	var turns []map[string][]load.Turn
	for i, c := range contests {
		few, many := c.names[0], c.names[1]
		pair := c.table("", figures, few)
		r.Columns, r.Rows, r.Voids = pair.Columns, append(r.Rows, pair.Rows...), append(r.Voids, pair.Voids...)
		turns = append(turns, c.turns)
		if i == len(contests)-1 {
			break // the control is there to compare with
		}
		ratio, ok := c.ratio(many, few, load.Turn.PerRequest)
		r.Goals = append(r.Goals, goal(fmt.Sprintf("processor time of a request with %s, as a multiple of that with %s", many, few), ratio, ok, bound, hundredths))
	}
	r.Columns[len(r.Columns)-1] = "the first as a multiple of the line above"
	r.Figures = turns
	return r
}
