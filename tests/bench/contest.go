package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"spillway/tests/bench/load"
	"spillway/tests/bench/report"
	"spillway/tests/bench/stand"
)

// entry is a contender that was started, or why it was not.
type entry struct {
	name      string
	contender *stand.Contender
	err       error
}

// enter makes an entry of what starting a contender has returned.
func enter(name string, contender *stand.Contender, err error) entry {
	if contender != nil {
		contender.Name = name
	}
	return entry{name, contender, err}
}

// stopAll stops those that were started. What stands behind them is not theirs.
func stopAll(entries []entry) {
	for _, e := range entries {
		if e.contender != nil && e.name != direct {
			e.contender.Stop()
		}
	}
}

// The names of those that figures are compared with.
const (
	direct       = "direct"
	spillway     = "Spillway"
	reverseProxy = "httputil.ReverseProxy"
	nginx        = "nginx proxy_pass"
	portkey      = "@portkey-ai/gateway"
	litellm      = "LiteLLM"
)

// contest is what contenders did under the same load, round by round and in turns.
type contest struct {
	names []string
	turns map[string][]load.Turn
	voids map[string][]string // those that have one have no figures
}

// shownRounds is how many rounds there are of what is only shown beside, and by which
// nothing is judged.
const shownRounds = 3

// turnOf lets one contender take its turn in a round, 1 for the first and 0 before it, and
// says what the turn must keep to.
type turnOf func(ctx context.Context, round int, c *stand.Contender) (load.Turn, load.Rules, error)

// play lets all entries take their turns in each round. One that did not start, or
// whose turn is no measurement, is out.
func play(ctx context.Context, progress io.Writer, entries []entry, rounds int, turn turnOf) contest {
	c := contest{turns: make(map[string][]load.Turn), voids: make(map[string][]string)}
	for _, e := range entries {
		c.names = append(c.names, e.name)
		if e.err != nil {
			c.void(e.name, e.err.Error())
		}
	}
	for round := 1; round <= rounds; round++ {
		for _, e := range entries {
			if e.err != nil || ctx.Err() != nil {
				continue
			}
			t, rules, err := again(func() (load.Turn, load.Rules, error) { return turn(ctx, round, e.contender) })
			if err != nil {
				c.void(e.name, fmt.Sprintf("round %d: %v", round, err))
				continue
			}
			for _, void := range t.Voids(rules) {
				c.void(e.name, fmt.Sprintf("round %d: %s", round, void))
			}
			c.turns[e.name] = append(c.turns[e.name], t)
		}
		fmt.Fprintf(progress, "  round %d of %d\n", round, rounds)
	}
	return c
}

// again takes a turn again, a few times at most, if others have disturbed it, or its
// generator was late, or at its limit while what it drives was not: where both are near
// it, as without anybody between, chance decides. The luckiest one counts.
func again(turn func() (load.Turn, load.Rules, error)) (luckiest load.Turn, rules load.Rules, err error) {
	for n := range 5 {
		var t load.Turn
		if t, rules, err = turn(); err != nil {
			break
		}
		if n == 0 || t.Luckier(luckiest, rules) {
			luckiest = t
		}
		if !t.Unlucky(rules) {
			break
		}
	}
	return luckiest, rules, err
}

func (c *contest) void(name, why string) { c.voids[name] = append(c.voids[name], why) }

// counts tells whether a contender has figures.
func (c *contest) counts(name string) bool { return len(c.voids[name]) == 0 && len(c.turns[name]) > 0 }

// reasons say why contenders are void: the first reason of each, and how many there are.
func (c *contest) reasons() (all []string) {
	for _, name := range c.names {
		switch n := len(c.voids[name]); n {
		case 0:
		case 1:
			all = append(all, name+": "+c.voids[name][0])
		default:
			all = append(all, fmt.Sprintf("%s: %s (and %d reasons more)", name, c.voids[name][0], n-1))
		}
	}
	return all
}

// mostStolen is the part of one processor that the host of a virtual machine should take at
// most. What waits for a processor that is not there is late: from the time of one request of
// a hundred on, that is what the p99 tells of. And who takes it takes the caches, too. The
// system counts in steps of 10 ms.
const mostStolen = 0.005

// stolen says what the host took from the turns of contests that keep to mostStolen.
func stolen(contests ...*contest) string {
	var turns []load.Turn
	for _, c := range contests {
		for _, name := range c.names {
			turns = append(turns, c.turns[name]...)
		}
	}
	took := "no turns are left"
	if len(turns) > 0 {
		took = "it took " + report.SpreadOf(turns, func(t load.Turn) float64 { return t.Stolen.Seconds() / t.Seconds }).Text(report.Unit{Name: "%", Scale: 100, Digits: 1}) + " from those"
	}
	return fmt.Sprintf("a turn from which the host of this machine takes more than %.1f %% of one processor's time is taken again, a few times at most, and the best one counts; %s", 100*mostStolen, took)
}

// figure is a figure of a turn.
type figure func(load.Turn) float64

// spread returns a figure of a contender over the rounds.
func (c *contest) spread(name string, f figure) (report.Spread, bool) {
	if !c.counts(name) {
		return report.Spread{}, false
	}
	return report.SpreadOf(c.turns[name], f), true
}

// compared returns a figure made of two contenders' turns of the same round.
func (c *contest) compared(name, with string, f func(a, b load.Turn) float64) (report.Spread, bool) {
	if !c.counts(name) || !c.counts(with) {
		return report.Spread{}, false
	}
	var values []float64
	for n := range min(len(c.turns[name]), len(c.turns[with])) {
		values = append(values, f(c.turns[name][n], c.turns[with][n]))
	}
	return report.SpreadOf(values, func(v float64) float64 { return v }), true
}

// ratio returns a figure of a contender as a multiple of another's, round by round.
func (c *contest) ratio(name, of string, f figure) (report.Spread, bool) {
	return c.compared(name, of, func(a, b load.Turn) float64 { return f(a) / f(b) })
}

// added returns by how much a figure of a contender exceeds another's.
func (c *contest) added(name, to string, f figure) (report.Spread, bool) {
	return c.compared(name, to, func(a, b load.Turn) float64 { return f(a) - f(b) })
}

// cell writes a figure, and nothing that is none.
func cell(s report.Spread, ok bool, u report.Unit) string {
	if !ok {
		return "void"
	}
	return s.Text(u)
}

// goal judges a figure by a bound; one that is none is void.
func goal(what string, s report.Spread, ok bool, bound float64, u report.Unit) report.Goal {
	g := report.AtMost(what, s, bound, u)
	if !ok {
		g.Void, g.Got, g.Reached = true, "not measured", false
	}
	return g
}

// row is a contender's line of a table: its figures, and one as a multiple of another
// contender's.
func (c *contest) row(name string, figures []column, of string) []string {
	cells := []string{name}
	for _, f := range figures {
		s, ok := c.spread(name, f.figure)
		cells = append(cells, cell(s, ok, f.unit))
	}
	s, ok := c.ratio(name, of, figures[0].figure)
	return append(cells, cell(s, ok, hundredths))
}

// column is a figure in a table.
type column struct {
	head   string
	figure figure
	unit   report.Unit
}

// table writes all contenders' lines.
func (c *contest) table(title string, figures []column, of string) report.Result {
	r := report.Result{Title: title, Columns: []string{"contender"}, Voids: c.reasons(), Figures: c.turns}
	for _, f := range figures {
		r.Columns = append(r.Columns, f.head)
	}
	r.Columns = append(r.Columns, "the first as a multiple of "+of)
	for _, name := range slices.Compact(slices.Clone(c.names)) {
		r.Rows = append(r.Rows, c.row(name, figures, of))
	}
	return r
}

// Figures of turns.
var (
	perRequest = column{"processor time per request", load.Turn.PerRequest, report.Unit{Name: "µs", Scale: 1e6, Digits: 1}}
	rate       = column{"requests/s", load.Turn.Rate, whole}
	median     = column{"median", func(t load.Turn) float64 { return t.Median }, report.Unit{Name: "ms", Scale: 1e3, Digits: 2}}
	p99        = column{"p99", func(t load.Turn) float64 { return t.P99 }, report.Unit{Name: "ms", Scale: 1e3, Digits: 2}}
)

var hundredths = report.Unit{Digits: 2}
