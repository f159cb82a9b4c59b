package load

import (
	"math"
	"strings"
	"testing"
	"time"
)

// good is a turn that nothing is wrong with.
var good = Turn{
	Requests: 10_000, Reached: 10_010, Connections: 32, Seconds: 1, Median: 0.001, P99: 0.003,
	Contender: 950 * time.Millisecond, Generator: 300 * time.Millisecond, Upstream: 100 * time.Millisecond,
}

func TestFiguresOfATurn(t *testing.T) {
	if per := math.Round(good.PerRequest() * 1e9); good.Rate() != 10_000 || per != 95_000 {
		t.Errorf("rate %v, per request %v ns; want 10000 and 95,000", good.Rate(), per)
	}
}

// A turn counts only if everything was answered well, by the upstream, and at the pace
// of the contender rather than of its driver. It is unlucky if that says nothing about the
// contender.
func TestVoids(t *testing.T) {
	for _, test := range []struct {
		name  string
		spoil func(*Turn)
		rules Rules
		want  string // empty: it counts
	}{
		{name: "a good turn", spoil: func(*Turn) {}},
		{name: "errors", spoil: func(t *Turn) { t.Errors = 1 }, want: "1 errors in 10000 requests"},
		{name: "nothing answered", spoil: func(t *Turn) { t.Requests = 0 }, want: "0 requests on 32 connections are too few"},
		{name: "few for the connections", spoil: func(t *Turn) { t.Requests, t.Reached = 100, 100 }, want: "too few"},
		{name: "too little time", spoil: func(t *Turn) { t.Contender = 100 * time.Millisecond }, want: "too little to be told"},
		{name: "little time is enough where it is not the figure", spoil: func(t *Turn) { t.Contender = 100 * time.Millisecond }, rules: Rules{Quiet: true}},
		{
			name: "a slow generator", spoil: func(t *Turn) { t.Generator, t.Contender = 950*time.Millisecond, 500*time.Millisecond },
			want: "the generator was the bottleneck: it used 95 % of a processor, what it drives 50 %",
		},
		{name: "a busy generator before a busy contender", spoil: func(t *Turn) { t.Generator = 950 * time.Millisecond }},
		{name: "requests that are sent late", spoil: func(t *Turn) { t.Lag = 0.0002 }, rules: Rules{Lag: 0.0001}, want: "the generator was the bottleneck: one request of a hundred was sent 0.20 ms late or more, of 0.10 that are allowed"},
		{name: "requests that are sent in time", spoil: func(t *Turn) { t.Lag = 0.0001 }, rules: Rules{Lag: 0.0001}},
		{name: "requests that are sent when others are answered", spoil: func(t *Turn) { t.Lag = 0.0002 }},
		{name: "other processes", spoil: func(t *Turn) { t.Foreign = 600 * time.Millisecond }},
		{
			name: "other processes while times are measured", spoil: func(t *Turn) { t.Foreign = 600 * time.Millisecond },
			rules: Rules{Quiet: true}, want: "other processes used 60 % of a processor",
		},
		{name: "the rate that was wanted", spoil: func(*Turn) {}, rules: Rules{Rate: 9_000}},
		{name: "another rate", spoil: func(*Turn) {}, rules: Rules{Rate: 20_000}, want: "10000 requests a second instead of 20000"},
		{name: "answers from a cache", spoil: func(t *Turn) { t.Reached = 5_000 }, want: "5000 requests reached the upstream for 10000"},
		{name: "asked twice", spoil: func(t *Turn) { t.Reached = 20_000 }, want: "20000 requests reached"},
		{name: "asked twice as planned", spoil: func(t *Turn) { t.Reached = 20_000 }, rules: Rules{Attempts: 2}},
		{name: "cut off at the end", spoil: func(t *Turn) { t.Reached = 10_000 + 32 }},
	} {
		turn := good
		test.spoil(&turn)
		voids := turn.Voids(test.rules)
		if got := strings.Join(voids, "\n"); test.want == "" && voids != nil || !strings.Contains(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
		chance := strings.Contains(test.want, "the generator was the bottleneck") || strings.Contains(test.want, "other processes")
		if turn.Unlucky(test.rules) != chance {
			t.Errorf("%s: unlucky: %t", test.name, !chance)
		}
	}
}

// A turn from which the host took time is a measurement, and one from which it took less is
// a better one; but not than one that is none.
func TestStolenTime(t *testing.T) {
	rules := Rules{Quiet: true, Stolen: 0.015}
	little, much, disturbed := good, good, good
	little.Stolen, much.Stolen, disturbed.Foreign = 10*time.Millisecond, 20*time.Millisecond, time.Second
	if little.Unlucky(rules) || !much.Unlucky(rules) || much.Unlucky(Rules{Quiet: true}) {
		t.Errorf("unlucky: %t with little and %t with much, %t where it does not matter", little.Unlucky(rules), much.Unlucky(rules), much.Unlucky(Rules{Quiet: true}))
	}
	if voids := much.Voids(rules); voids != nil {
		t.Errorf("void: %q", voids)
	}
	for _, pair := range [][2]Turn{{good, little}, {little, much}, {much, disturbed}} {
		if better, worse := pair[0], pair[1]; !better.Luckier(worse, rules) || worse.Luckier(better, rules) || better.Luckier(better, rules) {
			t.Errorf("%+v is to be luckier than %+v", better, worse)
		}
	}
}
