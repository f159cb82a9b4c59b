package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"runtime"
	"time"

	"spillway/tests/bench/affinity"
	"spillway/tests/bench/load"
	"spillway/tests/bench/report"
	"spillway/tests/bench/stand"
)

// latency measures what a request waits longer with Spillway between, and what it costs, at
// half load. It does so twice. Together, all processes share all processors, as a sidecar
// and its neighbours do: that is what the processor time is taken from. Apart, the load has
// processors of its own, as clients have, and so have those that are measured: that is what
// times are taken from. Where two processors are shared, Linux often leaves load, contender
// and upstream on one of them while the other one is idle, and half of two is all of one:
// for tens of milliseconds the queue grows, and times tell of that rather than of the
// contender.
type latency struct {
	*traffic
	together, apart int // rounds
	each            time.Duration
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
	// full is half load itself, and tenth the part of it that shows what a request takes
	// by itself.
	full, tenth = 1, 0.1
	// atHalf is how many connections carry half load. Fewer requests come on fewer of
	// them, or on a slow machine there would be too few for each.
	atHalf = 100
)

func (l latency) measure(ctx context.Context, progress io.Writer) (report.Result, error) {
	if err := l.ready(ctx, progress); err != nil {
		return report.Result{}, err
	}
	drivers, measured, err := affinity.Halves()
	if err != nil {
		return report.Result{}, err
	}
	fmt.Fprintln(progress, "  together")
	together, err := l.under(ctx, progress, seats{folder: "together"}, part{full, l.together})
	if err != nil {
		return report.Result{}, err
	}
	fmt.Fprintln(progress, "  apart")
	apart, err := l.under(ctx, progress, seats{"apart", drivers, measured}, part{full, l.apart}, part{tenth, shownRounds})
	if err != nil {
		return report.Result{}, err
	}
	r := latencyResult(together.contests[0], apart.contests[0], apart.contests[1])
	r.Title = fmt.Sprintf("together: all share the processors, which %.0f requests/s keep half busy with Spillway, load and upstream; processor time is judged here.\n"+
		"apart: %s, which %.0f requests/s keep half busy with Spillway; added times are judged here. A tenth of that: hardly any request waits for another.\n"+
		"A request is sent when it is due, whether or not others have been answered, for a client that waits sends the fewer requests the slower it is answered; one that comes alone wakes everybody up, which costs processor time, too; turns of %v: %d rounds together, %d apart, %d with a tenth.\n"+
		"At half load, apart, %s",
		together.half, split(drivers, measured), apart.half, l.each, l.together, l.apart, shownRounds, stolen(apart.contests[0]))
	return r, nil
}

// split says who has which processors.
func split(drivers, measured affinity.Set) string {
	if len(measured) == 0 {
		return "all the same, for this machine has a single processor"
	}
	return fmt.Sprintf("the load has %d of the processors, and who is measured has the other %d", len(drivers), len(measured))
}

// seats say on which processors who is. Without any, all share all.
type seats struct {
	folder            string // of its processes
	drivers, measured affinity.Set
}

// busy is the part of the processors that a turn has used: of all of them by everybody, or
// of their own by those that are measured.
func (s seats) busy(t load.Turn) float64 {
	if len(s.measured) > 0 {
		return t.Contender.Seconds() / t.Seconds / float64(len(s.measured))
	}
	return (t.Contender + t.Generator + t.Upstream).Seconds() / t.Seconds / float64(runtime.NumCPU())
}

// rules are those of a turn under a part of half load. The generator must be in time, and the
// host should leave the machine alone, where times are judged: at half load, apart. With a
// tenth of the requests the generator has nothing to do, and the few that come while the
// machine stands still are more than one of a hundred.
func (s seats) rules(part, rate float64) load.Rules {
	r := load.Rules{Rate: rate, Quiet: true}
	if len(s.measured) > 0 && part == full {
		r.Lag, r.Stolen = mostLag, mostStolen
	}
	return r
}

// part is a part of half load, for so many rounds.
type part struct {
	of     float64
	rounds int
}

// loads are the contests under parts of half load.
type loads struct {
	half     float64 // requests a second
	contests []*contest
}

// under starts all and has them take their turns under parts of half load.
func (l latency) under(ctx context.Context, progress io.Writer, s seats, parts ...part) (all loads, err error) {
	folder, err := l.section(filepath.Join(l.name(), s.folder))
	if err != nil {
		return all, err
	}
	upstream, err := stand.StartStatic(ctx, folder, l.tools.nginx, l.files) // anywhere: on the load's own processor it would be sooner without anybody between
	if err != nil {
		return all, err
	}
	defer upstream.Stop()
	var entries []entry
	err = s.measured.On(func() error {
		entries = l.entries(ctx, folder, upstream, direct, nginx, reverseProxy, spillway)
		return entries[len(entries)-1].err
	})
	defer stopAll(entries)
	if err != nil {
		return all, err
	}
	paced := func(ctx context.Context, c *stand.Contender, p pace) (t load.Turn, err error) {
		err = s.drivers.On(func() (err error) {
			t, err = l.paced(ctx, folder, upstream, c, p)
			return err
		})
		return t, err
	}
	if all.half, err = halfLoad(s, func(p pace) (load.Turn, error) { return paced(ctx, entries[len(entries)-1].contender, p) }); err != nil {
		return all, err
	}
	for _, part := range parts {
		p := pace{rate: all.half * part.of, connections: int(atHalf * part.of), long: l.each}
		rules := s.rules(part.of, p.rate)
		c := play(ctx, progress, entries, part.rounds, func(ctx context.Context, round int, c *stand.Contender) (load.Turn, load.Rules, error) {
			p.seed = uint64(round) // the same times for all in one round, others in the next
			t, err := paced(ctx, c, p)
			return t, rules, err
		})
		all.contests = append(all.contests, &c)
	}
	return all, nil
}

// mostLag is how late the generator may be, in seconds: a fifth of what is measured.
const mostLag = addedP99 / 5

// halfLoad is how many requests a second keep the processors half busy with Spillway. It
// is sought from little on, a few times nearer: the more requests there are, the less each
// of them costs.
func halfLoad(s seats, turn func(pace) (load.Turn, error)) (float64, error) {
	const little, tries = 2000, 4
	rate := float64(little)
	for range tries {
		t, rules, err := again(func() (load.Turn, load.Rules, error) {
			t, err := turn(pace{rate: rate, connections: atHalf, long: time.Second, seed: 1})
			return t, load.Rules{Rate: rate, Quiet: true}, err
		})
		if err != nil {
			return 0, err
		}
		if voids := t.Voids(rules); len(voids) > 0 {
			return 0, fmt.Errorf("half load: %s", voids[0])
		}
		rate = math.Round(rate * 0.5 / s.busy(t))
	}
	return rate, nil
}

// times are the figures of one turn that are shown.
var times = []column{
	median,
	{"p90", func(t load.Turn) float64 { return t.P90 }, median.unit},
	p99,
	{"p99.9", func(t load.Turn) float64 { return t.P999 }, median.unit},
}

// latencyResult judges the processor time of those that share the processors, and the
// times of those that have their own, and shows a tenth of that load beside.
func latencyResult(together, apart, low *contest) report.Result {
	r := report.Result{Columns: []string{"load", "contender"}, Figures: map[string]any{"together": together.turns, "apart": apart.turns, "tenth": low.turns}}
	for _, t := range times {
		r.Columns = append(r.Columns, t.head)
	}
	r.Columns = append(r.Columns, perRequest.head)
	for _, one := range []struct {
		load string
		*contest
	}{{"half, together", together}, {"half, apart", apart}, {"a tenth, apart", low}} {
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
	moreMedian, ok := apart.added(spillway, direct, median.figure)
	moreP99, okP99 := apart.added(spillway, direct, p99.figure)
	r.Goals = []report.Goal{
		goal("added time of a short request at half load, median", moreMedian, ok, addedMedian, median.unit),
		goal("added time of a short request at half load, p99", moreP99, okP99, addedP99, p99.unit),
	}
	for _, of := range []struct {
		name  string
		bound float64
	}{{reverseProxy, proxyFurther}, {nginx, nginxBound}} {
		times, ok := together.ratio(spillway, of.name, load.Turn.PerRequest)
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
