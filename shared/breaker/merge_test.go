package breaker

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestMerge(t *testing.T) {
	closedAt := func(trial int64, nonce string) facts { return facts{trial: trial, nonce: nonce} }
	openAt := func(trial int64, nonce string, until float64) facts {
		return facts{state: Open, trial: trial, nonce: nonce, until: after(until), opens: 1}
	}
	trialAt := func(trial int64, nonce string, until float64) facts {
		return facts{state: HalfOpen, trial: trial, nonce: nonce, until: after(until), opens: 1}
	}
	for _, test := range []struct {
		name          string
		local, shared facts
		localWins     bool
	}{
		{"opening against no row", openAt(0, "", 10), facts{}, true},
		{"opening against closed", openAt(3, "n", 10), closedAt(3, "n"), true},
		{"opening against closed after a later trial", openAt(3, "n", 10), closedAt(4, "m"), false},
		{"opening against a live trial", openAt(3, "n", 90), trialAt(4, "m", 20), false},
		{"later opening", openAt(3, "n", 12), openAt(3, "n", 10), true},
		{"earlier opening", openAt(3, "n", 8), openAt(3, "n", 10), false},
		{"result of the trial", closedAt(4, "n"), trialAt(4, "n", 20), true},
		{"bad result of the trial", openAt(4, "n", 30), trialAt(4, "n", 20), true},
		{"stale result: another one has claimed", closedAt(4, "n"), trialAt(5, "m", 20), false},
		{"stale result: another one's trial ended", openAt(4, "n", 30), closedAt(5, "m"), false},
		{"result after the breaker opened again", closedAt(4, "n"), openAt(4, "n", 10), false},
		{"trial without the store against open", trialAt(4, "n", 20), openAt(3, "k", 0), true},
		{"trial without the store against another one's", trialAt(4, "n", 20), trialAt(4, "m", 20), false},
		{"trials without the store against a live one", closedAt(9, "n"), trialAt(4, "m", 20), false},
		{"trials without the store against a dead one", closedAt(9, "n"), trialAt(4, "m", -1), true},
		{"same number, other trial", closedAt(4, "n"), openAt(4, "m", 10), false},
		{"same number, other trial that closed", openAt(4, "n", 90), closedAt(4, "m"), false},
		{"row removed", openAt(4, "n", 10), facts{}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := test.shared
			if test.localWins {
				want = test.local
			}
			got, unpublished := merge(test.local, test.shared, epoch0)
			if got != want || unpublished != test.localWins {
				t.Errorf("got %+v (unpublished: %v)\nwant %+v (unpublished: %v)", got, unpublished, want, test.localWins)
			}
		})
	}
}

// anyFacts draws facts as they may stand in a row, near epoch0.
func anyFacts() *rapid.Generator[facts] {
	return rapid.Custom(func(t *rapid.T) facts {
		second := rapid.Float64Range(-400, 400)
		f := facts{
			state:      State(rapid.IntRange(0, 2).Draw(t, "state")),
			trial:      rapid.Int64Range(0, 3).Draw(t, "trial"),
			owner:      rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "owner"),
			nonce:      rapid.SampledFrom([]string{"", "m", "n"}).Draw(t, "nonce"),
			lastStatus: rapid.Int64Range(0, maxStatus).Draw(t, "status"),
		}
		if f.state != Closed {
			f.until = wall(after(second.Draw(t, "until")))
			f.opens = rapid.Int64Range(0, 40).Draw(t, "opens")
		}
		if rapid.Bool().Draw(t, "throttled") {
			f.throttledUntil = wall(after(second.Draw(t, "throttled until")))
		}
		return f
	})
}

func TestMergeProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		local, shared := anyFacts().Draw(t, "local"), anyFacts().Draw(t, "shared")
		now := epoch0
		merged, unpublished := merge(local, shared, now)

		if merged.throttledUntil != later(local.throttledUntil, shared.throttledUntil) {
			t.Fatalf("throttled until %v", merged.throttledUntil)
		}
		if merged.trial != local.trial && merged.trial != shared.trial {
			t.Fatalf("invented trial %d", merged.trial)
		}
		if shared.state == HalfOpen && !shared.late(now) && shared.nonce != local.nonce && (unpublished || !merged.sameTrial(shared)) {
			t.Fatalf("took a live trial from its owner: %+v", merged)
		}
		// What is merged twice, and what is merged with what was published, stays.
		again, more := merge(merged, shared, now)
		if again != merged && unpublished {
			t.Fatalf("merged again became %+v, was %+v", again, merged)
		}
		if settled, more := merge(merged, merged, now); settled != merged || more {
			t.Fatalf("published facts became %+v (unpublished: %v), were %+v", settled, more, merged)
		}
		if more && !unpublished {
			t.Fatal("merging again found something to publish")
		}
	})
}

// Instances that read and write the same row end with the same facts,
// whoever comes first.
func TestMergedOpeningsMeet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		row := facts{trial: 2, nonce: "n"}
		var last time.Time
		for _, second := range rapid.SliceOfN(rapid.Float64Range(1, 300), 1, 10).Draw(t, "untils") {
			local := facts{state: Open, trial: 2, nonce: "n", opens: 1, until: wall(after(second))}
			last = later(last, local.until)
			if merged, unpublished := merge(local, row, epoch0); unpublished {
				row = merged
			}
		}
		if row.state != Open || !row.until.Equal(last) {
			t.Fatalf("row %+v, want it open until %v", row, last)
		}
	})
}
