package breaker

import (
	"fmt"
	"testing"

	"spillway/tests/model/search"
	"spillway/tests/race"
)

// everything is what must happen in a search of trials for it to prove anything.
// That an outcome counts no more does not: such a request is forgotten at once.
var everything = []string{
	"a tick passes", "open", "read", "read to claim", "read to claim early", "find nothing to claim",
	"claim written", "claim: conflict", "claim: answer lost", "claim: request lost", "claim: delayed",
	"answer of the claim", "recognize the claim", "delayed write lands", "the owner crashes",
	"send the trial", "success", "failure", "abandon",
	"success, though taken over", "failure, though taken over", "abandon, though taken over",
	"publication written", "publication: answer lost", "publication: request lost", "publication: delayed",
}

// One owner per trial, no two trials at once while two clocks differ by at most
// two errors, a dead owner blocks no longer than a trial, a stale result changes
// nothing, no open time is made shorter: in every state that can be reached.
func TestTrials(t *testing.T) {
	worlds := []trials{
		{instances: 2, end: 6, faults: 2, crashes: 1, openings: 1, last: 2},
		{instances: 3, end: 6, faults: 1, crashes: 1, openings: 0, last: 2},
		{instances: 3, end: 4, faults: 0, crashes: 1, openings: 1, last: 2},
	}
	if race.Enabled || testing.Short() {
		worlds = []trials{
			{instances: 2, end: 4, faults: 1, crashes: 1, openings: 1, last: 2},
			{instances: 3, end: 4, faults: 0, crashes: 0, openings: 0, last: 2},
		}
	}
	var results []search.Result
	for _, m := range worlds {
		t.Run(m.String(), func(t *testing.T) {
			results = append(results, mustHold(t, m.model()))
		})
	}
	if missing := search.Missing(everything, results...); !t.Failed() && len(missing) > 0 {
		t.Errorf("void: never happened: %q", missing)
	}
}

// From every state the fleet recovers.
func TestTrialsEnd(t *testing.T) {
	m := trials{instances: 2, end: 5, faults: 1, crashes: 1, last: 2}
	if race.Enabled || testing.Short() {
		m.end, m.faults = 4, 0
	}
	mustHold(t, m.healing())
	t.Run("a dead owner blocks for ever", func(t *testing.T) {
		m.defect = deadOwnersBlock
		mustFind(t, search.Search(m.healing(), search.Options{Workers: 1}), "it does not close again")
	})
}

// mustHold searches a model, which must be complete and hold.
func mustHold[S comparable](t *testing.T, m search.Model[S]) search.Result {
	t.Helper()
	r := search.Search(m, search.Options{})
	t.Log(r)
	if r.Violation != nil {
		t.Fatal(r.Violation)
	}
	if !r.Complete {
		t.Error("not complete")
	}
	return r
}

// Each of these mistakes must be found, or the search proves nothing about it.
func TestTrialDefects(t *testing.T) {
	two := trials{instances: 2, end: 6, faults: 1, crashes: 1, last: 2}
	for _, test := range []struct {
		name     string
		defect   defect
		openings uint8
		want     string // The rule that it breaks.
	}{
		{"an ambiguous claim is taken for a won one", ambiguousIsOwner, 0, "two owners of one trial"},
		{"no margin for wrong clocks", noSkewGuard, 0, "2 trials at once"},
		{"a margin for one wrong clock only", halfSkewGuard, 0, "2 trials at once"},
		{"a live trial is taken over", takesOverLiveTrial, 0, "a live trial was taken over"},
		{"a write without If-Match", writesWithoutIfMatch, 0, "two owners of one trial"},
		{"the deadline is ignored", ignoresDeadline, 0, "2 trials at once"},
		{"a result is accepted after its time", acceptsLateResult, 0, "a result that nobody has found out"},
		{"a stale result is not fenced by its nonce", noNonceFence, 0, "a stale result"},
		{"a merge takes the shorter open time", mergesToShorter, 2, "an open time became shorter"},
		{"an owner gives its own trial up", givesUpOwnTrial, 0, "two owners of one trial"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := two
			m.defect, m.openings = test.defect, test.openings
			mustFind(t, search.Search(m.model(), search.Options{Workers: 1}), test.want)
		})
	}
}

func (m trials) String() string {
	return fmt.Sprintf("%d instances, %d ticks, %d faults, %d crashes, %d openings", m.instances, m.end, m.faults, m.crashes, m.openings)
}
