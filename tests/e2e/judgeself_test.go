package e2e_test

import (
	"strings"
	"testing"
	"time"

	"spillway/tests/program"
)

// The judge of limits finds what nobody has told, and accepts what was told to the
// unit, once.
func TestJudgeOfLimits(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	second := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Second) }
	of := func(seconds int, all, surely, refused int64) window {
		return window{start: second(seconds), all: all, surely: surely, refused: refused}
	}
	tests := []struct {
		name    string
		history history
		says    []string // of each complaint a part
		exact   int      // windows that put the limit to the test
	}{
		{name: "used up", history: history{windows: []window{of(0, 40, 40, 0), of(10, 40, 38, 0)}}, exact: 2},
		{name: "a twentieth is left", history: history{windows: []window{of(0, 38, 38, 0)}}, exact: 1},
		{name: "more is left, which shows nothing", history: history{windows: []window{of(0, 37, 37, 0)}}},
		{name: "more, of the window before", history: history{windows: []window{of(0, 43, 40, 3)}}, exact: 1},
		{name: "one more, that nobody has told of", history: history{windows: []window{of(0, 41, 41, 1)}}, says: []string{"of 40 paced was sent 41"}, exact: 1},
		{name: "one more, while the table failed an instance that told of no units", history: history{
			windows: []window{of(0, 41, 41, 1)}, troubles: []span{{second(2), second(5)}}}, says: []string{"of 40 paced was sent 41"}, exact: 1},
		{name: "three more, as told", history: history{
			windows: []window{of(0, 43, 43, 3)}, unmetered: []told{{second(2), 1}, {second(4), 2}}, troubles: []span{{second(2), second(5)}}}},
		{name: "three more, of which two were told", history: history{
			windows: []window{of(0, 43, 43, 3)}, unmetered: []told{{second(4), 2}}}, says: []string{"of 3 units beyond the limit 2 are explained"}},
		{name: "told in another window", history: history{
			windows: []window{of(10, 41, 41, 1)}, unmetered: []told{{second(9), 5}, {second(21), 5}}}, says: []string{"of 40 paced was sent 41"}, exact: 1},
		{name: "told once, used twice", history: history{
			windows: []window{of(0, 41, 41, 1), of(10, 41, 41, 1)}, unmetered: []told{{second(10), 1}}}, says: []string{"at 12:00:10"}},
		{name: "told for each", history: history{
			windows: []window{of(0, 41, 41, 1), of(10, 41, 41, 1)}, unmetered: []told{{second(10), 1}, {second(11), 1}}}},
		{name: "none more, though one might be, as told", history: history{
			windows: []window{of(0, 40, 40, 0)}, unmetered: []told{{second(3), 1}}}},
		{name: "refused without a reason", history: history{windows: []window{of(0, 39, 39, 1)}}, says: []string{"void"}, exact: 1},
		{name: "a row that has granted too much", history: history{
			windows: []window{of(0, 40, 40, 0)}, rows: []grants{{second(1), second(120), 41, 0}}}, says: []string{"the row of paced has granted 41 and 0 of 40"}, exact: 1},
		{name: "two more, that the row has granted of the window before after its end", history: history{
			windows: []window{of(10, 42, 42, 2)},
			rows:    []grants{{second(5), second(120), 30, 0}, {second(12), second(120), 32, 0}, {second(13), second(130), 40, 0}}}},
		{name: "three more, of which the row has granted two so", history: history{
			windows: []window{of(10, 43, 43, 3)},
			rows:    []grants{{second(5), second(120), 30, 0}, {second(12), second(120), 32, 0}, {second(13), second(130), 40, 0}}},
			says: []string{"and 2 were of an older window"}},
		{name: "one more, of a row that moves on late and has nothing left", history: history{
			windows: []window{of(10, 41, 41, 1)},
			rows:    []grants{{second(5), second(120), 40, 9}, {second(14), second(130), 40, 0}}}, says: []string{"of 40 paced was sent 41"}, exact: 1},
		{name: "what was taken ahead before the edge is of the new window", history: history{
			windows: []window{of(10, 41, 41, 1)},
			rows:    []grants{{second(5), second(110), 40, 9}, {second(11), second(120), 9, 0}, {second(12), second(130), 40, 0}}}, says: []string{"of 40 paced was sent 41"}, exact: 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := test.history
			h.limiter, h.edge, h.rowsAhead = paced, time.Second, 2*time.Minute
			said := h.complaints(always)
			if len(said) != len(test.says) {
				t.Fatalf("it complains of %q, want %d complaints", said, len(test.says))
			}
			for i, part := range test.says {
				if !strings.Contains(said[i], part) {
					t.Errorf("complaint %q does not say %q", said[i], part)
				}
			}
			if n := h.tests(always); n != test.exact {
				t.Errorf("%d windows put the limit to the test, want %d", n, test.exact)
			}
			never := func(time.Time, time.Time) bool { return false }
			if n := h.tests(never); n != 0 {
				t.Errorf("%d windows that nobody judges put the limit to the test", n)
			}
		})
	}
}

// A window is disturbed if the table failed an instance in any part of it.
func TestDisturbedWindow(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	second := func(n int) time.Time { return noon.Add(time.Duration(n) * time.Second) }
	for _, test := range []struct {
		name     string
		trouble  span
		disturbs bool
	}{
		{"before it", span{second(-3), second(0)}, false},
		{"from before it on", span{second(-3), second(1)}, true},
		{"within it", span{second(4), second(5)}, true},
		{"all of it", span{second(-3), second(30)}, true},
		{"after it", span{second(10), second(12)}, false},
	} {
		h := history{limiter: paced, troubles: []span{{second(-60), second(-50)}, test.trouble}}
		if got := h.disturbed(second(0), second(10)); got != test.disturbs {
			t.Errorf("%s: %v, want %v", test.name, got, test.disturbs)
		}
	}
}

// The times in which the table failed an instance last from the second in which it says
// so to the end of the second in which it says that this is over.
func TestTroublesOfAnInstance(t *testing.T) {
	noon := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	line := func(second int, event string) string {
		return `{"event":"` + event + `","time":"` + noon.Add(time.Duration(second)*time.Second).Format(time.RFC3339) + `"}` + "\n"
	}
	p := &process{output: printed(line(1, "state_ready"), line(2, "store_degraded"), line(5, "store_recovered"),
		line(7, "units_unmetered"), line(20, "store_degraded"))}
	got := p.troubles()
	if len(got) != 3 {
		t.Fatalf("%d times: %v, want 3", len(got), got)
	}
	for i, want := range []span{{noon.Add(2 * time.Second), noon.Add(6 * time.Second)}, {noon.Add(7 * time.Second), noon.Add(8 * time.Second)}} {
		if !got[i].from.Equal(want.from) || !got[i].to.Equal(want.to) {
			t.Errorf("time %d is %v, want %v", i, got[i], want)
		}
	}
	if !got[2].meets(noon.Add(time.Hour), noon.Add(2*time.Hour)) {
		t.Errorf("it says nothing of the end, so it goes on: %v", got[2])
	}
}

// printed is what a process has printed.
func printed(lines ...string) *program.Output {
	o := program.NewOutput()
	for _, line := range lines {
		_, _ = o.Write([]byte(line)) // it never fails
	}
	return o
}
