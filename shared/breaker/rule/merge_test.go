package rule

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestMerge(t *testing.T) {
	closedAt := func(trial int64, nonce string) Facts { return Facts{Trial: trial, Nonce: nonce} }
	openAt := func(trial int64, nonce string, until float64) Facts {
		return Facts{State: Open, Trial: trial, Nonce: nonce, Until: after(until), Opens: 1}
	}
	trialAt := func(trial int64, nonce string, until float64) Facts {
		return Facts{State: HalfOpen, Trial: trial, Nonce: nonce, Until: after(until), Opens: 1}
	}
	for _, test := range []struct {
		name          string
		local, shared Facts
		localWins     bool
	}{
		{"opening against no row", openAt(0, "", 10), Facts{}, true},
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
		{"row removed", openAt(4, "n", 10), Facts{}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := test.shared
			if test.localWins {
				want = test.local
			}
			got, unpublished := Merge(test.local, test.shared, epoch0)
			if got != want || unpublished != test.localWins {
				t.Errorf("got %+v (unpublished: %v)\nwant %+v (unpublished: %v)", got, unpublished, want, test.localWins)
			}
		})
	}
}

// anyFacts draws Facts as they may stand in a row, near epoch0.
func anyFacts() *rapid.Generator[Facts] {
	return rapid.Custom(func(t *rapid.T) Facts {
		second := rapid.Float64Range(-400, 400)
		f := Facts{
			State:      State(rapid.IntRange(0, 2).Draw(t, "state")),
			Trial:      rapid.Int64Range(0, 3).Draw(t, "trial"),
			Owner:      rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "owner"),
			Nonce:      rapid.SampledFrom([]string{"", "m", "n"}).Draw(t, "nonce"),
			LastStatus: rapid.Int64Range(0, maxStatus).Draw(t, "status"),
		}
		if f.State != Closed {
			f.Until = Wall(after(second.Draw(t, "until")))
			f.Opens = rapid.Int64Range(0, 40).Draw(t, "opens")
		}
		f.Throttle = anyThrottle().Draw(t, "throttle")
		return f
	})
}

func TestMergeProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		local, shared := anyFacts().Draw(t, "local"), anyFacts().Draw(t, "shared")
		now := epoch0
		merged, unpublished := Merge(local, shared, now)

		if merged.Throttle != local.Throttle.Merge(shared.Throttle) {
			t.Fatalf("throttle %+v, want %+v", merged.Throttle, local.Throttle.Merge(shared.Throttle))
		}
		if merged.Trial != local.Trial && merged.Trial != shared.Trial {
			t.Fatalf("invented trial %d", merged.Trial)
		}
		if shared.State == HalfOpen && !shared.Late(now) && shared.Nonce != local.Nonce && (unpublished || !merged.SameTrial(shared)) {
			t.Fatalf("took a live trial from its Owner: %+v", merged)
		}
		// What is merged twice, and what is merged with what was published, stays.
		again, more := Merge(merged, shared, now)
		if again != merged && unpublished {
			t.Fatalf("merged again became %+v, was %+v", again, merged)
		}
		if settled, more := Merge(merged, merged, now); settled != merged || more {
			t.Fatalf("published Facts became %+v (unpublished: %v), were %+v", settled, more, merged)
		}
		if more && !unpublished {
			t.Fatal("merging again found something to publish")
		}
	})
}

// Instances that read and write the same row end with the same Facts,
// whoever comes first.
func TestMergedOpeningsMeet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		row := Facts{Trial: 2, Nonce: "n"}
		var last time.Time
		for _, second := range rapid.SliceOfN(rapid.Float64Range(1, 300), 1, 10).Draw(t, "untils") {
			local := Facts{State: Open, Trial: 2, Nonce: "n", Opens: 1, Until: Wall(after(second))}
			last = Later(last, local.Until)
			if merged, unpublished := Merge(local, row, epoch0); unpublished {
				row = merged
			}
		}
		if row.State != Open || !row.Until.Equal(last) {
			t.Fatalf("row %+v, want it open until %v", row, last)
		}
	})
}

// A claim of this instance that landed after all, and that no request was
// given, is given up again; everything else is absorbed as the row says.
func TestAbsorb(t *testing.T) {
	open := Facts{State: Open, Until: after(-5), Opens: 2, Trial: 3, Nonce: "k"}
	claimed := open.Claim(epoch0, "a", "n", &settings)
	for _, test := range []struct {
		name                string
		local, shared       Facts
		news                bool
		lost                string
		want                Facts
		unpublished, orphan bool
	}{
		{"the row as it is", open, claimed, false, "", claimed, false, false},
		{"a lost claim that landed", open, claimed, false, "n", claimed.Abandon(after(1), open.Until), true, true},
		{"another one's claim", open, claimed, false, "m", claimed, false, false},
		{"a claim without a nonce is nobody's", open, open.Claim(epoch0, "", "", &settings), false, "", open.Claim(epoch0, "", "", &settings), false, false},
		{"a lost claim that has ended", open, claimed.Succeed(), false, "n", claimed.Succeed(), false, false},
		{"news", claimed.Succeed(), claimed, true, "", claimed.Succeed(), true, false},
		{"news that the row knows", claimed.Succeed(), claimed.Succeed(), true, "", claimed.Succeed(), false, false},
		{"news that are old", open, claimed, true, "", claimed, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, unpublished, orphan := Absorb(test.local, test.shared, test.news, test.lost, after(1))
			if got != test.want || unpublished != test.unpublished || orphan != test.orphan {
				t.Errorf("got %+v (unpublished %v, orphan %v)\nwant %+v (%v, %v)",
					got, unpublished, orphan, test.want, test.unpublished, test.orphan)
			}
		})
	}
}

func TestAbsorbMergesTheThrottle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		local, shared := anyFacts().Draw(t, "local"), anyFacts().Draw(t, "shared")
		news, lost := rapid.Bool().Draw(t, "news"), rapid.SampledFrom([]string{"", "m", "n"}).Draw(t, "lost")
		if got, _, _ := Absorb(local, shared, news, lost, epoch0); got.Throttle != local.Throttle.Merge(shared.Throttle) {
			t.Fatalf("throttle %+v, want %+v", got.Throttle, local.Throttle.Merge(shared.Throttle))
		}
	})
}
