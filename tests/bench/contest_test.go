package main

import (
	"context"
	"errors"
	"io"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"spillway/tests/bench/affinity"
	"spillway/tests/bench/load"
	"spillway/tests/bench/report"
	"spillway/tests/bench/stand"
)

// turnWith is a good turn in which a request took so many microseconds.
func turnWith(micros float64) load.Turn {
	const requests = 100_000
	return load.Turn{
		Requests: requests, Reached: requests, Connections: 16, Seconds: 1, Median: micros * 1e-6, P90: micros * 2e-6, P99: micros * 1e-5, P999: micros * 1e-4,
		Contender: time.Duration(micros * requests * float64(time.Microsecond)), Generator: 100 * time.Millisecond,
	}
}

// contestOf is what contenders did in two rounds, by the time of their requests.
func contestOf(micros map[string]float64) *contest {
	c := &contest{turns: make(map[string][]load.Turn), voids: make(map[string][]string)}
	for name, time := range micros {
		c.names = append(c.names, name)
		c.turns[name] = []load.Turn{turnWith(time), turnWith(time)}
	}
	slices.Sort(c.names)
	return c
}

// A contender that did not start, that made errors, or that was driven too slowly has no
// figures, and makes the run fail; the others keep theirs.
func TestVoidContenders(t *testing.T) {
	slow, failing := turnWith(5), turnWith(20)
	slow.Generator = 990 * time.Millisecond
	failing.Errors = 3
	turns := map[string]load.Turn{"good": turnWith(20), "slow": slow, "failing": failing}
	entries := []entry{
		{name: "good", contender: &stand.Contender{Name: "good"}},
		{name: "absent", err: errors.New("it did not start")},
		{name: "failing", contender: &stand.Contender{Name: "failing"}},
		{name: "slow", contender: &stand.Contender{Name: "slow"}},
		{name: "lost", contender: &stand.Contender{Name: "lost"}},
	}
	c := play(t.Context(), io.Discard, entries, 2, func(_ context.Context, _ int, c *stand.Contender) (load.Turn, load.Rules, error) {
		if c.Name == "lost" {
			return load.Turn{}, load.Rules{}, errors.New("the generator broke")
		}
		return turns[c.Name], load.Rules{}, nil
	})
	result := c.table("title", []column{perRequest, rate}, "good")
	for i, want := range [][]string{
		{"good", "20.0 µs", "100000", "1.00"}, {"absent", "void", "void", "void"}, {"failing", "void", "void", "void"},
		{"slow", "void", "void", "void"}, {"lost", "void", "void", "void"},
	} {
		if !slices.Equal(result.Rows[i], want) {
			t.Errorf("got %q, want %q", result.Rows[i], want)
		}
	}
	var out strings.Builder
	err := run(t.Context(), new(traffic), offer{usual: []section{fake{called: "contest", result: result}}}, nil, &out, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "VOID") {
		t.Errorf("the run ends with %v, want an error", err)
	}
	for _, want := range []string{
		"VOID  contest: absent: it did not start\n", "failing: round 1: 3 errors in 100000 requests (and 1 reasons more)",
		"slow: round 1: the generator was the bottleneck: it used 99 % of a processor, what it drives 50 %", "lost: round 1: the generator broke",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not printed:\n%s", want, &out)
		}
	}
}

// verdicts are the goals of a result as their beginnings.
func verdicts(goals []report.Goal) string {
	letters := ""
	for _, g := range goals {
		switch {
		case g.Void:
			letters += "v"
		case g.Reached:
			letters += "r"
		default:
			letters += "m"
		}
	}
	return letters
}

// Each figure is judged by its bound; one whose contender is void is void, not missed.
func TestVerdicts(t *testing.T) {
	void := func(c *contest, name string) *contest {
		c.void(name, "it did not start")
		return c
	}
	for _, test := range []struct {
		name string
		got  report.Result
		want string // r: reached, m: missed, v: void
	}{
		{"peers, all reached", peersResult(contestOf(map[string]float64{spillway: 25, reverseProxy: 50, nginx: 10, portkey: 250})), "rrrr"},
		{"peers, all missed", peersResult(contestOf(map[string]float64{spillway: 51, reverseProxy: 50, nginx: 10, portkey: 250})), "mmmm"},
		{"peers, only further on is missed", peersResult(contestOf(map[string]float64{spillway: 50, reverseProxy: 50, nginx: 20, portkey: 500})), "rmrr"},
		{"peers, nginx is void", peersResult(void(contestOf(map[string]float64{spillway: 25, reverseProxy: 50, nginx: 10, portkey: 250}), nginx)), "rrvr"},
		{"peers, Spillway is void", peersResult(void(contestOf(map[string]float64{spillway: 25, reverseProxy: 50, nginx: 10, portkey: 250}), spillway)), "vvvv"},
		{"peers, Portkey was not asked", peersResult(contestOf(map[string]float64{spillway: 25, reverseProxy: 50, nginx: 10})), "rrrv"},
		{"prompts", promptsResult(report.Result{}, contestOf(map[string]float64{spillway: 100, reverseProxy: 50}), 1000), "r"},
		{"prompts, missed", promptsResult(report.Result{}, contestOf(map[string]float64{spillway: 101, reverseProxy: 50}), 1000), "m"},
		{"streams", streamsResult(contestOf(map[string]float64{direct: 100, spillway: 1100, reverseProxy: 1100})), "rr"},
		{"streams, missed", streamsResult(contestOf(map[string]float64{direct: 100, spillway: 1101, reverseProxy: 1100})), "mm"},
		{"latency", latencyResult(contestOf(map[string]float64{spillway: 199, reverseProxy: 340, nginx: 80}), contestOf(map[string]float64{direct: 100, spillway: 199}), contestOf(nil)), "rrrr"},
		{"latency, p99 missed", latencyResult(contestOf(map[string]float64{spillway: 201, reverseProxy: 340, nginx: 81}), contestOf(map[string]float64{direct: 100, spillway: 201}), contestOf(nil)), "rmrr"},
		{"latency, missed", latencyResult(contestOf(map[string]float64{spillway: 251, reverseProxy: 415, nginx: 100}), contestOf(map[string]float64{direct: 100, spillway: 251}), contestOf(nil)), "mmmm"},
		{"latency, nginx is void", latencyResult(void(contestOf(map[string]float64{spillway: 199, reverseProxy: 340, nginx: 80}), nginx), contestOf(map[string]float64{direct: 100, spillway: 199}), contestOf(nil)), "rrrv"},
		{"growth", growth{}.result(pairs(100, 114, 100, 116, 50, 60)), "rm"},
	} {
		if got := verdicts(test.got.Goals); got != test.want {
			t.Errorf("%s: got %s, want %s: %+v", test.name, got, test.want, test.got.Goals)
		}
	}
}

// Together, the processors are as busy as all that take part make them; apart, those of
// who is measured are as busy as it makes them.
func TestBusy(t *testing.T) {
	turn := load.Turn{Seconds: 2, Contender: 800 * time.Millisecond, Generator: 600 * time.Millisecond, Upstream: 200 * time.Millisecond}
	if got, want := (seats{}).busy(turn), 0.8/float64(runtime.NumCPU()); got != want {
		t.Errorf("together: got %v, want %v", got, want)
	}
	for n, want := range map[int]float64{1: 0.4, 4: 0.1} {
		if got := (seats{measured: make(affinity.Set, n)}).busy(turn); got != want {
			t.Errorf("apart, %d processors: got %v, want %v", n, got, want)
		}
	}
}

// The generator must be in time where times are judged, at half load and apart.
func TestRulesOfLag(t *testing.T) {
	const rate = 5000
	apart := seats{measured: affinity.Set{1}}
	for _, test := range []struct {
		seats seats
		part  float64
		want  float64
	}{{seats{}, full, 0}, {apart, full, mostLag}, {apart, tenth, 0}} {
		if got := test.seats.rules(test.part, rate); got.Lag != test.want || got.Rate != rate || !got.Quiet {
			t.Errorf("%+v, %v of half load: got %+v, want the lag %v", test.seats, test.part, got, test.want)
		}
	}
}

// Half load is found although a request costs less the more there are; a turn that is no
// measurement, or fails, ends the search.
func TestHalfLoad(t *testing.T) {
	s := seats{measured: affinity.Set{1}}
	costs := func(p pace) (load.Turn, error) { // 3 ms a second for being awake, and 50 µs for each request
		busy := 0.003 + 0.00005*p.rate
		return load.Turn{Requests: int64(p.rate), Reached: int64(p.rate), Seconds: 1, Connections: p.connections, Contender: time.Duration(busy * 1e9)}, nil
	}
	const want = 9940
	if got, err := halfLoad(s, costs); err != nil || math.Abs(got-want) > want/200 {
		t.Errorf("got %v (%v), want about %v", got, err, want)
	}
	few := func(pace) (load.Turn, error) { return load.Turn{Requests: 10, Seconds: 1, Connections: 100}, nil }
	if _, err := halfLoad(s, few); err == nil || !strings.Contains(err.Error(), "too few") {
		t.Errorf("too few requests: got %v", err)
	}
	broken := errors.New("broken")
	if _, err := halfLoad(s, func(pace) (load.Turn, error) { return load.Turn{}, broken }); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
}

// The section latency shows each contender's times, and by how much they exceed those
// without anybody between, at all loads. One that is void at a load is void there only.
func TestLatencyRows(t *testing.T) {
	low := contestOf(map[string]float64{direct: 50, nginx: 60, spillway: 150})
	low.void(nginx, "it was disturbed")
	got := latencyResult(contestOf(map[string]float64{spillway: 200}), contestOf(map[string]float64{direct: 100, nginx: 150, spillway: 300}), low)
	want := [][]string{
		{"half, together", spillway, "0.20 ms", "0.40 ms", "2.00 ms", "20.00 ms", "200.0 µs"},
		{"half, together", spillway + ", more than direct", "void", "void", "void", "void", ""},
		{"half, apart", spillway, "0.30 ms", "0.60 ms", "3.00 ms", "30.00 ms", "300.0 µs"},
		{"half, apart", direct, "0.10 ms", "0.20 ms", "1.00 ms", "10.00 ms", "100.0 µs"},
		{"half, apart", nginx, "0.15 ms", "0.30 ms", "1.50 ms", "15.00 ms", "150.0 µs"},
		{"half, apart", spillway + ", more than direct", "0.20 ms", "0.40 ms", "2.00 ms", "20.00 ms", ""},
		{"half, apart", nginx + ", more than direct", "0.05 ms", "0.10 ms", "0.50 ms", "5.00 ms", ""},
		{"a tenth, apart", spillway, "0.15 ms", "0.30 ms", "1.50 ms", "15.00 ms", "150.0 µs"},
		{"a tenth, apart", direct, "0.05 ms", "0.10 ms", "0.50 ms", "5.00 ms", "50.0 µs"},
		{"a tenth, apart", nginx, "void", "void", "void", "void", "void"},
		{"a tenth, apart", spillway + ", more than direct", "0.10 ms", "0.20 ms", "1.00 ms", "10.00 ms", ""},
		{"a tenth, apart", nginx + ", more than direct", "void", "void", "void", "void", ""},
	}
	for i, row := range want {
		if i >= len(got.Rows) || !slices.Equal(got.Rows[i], row) {
			t.Errorf("row %d: got %q, want %q", i, got.Rows, row)
			break
		}
	}
	if len(got.Rows) != len(want) || !slices.Equal(got.Voids, []string{"a tenth, apart: " + nginx + ": it was disturbed"}) {
		t.Errorf("got %d rows and the voids %q", len(got.Rows), got.Voids)
	}
}

// A turn that says nothing about the contender is taken again, a few times at most: whose is
// no measurement then is void. Of those from which the host took time, the best one counts.
// An error ends it at once.
func TestUnluckyTurnsAreTakenAgain(t *testing.T) {
	good, outpaced, disturbed, late := turnWith(10), turnWith(10), turnWith(10), turnWith(10)
	outpaced.Generator = time.Duration(0.95 * outpaced.Seconds * float64(time.Second))
	outpaced.Contender = outpaced.Generator / 2
	disturbed.Foreign = time.Second
	late.Lag = 0.0003
	robbed := func(ms int) load.Turn {
		t := turnWith(10)
		t.Stolen = time.Duration(ms) * time.Millisecond
		return t
	}
	for _, test := range []struct {
		name  string
		turns []load.Turn
		rules load.Rules
		err   error
		taken int
		void  bool
	}{
		{"at once", []load.Turn{good}, load.Rules{}, nil, 1, false},
		{"the third time", []load.Turn{outpaced, outpaced, good}, load.Rules{}, nil, 3, false},
		{"never", slices.Repeat([]load.Turn{outpaced}, 9), load.Rules{}, nil, 5, true},
		{"disturbed", []load.Turn{disturbed, good}, load.Rules{Quiet: true}, nil, 2, false},
		{"disturbed, and no time is measured", []load.Turn{disturbed}, load.Rules{}, nil, 1, false},
		{"late", []load.Turn{late, disturbed, good}, load.Rules{Quiet: true, Lag: 0.0002}, nil, 3, false},
		{"late, as it may be", []load.Turn{late}, load.Rules{Quiet: true}, nil, 1, false},
		{"robbed", []load.Turn{robbed(30), robbed(20), robbed(10), good}, load.Rules{Stolen: 0.015}, nil, 3, false},
		{"always robbed", []load.Turn{robbed(30), late, robbed(10), robbed(50), disturbed}, load.Rules{Quiet: true, Lag: 0.0002, Stolen: 0.005}, nil, 5, false},
		{"an error", []load.Turn{{}}, load.Rules{}, errors.New("broken"), 1, true},
	} {
		taken := 0
		c := play(t.Context(), io.Discard, []entry{{name: direct}}, 1, func(_ context.Context, round int, _ *stand.Contender) (load.Turn, load.Rules, error) {
			if taken++; round != 1 {
				t.Errorf("%s: round %d of one", test.name, round)
			}
			return test.turns[taken-1], test.rules, test.err
		})
		if taken != test.taken || c.counts(direct) == test.void {
			t.Errorf("%s: taken %d times, void: %q; want %d, %t", test.name, taken, c.voids[direct], test.taken, test.void)
		}
		if test.rules.Stolen > 0 && c.turns[direct][0] != robbed(10) {
			t.Errorf("%s: %+v counts, want the best one", test.name, c.turns[direct])
		}
	}
}

// pairs are the contests of section growth, from what a request takes with few and with
// many of something.
func pairs(micros ...float64) (contests []*contest) {
	names := []string{small, manyBackends, small, "7 consumers", control(small), control("7 consumers")}
	for i := 0; i < len(names); i += 2 {
		c := contestOf(map[string]float64{names[i]: micros[i], names[i+1]: micros[i+1]})
		c.names = names[i : i+2]
		contests = append(contests, c)
	}
	return contests
}

// Beside Spillway with many consumers stands a program that knows none, under the same
// load, each compared with itself under the keys of few. A control that is void makes
// no goal void, but the run.
func TestGrowthRows(t *testing.T) {
	contests := pairs(100, 110, 200, 300, 50, 60)
	got := growth{}.result(contests)
	want := []string{"1.00", "1.10", "1.00", "1.50", "1.00", "1.20"}
	for i, row := range got.Rows {
		if row[len(row)-1] != want[i] {
			t.Errorf("got %q, want %s times the line above", row, want[i])
		}
	}
	if len(got.Rows) != len(want) || got.Voids != nil {
		t.Errorf("got %d rows and the voids %q, want %d and none", len(got.Rows), got.Voids, len(want))
	}
	contests[2].void(control("7 consumers"), "it did not start")
	if got := (growth{}).result(contests); len(got.Voids) != 1 || verdicts(got.Goals) != "rm" {
		t.Errorf("a void control: voids %q, goals %s", got.Voids, verdicts(got.Goals))
	}
}

// Figures are compared round by round: what disturbs a whole round does not count.
func TestComparedByRounds(t *testing.T) {
	c := &contest{turns: map[string][]load.Turn{"a": {turnWith(10), turnWith(1000)}, "b": {turnWith(20), turnWith(2000)}}}
	if s, ok := c.ratio("a", "b", load.Turn.PerRequest); !ok || s.Least != 0.5 || s.Most != 0.5 {
		t.Errorf("got %+v, %v; want 0.5 in both rounds", s, ok)
	}
	if s, ok := c.ratio("a", "nobody", load.Turn.PerRequest); ok {
		t.Errorf("a comparison with nobody gives %+v", s)
	}
}
