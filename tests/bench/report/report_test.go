package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

var setting = Setting{Machine: "machine", Go: "go1.26", Date: time.Date(2026, 1, 2, 23, 0, 0, 0, time.FixedZone("", -7200)), Versions: []string{"peer 1.2"}}

var results = []Result{{
	Section: "speed", Title: "one | two",
	Columns: []string{"who", "requests/s"},
	Rows:    [][]string{{"σ", "1"}, {"somebody", "12345678901"}},
	Goals: []Goal{
		{What: "speed", Want: "at least 2", Got: "1"}, {What: "size", Want: "at most 2", Got: "1", Reached: true},
		{What: "weight", Want: "at most 2", Got: "not measured", Void: true},
	},
	Voids:   []string{"too\nfew"},
	Figures: map[string]int{"speed": 1},
}}

func TestText(t *testing.T) {
	want := `machine, go1.26, 2026-01-03, peer 1.2

speed: one | two
  who         requests/s
  σ                    1
  somebody   12345678901

Figures to reach (medians)
  MISSED   speed: 1, wanted at least 2
  reached  size: 1, wanted at most 2
  VOID     weight: not measured, wanted at most 2

VOID  speed: too
few
`
	var out strings.Builder
	if err := Text(&out, setting, results); err != nil || out.String() != want {
		t.Errorf("%v, got:\n%s\nwant:\n%s", err, &out, want)
	}
}

func TestMarkdown(t *testing.T) {
	want := "# Results of `make bench`\n" + `
machine, go1.26, 2026-01-03, peer 1.2. Medians, with the least and the most in parentheses.

| figure | to reach | measured | |
|---|---|---|---|
| speed | at least 2 | 1 | MISSED |
| size | at most 2 | 1 | reached |
| weight | at most 2 | not measured | VOID |

## speed

one \| two

**Void**: too few

| who | requests/s |
|---|---:|
| σ | 1 |
| somebody | 12345678901 |
`
	var out strings.Builder
	if err := Markdown(&out, setting, results); err != nil || out.String() != want {
		t.Errorf("%v, got:\n%s\nwant:\n%s", err, &out, want)
	}
}

func TestJSON(t *testing.T) {
	var out strings.Builder
	if err := JSON(&out, setting, results); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Machine string
		Results []Result
	}
	if err := json.Unmarshal([]byte(out.String()), &got); err != nil || got.Machine != "machine" || fmt.Sprint(got.Results[0].Rows) != fmt.Sprint(results[0].Rows) {
		t.Errorf("%v: %s", err, &out)
	}
}

// full is a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no room") }

func TestErrorsOfTheFileAreReturned(t *testing.T) {
	for name, err := range map[string]error{
		"text": Text(full{}, setting, results), "markdown": Markdown(full{}, setting, results), "json": JSON(full{}, setting, results),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestSpread(t *testing.T) {
	seconds := Unit{Name: "s", Scale: 0.001, Digits: 1}
	for _, test := range []struct {
		values []float64
		want   string
	}{
		{[]float64{3000}, "3.0 s"},
		{[]float64{3000, 1000, 2000}, "2.0 (1.0–3.0) s"},
		{[]float64{4000, 1000, 2000, 3000}, "2.5 (1.0–4.0) s"},
		{[]float64{1010, 1020}, "1.0 s"},
	} {
		s := SpreadOf(test.values, func(v float64) float64 { return v })
		if got := s.Text(seconds); got != test.want {
			t.Errorf("%v: got %s, want %s", test.values, got, test.want)
		}
	}
	if got := SpreadOf([]float64{12.4}, func(v float64) float64 { return v }).Text(Unit{}); got != "12" {
		t.Errorf("without a unit: got %s", got)
	}
}

func TestGoals(t *testing.T) {
	for _, test := range []struct {
		goal    Goal
		reached bool
	}{
		{AtMost("a", Spread{Median: 2, Least: 1, Most: 9}, 2, Unit{}), true},
		{AtMost("a", Spread{Median: 2.1, Least: 1, Most: 9}, 2, Unit{}), false},
		{AtLeast("a", Spread{Median: 2, Least: 1, Most: 9}, 2, Unit{}), true},
		{AtLeast("a", Spread{Median: 1.9, Least: 1, Most: 9}, 2, Unit{}), false},
	} {
		if test.goal.Reached != test.reached {
			t.Errorf("%+v, want %v", test.goal, test.reached)
		}
	}
}
