package report_test

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"spillway/tests/prove/judge"
	"spillway/tests/prove/replay"
	"spillway/tests/prove/report"
)

// good are outcomes that prove what they are to prove.
func good() []replay.Outcome {
	windows := func() []judge.Window {
		start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		return []judge.Window{
			{Start: start, Charged: 9900, Sent: 9900, Wanted: 20_000},
			{Start: start.Add(time.Minute), Charged: 9800, Sent: 9800, Wanted: 20_000},
		}
	}
	load := replay.Scenario{Users: 3, Low: 40, High: 100}
	seconds := make([]replay.Second, 120)
	seconds[3] = replay.Second{Charged: 9900, Refused: 50_000, Spilled: 1200, Client429: 2}
	return []replay.Outcome{
		{Scenario: load, Contender: replay.Contender{Kind: replay.Spillway, MinFill: 0.98}, Seconds: seconds,
			Result: judge.Result{Requests: 1234, Windows: windows(), Spilled: 100, Full: 95, Undecided: 5}},
		{Scenario: load, Contender: replay.Contender{Kind: replay.PostPaid, SpillBelow: 600}, Seconds: seconds,
			Result: judge.Result{Requests: 1234, Windows: windows(), Client429: 7, Backend429: 7, Fitted: 1, Overshoot: 5000}},
	}
}

func TestShortfalls(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(spillway, postPaid *replay.Outcome)
		want  string // "": none
	}{
		{"all is well", func(s, p *replay.Outcome) {}, ""},
		{"a client got a 429", func(s, p *replay.Outcome) { s.Result.Client429 = 1 }, "failed: Spillway, 3 users, requests of 40–100 tokens: 1 429s for clients"},
		{"a backend gave a 429", func(s, p *replay.Outcome) { s.Result.Backend429 = 2 }, "2 429s from backends"},
		{"spilled although it fit", func(s, p *replay.Outcome) { s.Result.Fitted = 3 }, "3 requests spilled that would still have fit"},
		{"too much was sent", func(s, p *replay.Outcome) { s.Result.Overshoot = 1 }, "1 tokens sent to the PTU beyond its limit"},
		{"one window was not filled", func(s, p *replay.Outcome) { s.Result.Windows[1].Charged = 9799 }, "filled to 98.0% only, at least 98.0%"},
		{"no fill is promised", func(s, p *replay.Outcome) { s.Result.Windows[1].Charged = 5000; s.Contender.MinFill = 0 }, ""},
		{"too many are undecided", func(s, p *replay.Outcome) { s.Result.Undecided = 6 }, "6 of 100 spilled requests are undecided"},
		{"nothing was judged", func(s, p *replay.Outcome) { s.Result.Spilled = 0 }, "void: Spillway, 3 users, requests of 40–100 tokens: nothing was spilled"},
		{"the PTU was not saturated", func(s, p *replay.Outcome) { s.Result.Windows[1].Wanted = 14_999 }, "only 14,999 tokens were asked for in window 2"},
		{"the counter had no traffic", func(s, p *replay.Outcome) { p.Result.Windows[0].Charged = 0 }, "void: post-paid counter, spillBelow 600, 3 users, requests of 40–100 tokens: the PTU had no traffic in window 1"},
		{"something broke", func(s, p *replay.Outcome) { p.Result.OtherErrors = 1 }, "neither a 200 nor a 429"},
		{"there was no window", func(s, p *replay.Outcome) { s.Result.Windows = nil }, "there was no window"},
		{"there was no counter", func(s, p *replay.Outcome) { p.Contender.Kind = "else" }, "void: post-paid counter: was not there"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			outcomes := good()
			tt.spoil(&outcomes[0], &outcomes[1])
			got := report.Shortfalls(outcomes)
			if tt.want == "" && len(got) > 0 {
				t.Errorf("got %q, want none", got)
			}
			if tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)) {
				t.Errorf("got %q, want one with %q", got, tt.want)
			}
		})
	}
}

func TestTableHasARowPerGateway(t *testing.T) {
	var b strings.Builder
	report.Table(&b, good())
	var rows []string
	for line := range strings.Lines(b.String()) {
		rows = append(rows, strings.Join(strings.Fields(line), " "))
	}
	want := []string{
		"3 users, requests of 40–100 tokens",
		"Spillway 1,234 0 0 99.0% 98.0% 8.1% 0 0 5 0",
		"post-paid counter, spillBelow 600 1,234 7 7 99.0% 98.0% 0.0% 1 0 0 5,000",
	}
	if got := strings.Join(rows[2:], "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

func TestJSONHasTheFigures(t *testing.T) {
	var b strings.Builder
	if err := report.JSON(&b, good(), 2, 1); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Shortfalls []string
		Outcomes   []struct {
			Contender    struct{ Gateway string }
			Client429    int
			WouldHaveFit int
			PTUFill      []float64
		}
	}
	if err := json.Unmarshal([]byte(b.String()), &got); err != nil {
		t.Fatal(err)
	}
	second := got.Outcomes[1]
	if len(got.Outcomes) != 2 || len(got.Shortfalls) != 0 || second.Contender.Gateway != "post-paid counter" || second.Client429 != 7 ||
		second.WouldHaveFit != 1 || second.PTUFill[0] != 0.99 {
		t.Errorf("got %+v", got)
	}
}

func TestSVGIsWellFormedAndShowsEachGateway(t *testing.T) {
	var b strings.Builder
	if err := report.SVG(&b, good()); err != nil {
		t.Fatal(err)
	}
	for decoder := xml.NewDecoder(strings.NewReader(b.String())); ; {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"3 users, requests of 40–100 tokens", "post-paid counter, spillBelow 600", "50,000 refused", "7 client 429s", "1 would have fit"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the picture does not say %q", want)
		}
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestSVGTellsThatItCouldNotBeWritten(t *testing.T) {
	if report.SVG(broken{}, good()) == nil {
		t.Error("no error")
	}
}
