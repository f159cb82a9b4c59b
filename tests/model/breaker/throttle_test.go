package breaker

import (
	"fmt"
	"strings"
	"testing"

	"spillway/tests/model/search"
	"spillway/tests/race"
)

// everythingOfThrottles is what must happen in a search of throttles.
var everythingOfThrottles = []string{
	"a tick passes", "429", "read", "read to probe", "find nothing to probe",
	"mark written", "mark: conflict", "mark: answer lost", "mark: request lost", "mark: delayed",
	"probe succeeds", "probe throttled", "probe without a verdict", "delayed write lands", "crash",
	"publication written", "publication: answer lost", "publication: request lost", "publication: delayed",
}

// A lift reaches all and never takes away a newer throttle, in whatever order the
// news are written and read: in every state that can be reached.
func TestThrottles(t *testing.T) {
	skies := []throttles{
		{instances: 2, end: 6, faults: 1, crashes: 1, asks: 2},
		{instances: 3, end: 6, faults: 1, crashes: 0, asks: 2},
	}
	if race.Enabled || testing.Short() {
		skies = []throttles{
			{instances: 2, end: 5, faults: 1, crashes: 1, asks: 1},
			{instances: 2, end: 4, faults: 0, crashes: 0, asks: 2},
		}
	}
	var results []search.Result
	for _, m := range skies {
		t.Run(m.String(), func(t *testing.T) {
			results = append(results, mustHold(t, m.model()))
		})
	}
	if missing := search.Missing(everythingOfThrottles, results...); !t.Failed() && len(missing) > 0 {
		t.Errorf("void: never happened: %q", missing)
	}
}

// Each of these mistakes must be found, or the search proves nothing about it.
func TestThrottleDefects(t *testing.T) {
	for _, test := range []struct {
		name   string
		defect throttleDefect
		want   string // The rule that it breaks.
	}{
		{"a lift of all times", liftsEverything, "a throttle was lifted that is newer than the lift"},
		{"a lift of the moment of its success, without a margin", liftsWithoutMargin, "a throttle was lifted that is newer than the lift"},
		{"a lift that clears instead of being a moment", clearsWithoutStamp, "a throttle was lifted that is newer than the lift"},
		{"a merge takes the shorter throttle", mergesToShorterThrottle, "a throttle was lifted that is newer than the lift"},
		{"a merge takes what the row says", mergesToTheRow, "a throttle was lifted that is newer than the lift"},
		{"a write without If-Match", marksWithoutIfMatch, "the row forgot something"},
		{"the mark of a probe is ignored", ignoresMarks, "two probes at once"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := throttles{instances: 2, end: 6, faults: 1, asks: 2, defect: test.defect}
			mustFind(t, search.Search(m.model(), search.Options{Workers: 1}), test.want)
		})
	}
}

// mustFind fails if a search did not find that this rule is broken.
func mustFind(t *testing.T, r search.Result, want string) {
	t.Helper()
	switch {
	case r.Violation == nil:
		t.Fatalf("not found: %v", r)
	case !strings.Contains(r.Violation.Err.Error(), want):
		t.Errorf("found %v, want %q", r.Violation, want)
	default:
		t.Logf("%v\n%v", r, r.Violation)
	}
}

func (m throttles) String() string {
	return fmt.Sprintf("%d instances, %d ticks, %d throttles, %d faults, %d crashes", m.instances, m.end, m.asks, m.faults, m.crashes)
}
