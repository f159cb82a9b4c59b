package rule

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// anyThrottle draws a throttle as it may stand in a row, near epoch0.
func anyThrottle() *rapid.Generator[Throttle] {
	return rapid.Custom(func(t *rapid.T) Throttle {
		moment := func(name string) time.Time {
			if rapid.Bool().Draw(t, name+" is none") {
				return time.Time{}
			}
			return Wall(after(rapid.Float64Range(-400, 60).Draw(t, name)))
		}
		return Throttle{
			At:     Sooner(moment("at"), after(2)),
			Until:  moment("until"),
			Lifted: Sooner(moment("lifted"), after(2)),
			Probed: Sooner(moment("probed"), after(2)),
		}
	})
}

func TestThrottleMergeIsALattice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := anyThrottle().Draw(t, "a"), anyThrottle().Draw(t, "b"), anyThrottle().Draw(t, "c")
		switch {
		case a.Merge(b) != b.Merge(a):
			t.Fatal("not commutative")
		case a.Merge(b).Merge(c) != a.Merge(b.Merge(c)):
			t.Fatal("not associative")
		case a.Merge(a) != a, a.Merge(b).Merge(b) != a.Merge(b):
			t.Fatal("not idempotent")
		case a.Merge(Throttle{}) != a:
			t.Fatal("nothing changes something")
		}
	})
}

// What an instance learns is itself a merge, so it does not matter whether it
// hears of the others before or after.
func TestThrottleTransitionsOnlyGrow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyThrottle().Draw(t, "a"), anyThrottle().Draw(t, "b")
		now := after(rapid.Float64Range(-60, 60).Draw(t, "now"))
		until := after(rapid.Float64Range(-60, 900).Draw(t, "until"))
		for name, change := range map[string]func(Throttle) Throttle{
			"learn": func(x Throttle) Throttle { return x.Learn(now, until, &settings) },
			"lift":  func(x Throttle) Throttle { return x.Lift(now, &settings) },
			"probe": func(x Throttle) Throttle { return x.Probe(now) },
		} {
			if change(a).Merge(b) != change(a.Merge(b)) {
				t.Fatalf("%s before or after a merge makes a difference", name)
			}
		}
	})
}

// happening is a 429 or the success of a probe, at one instance.
type happening struct {
	at    float64 // The true second: of the 429's arrival, or of the probe's sending.
	asked float64 // Seconds asked for; 0: the success of a probe.
	skew  float64 // By how much the instance's clock is wrong.
}

func (h happening) change(x Throttle) Throttle {
	now := after(h.at + h.skew)
	if h.asked == 0 {
		return x.Lift(now, &settings)
	}
	return x.Learn(now, now.Add(time.Duration(h.asked*float64(time.Second))), &settings)
}

// Whatever the clocks say within their error, and in whatever order the news are
// merged: no lift takes away a 429 that came after its probe was sent, and every
// lift takes away what came more than four seconds before all of it (the margin,
// and the error of two clocks once more).
func TestLiftUnderSkew(t *testing.T) {
	var kept, lifted int
	rapid.Check(t, func(t *rapid.T) {
		happenings := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) happening {
			h := happening{
				at:   rapid.Float64Range(0, 30).Draw(t, "at"),
				skew: rapid.SampledFrom([]float64{-1, -0.5, 0, 0.3, 1}).Draw(t, "skew"),
			}
			if rapid.Bool().Draw(t, "429") {
				h.asked = rapid.Float64Range(1, 90).Draw(t, "asked")
			}
			return h
		}), 1, 8).Draw(t, "happenings")
		var all Throttle
		for _, h := range rapid.Permutation(happenings).Draw(t, "order") {
			all = all.Merge(h.change(Throttle{}))
		}
		lift, last := -1.0, -1.0
		for _, h := range happenings {
			if h.asked == 0 {
				lift = max(lift, h.at)
			} else {
				last = max(last, h.at)
			}
		}
		for _, h := range happenings {
			if h.asked == 0 || h.at < lift {
				continue
			}
			// Microseconds are cut off.
			if end := after(h.at + h.skew + min(h.asked, 60)).Add(-time.Microsecond); all.End().Before(end) {
				t.Fatalf("throttled until %v, but a 429 at %v s that no probe contradicts asked for %v", all.End(), h.at, end)
			}
			kept++
		}
		if lift > 0 && last < lift-4.001 {
			if !all.End().IsZero() {
				t.Fatalf("throttled until %v, but a probe succeeded at %v s and the last 429 came at %v s", all.End(), lift, last)
			}
			lifted++
		}
	})
	if !t.Failed() && !testing.Short() && (kept < 5 || lifted < 2) {
		t.Errorf("void: %d throttles kept, %d lifts", kept, lifted)
	}
}

func TestThrottleEnd(t *testing.T) {
	long := Throttle{}.Learn(after(0), after(50), &settings)
	for _, test := range []struct {
		name string
		t    Throttle
		want time.Time
	}{
		{"none", Throttle{}, time.Time{}},
		{"one", long, after(50)},
		{"a shorter one later", long.Learn(after(5), after(10), &settings), after(50)},
		{"a longer one later", long.Learn(after(5), after(60), &settings), after(60)},
		{"a day", Throttle{}.Learn(after(0), after(86400), &settings), after(60)},
		{"lifted", long.Lift(after(2.1), &settings), time.Time{}},
		{"lifted by a probe that may be older", long.Lift(after(2), &settings), after(50)},
		{"lifted twice", long.Lift(after(10), &settings).Lift(after(5), &settings), time.Time{}},
		{"a 429 after the lift", long.Lift(after(10), &settings).Learn(after(11), after(55), &settings), after(55)},
		{"a short 429 after the lift: premature", long.Lift(after(10), &settings).Learn(after(11), after(14), &settings), after(50)},
		{"of an unknown time", Throttle{Until: after(50)}, after(50)},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.t.End(); !got.Equal(test.want) {
				t.Errorf("ends %v, want %v", got, test.want)
			}
		})
	}
}

func TestProbeable(t *testing.T) {
	learned := Throttle{}.Learn(after(0), after(50), &settings)
	for _, test := range []struct {
		name string
		t    Throttle
		now  float64
		want bool
	}{
		{"long", learned, 5, true},
		{"never throttled", Throttle{}, 5, false},
		{"over", learned, 51, false},
		{"nearly over", learned, 48.1, false},
		{"not quite", learned, 48, true},
		{"too fresh for a success to be newer", learned, 2, false},
		{"just not too fresh", learned, 2.1, true},
		{"probed a moment ago", learned.Probe(after(5)), 14.9, false},
		{"probed a while ago", learned.Probe(after(5)), 15, true},
		{"lifted", learned.Lift(after(5), &settings), 20, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.t.Probeable(after(test.now), 2*time.Second, &settings); got != test.want {
				t.Errorf("probeable: %v, want %v", got, test.want)
			}
		})
	}
}

// A probe that may be made is never in vain: its success lifts the throttle.
func TestWhatIsProbeableCanBeLifted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		x := anyThrottle().Draw(t, "throttle")
		now := after(rapid.Float64Range(-60, 60).Draw(t, "now"))
		if x.Probeable(now, time.Second, &settings) && !x.Probe(now).Lift(now, &settings).End().IsZero() {
			t.Fatal("not lifted")
		}
	})
}

// Instances that read and write one row by compare-and-swap end with the same
// throttle, whoever comes first and however often.
func TestThrottlesMeetInTheRow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		locals := rapid.SliceOfN(anyThrottle(), 1, 5).Draw(t, "locals")
		var want, row Throttle
		for _, x := range locals {
			want = want.Merge(x)
		}
		for _, i := range rapid.SliceOfN(rapid.IntRange(0, len(locals)-1), 0, 20).Draw(t, "order") {
			locals[i] = locals[i].Merge(row)
			row = row.Merge(locals[i])
		}
		for range 2 {
			for i := range locals {
				locals[i] = locals[i].Merge(row)
				row = row.Merge(locals[i])
			}
		}
		if row != want || slices.ContainsFunc(locals, func(x Throttle) bool { return x != want }) {
			t.Fatalf("row %+v, locals %+v, want %+v", row, locals, want)
		}
	})
}
