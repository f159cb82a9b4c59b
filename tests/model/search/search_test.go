package search_test

import (
	"errors"
	"runtime"
	"strings"
	"testing"

	"spillway/tests/model/search"
)

// jugs holds a jug of three and one of five litres: how much water is in each.
type jugs struct{ small, big int8 }

// pour is the puzzle: fill, empty, pour over until the one is full or the other
// empty.
func pour(s jugs, step func(string, jugs)) {
	step("fill small", jugs{3, s.big})
	step("fill big", jugs{s.small, 5})
	step("empty small", jugs{0, s.big})
	step("empty big", jugs{s.small, 0})
	n := min(s.small, 5-s.big)
	step("small to big", jugs{s.small - n, s.big + n})
	n = min(s.big, 3-s.small)
	step("big to small", jugs{s.small + n, s.big - n})
}

// both runs a test with fingerprints and with whole states.
func both(t *testing.T, test func(t *testing.T, o search.Options)) {
	t.Run("fingerprints", func(t *testing.T) { test(t, search.Options{}) })
	t.Run("exact", func(t *testing.T) { test(t, search.Options{Exact: true}) })
	t.Run("one worker", func(t *testing.T) { test(t, search.Options{Workers: 1}) })
}

// TestFourLitres: the puzzle's shortest solution has six steps, and the trace is
// one: each of its steps is possible and leads where it says.
func TestFourLitres(t *testing.T) {
	four := errors.New("four litres")
	both(t, func(t *testing.T, o search.Options) {
		r := search.Search(search.Model[jugs]{Initial: []jugs{{}}, Next: pour, Check: func(s jugs) error {
			if s.big == 4 {
				return four
			}
			return nil
		}}, o)
		if r.Violation == nil || !errors.Is(r.Violation.Err, four) || r.Complete {
			t.Fatalf("%v, violation %v", r, r.Violation)
		}
		trace := r.Violation.Trace
		if len(trace) != 7 || trace[0].Label != "initial" || trace[0].State != "{small:0 big:0}" {
			t.Fatalf("want six steps from the initial state:\n%v", r.Violation)
		}
		at := jugs{}
		for _, s := range trace[1:] {
			at = follow(t, at, s)
		}
		if at.big != 4 {
			t.Errorf("the trace ends in %+v, want big 4", at)
		}
		if text := r.Violation.String(); !strings.Contains(text, "four litres") || !strings.Contains(text, "  6. ") {
			t.Errorf("the trace prints as %q", text)
		}
	})
}

// follow takes one step of a trace.
func follow(t *testing.T, from jugs, s search.Step) (to jugs) {
	t.Helper()
	found := false
	pour(from, func(label string, next jugs) {
		if label == s.Label {
			to, found = next, true
		}
	})
	if !found {
		t.Fatalf("no step %q from %+v", s.Label, from)
	}
	return to
}

// TestCompleteSearch: 16 of the 24 states can be reached, in at most seven steps,
// and six things may happen in each.
func TestCompleteSearch(t *testing.T) {
	both(t, func(t *testing.T, o search.Options) {
		r := search.Search(search.Model[jugs]{Initial: []jugs{{}}, Next: pour}, o)
		if !r.Complete || r.States != 16 || r.Transitions != 96 || r.Depth != 7 || r.Violation != nil {
			t.Errorf("%v", r)
		}
		if r.Steps["fill big"] != 16 || len(r.Steps) != 6 {
			t.Errorf("steps %v", r.Steps)
		}
		if o.Exact != (r.Omission == 0) {
			t.Errorf("states left out with p ≤ %g", r.Omission)
		}
		missing := search.Missing([]string{"fill big", "drink", "fill small"}, search.Result{}, r)
		if len(missing) != 1 || missing[0] != "drink" {
			t.Errorf("missing %q", missing)
		}
		if !strings.HasPrefix(r.String(), "complete: 16 states") {
			t.Errorf("prints as %q", r.String())
		}
	})
}

// cube is a grid whose middle level is far wider than a batch.
type cube [3]uint8

func grow(side uint8) func(cube, func(string, cube)) {
	names := [3]string{"x", "y", "z"}
	return func(s cube, step func(string, cube)) {
		for i := range s {
			if s[i] < side-1 {
				next := s
				next[i]++
				step(names[i], next)
			}
		}
	}
}

// TestWideSearch: every state of a grid is found once, whatever the number of
// workers, and how far it is from the corner.
func TestWideSearch(t *testing.T) {
	const side = 60
	both(t, func(t *testing.T, o search.Options) {
		r := search.Search(search.Model[cube]{Initial: []cube{{}}, Next: grow(side)}, o)
		if !r.Complete || r.States != side*side*side || r.Depth != 3*(side-1) || r.Transitions != 3*side*side*(side-1) {
			t.Errorf("%v", r)
		}
	})
}

// TestBrokenStep: a rule about steps sees also a step to a state that is known
// already.
func TestBrokenStep(t *testing.T) {
	both(t, func(t *testing.T, o search.Options) {
		r := search.Search(search.Model[int]{
			Initial: []int{1},
			Next: func(s int, step func(string, int)) {
				if s < 5 {
					step("up", s+1)
				} else {
					step("down", 1)
				}
			},
			CheckStep: func(before, after int) error {
				if after < before {
					return errors.New("it fell")
				}
				return nil
			},
		}, o)
		if r.Violation == nil || len(r.Violation.Trace) != 6 || r.Violation.Trace[5] != (search.Step{Label: "down", State: "1"}) {
			t.Errorf("%v\n%v", r, r.Violation)
		}
	})
}

// TestBrokenInitialState: nothing has to happen for a rule to be broken.
func TestBrokenInitialState(t *testing.T) {
	both(t, func(t *testing.T, o search.Options) {
		r := search.Search(search.Model[jugs]{
			Initial: []jugs{{}, {1, 1}}, Next: pour,
			Check: func(s jugs) error {
				if s == (jugs{1, 1}) {
					return errors.New("one in each")
				}
				return nil
			},
		}, o)
		if r.Violation == nil || len(r.Violation.Trace) != 1 || r.Violation.Trace[0].State != "{small:1 big:1}" {
			t.Errorf("%v\n%v", r, r.Violation)
		}
	})
}

// TestBounds: a search without an end stops at its bounds and says so.
func TestBounds(t *testing.T) {
	count := search.Model[int]{Initial: []int{0}, Next: func(s int, step func(string, int)) {
		step("one", 2*s+1)
		step("two", 2*s+2)
	}}
	for name, o := range map[string]search.Options{
		"states":       {MaxStates: 10_000},
		"bytes":        {MaxBytes: 4 << 20},
		"exact, bytes": {MaxBytes: 4 << 20, Exact: true},
	} {
		t.Run(name, func(t *testing.T) {
			r := search.Search(count, o)
			if r.Complete || r.Violation != nil || r.States < 10_000 || !strings.HasPrefix(r.String(), "CUT OFF") {
				t.Errorf("%v", r)
			}
			if o.MaxStates > 0 && r.States > o.MaxStates+4096*runtime.GOMAXPROCS(0) {
				t.Errorf("%d states, the bound is %d", r.States, o.MaxStates)
			}
			if o.MaxBytes > 0 && r.Bytes > 2*o.MaxBytes {
				t.Errorf("%d bytes, the bound is %d", r.Bytes, o.MaxBytes)
			}
		})
	}
}

// BenchmarkSearch is the speed of the search itself: a grid of a million states
// of 3 bytes.
func BenchmarkSearch(b *testing.B) {
	for b.Loop() {
		r := search.Search(search.Model[cube]{Initial: []cube{{}}, Next: grow(100)}, search.Options{})
		b.ReportMetric(float64(r.States)/r.Took.Seconds(), "states/s")
	}
}
