package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"spillway/tests/bench/meter"
	"spillway/tests/bench/report"
	"spillway/tests/bench/stand"
	"spillway/tests/bench/streams/seen"
)

// open measures what streams that are open cost in memory, and what they leave.
type open struct {
	*traffic
	few, many int // streams
	rounds    int // of Spillway with many; all else is only shown, and has one
}

func (open) name() string { return "open" }

func (open) about() string { return "memory per open stream, and what is left when they have ended" }

// held is what one round has shown.
type held struct {
	Streams   int
	PerStream float64 // bytes
	Left      int     // goroutines more than before, seconds after the end
	NotTold   string  // why the goroutines cannot be counted
}

func (o open) measure(ctx context.Context, progress io.Writer) (report.Result, error) {
	if err := o.ready(ctx, progress); err != nil {
		return report.Result{}, err
	}
	result := report.Result{
		Title:   "streams that get an event every two seconds, each round with a new process; resident memory more than before, by stream",
		Columns: []string{"contender", "streams", "memory per stream", "goroutines left"},
	}
	figures := make(map[string][]held)
	many := min(o.many, o.most())
	for _, one := range []struct {
		name          string
		count, rounds int
	}{{spillway, o.few, 1}, {reverseProxy, many, 1}, {spillway, many, o.rounds}} {
		what := fmt.Sprintf("%s, %d streams", one.name, one.count)
		var shown []held
		for n := range one.rounds {
			h, err := o.round(ctx, fmt.Sprintf("%d-%d", one.count, n), one.name, one.count)
			if err != nil {
				result.Voids = append(result.Voids, fmt.Sprintf("%s, round %d: %v", what, n+1, err))
				continue
			}
			shown = append(shown, h)
			fmt.Fprintf(progress, "  %s, round %d of %d\n", what, n+1, one.rounds)
		}
		figures[what] = shown
		all := len(shown) == one.rounds
		result.Rows = append(result.Rows, openRow(one.name, one.count, shown, all))
		if one.name == spillway && one.count == many {
			goals, voids := openGoals(many, shown, all)
			result.Goals, result.Voids = goals, append(result.Voids, voids...)
		}
	}
	result.Figures = figures
	return result, nil
}

// most is how many streams a contender can have open: each takes two files.
func (o open) most() int {
	const others = 200
	return (o.files - others) / 2
}

var kibibytes = report.Unit{Name: "KiB", Scale: 1.0 / 1024, Digits: 1}

func openRow(name string, count int, all []held, ok bool) []string {
	if !ok {
		return []string{name, fmt.Sprint(count), "void", "void"}
	}
	left := report.SpreadOf(all, func(h held) float64 { return float64(h.Left) }).Text(whole)
	if all[0].NotTold != "" {
		left = "void"
	}
	if name != spillway {
		left = ""
	}
	return []string{name, fmt.Sprint(count), report.SpreadOf(all, func(h held) float64 { return h.PerStream }).Text(kibibytes), left}
}

// openGoals judges the rounds with the most streams.
func openGoals(count int, all []held, ok bool) (goals []report.Goal, voids []string) {
	var memory, left report.Spread
	told := ok
	if ok {
		memory = report.SpreadOf(all, func(h held) float64 { return h.PerStream })
		left = report.SpreadOf(all, func(h held) float64 { return float64(h.Left) })
		if why := all[0].NotTold; why != "" {
			told, voids = false, []string{why}
		}
	}
	return []report.Goal{
		goal(fmt.Sprintf("resident memory per open stream, of %d", count), memory, ok, 40<<10, kibibytes),
		goal(fmt.Sprintf("goroutines left by %d streams", count), left, told, 0, whole),
	}, voids
}

// round opens streams before a new process, and lets them end.
func (o open) round(ctx context.Context, id, name string, count int) (h held, err error) {
	folder, err := o.section(filepath.Join(o.name(), id+"-"+name))
	if err != nil {
		return h, err
	}
	// What is kept of idle connections is to end soon, so that it can be told from what
	// streams have left.
	upstream, err := stand.StartReading(ctx, folder, o.tools.upstream, "--hold", "--every", "2s", "--idle", "1s")
	if err != nil {
		return h, err
	}
	defer upstream.Stop()
	contender, err := o.start(ctx, folder, upstream, name)
	if err != nil {
		return h, err
	}
	defer contender.Stop()
	goroutines := func() (int, error) { return 0, nil }
	if name == spillway {
		if err := contender.Loaded(ctx); err != nil {
			return h, err
		}
		goroutines = func() (int, error) { return contender.Goroutines(ctx) }
	}
	pauseFor(ctx, 4*time.Second) // the first request's connection is closed by then
	before, notTold := goroutines()
	idle, err := meter.Resident(contender.PID())
	if err != nil {
		return h, err
	}
	busy, err := o.hold(ctx, folder, upstream, contender, count)
	if err != nil {
		return h, err
	}
	h = held{Streams: count, PerStream: (busy - idle) / float64(count)}
	if notTold != nil {
		h.NotTold = notTold.Error()
		return h, nil
	}
	h.Left, err = left(ctx, before, goroutines)
	return h, err
}

// hold opens streams, reads the memory while they are open, and lets them end.
func (o open) hold(ctx context.Context, folder string, u *stand.Upstream, c *stand.Contender, count int) (memory float64, err error) {
	const perSecond = 2500
	g, err := o.opens(ctx, folder, c, count, time.Duration(count)*time.Second/perSecond)
	if err != nil {
		return 0, err
	}
	err = g.says("open")
	if err == nil {
		pauseFor(ctx, time.Second)
		memory, err = meter.Resident(c.PID())
	}
	err = errors.Join(err, u.Release(ctx))
	got, notSeen := ended[seen.Seen](g)
	if err = errors.Join(err, notSeen); err != nil {
		return 0, err
	}
	if got.Errors > 0 {
		return 0, fmt.Errorf("%d of %d streams did not end well: %s", got.Errors, got.Streams, got.Why)
	}
	return memory, nil
}

// left is how many goroutines there are more than before, once they do not get fewer.
func left(ctx context.Context, before int, count func() (int, error)) (int, error) {
	least := 0
	for n := range 60 {
		now, err := count()
		if err != nil {
			return 0, err
		}
		if least = now - before; n > 0 && least <= 0 {
			return 0, nil
		}
		pauseFor(ctx, 250*time.Millisecond)
	}
	return least, nil
}
