package tally_test

import (
	"slices"
	"testing"

	"spillway/tests/sim/tally"
)

// Counts are added up; of a figure that has the most in its name the greatest counts.
func TestMerge(t *testing.T) {
	total := tally.Counts{}
	for _, counts := range []tally.Counts{
		{"requests": 3, tally.Most + "held up, in ms": 20},
		{"requests": 4, tally.Most + "held up, in ms": 150, "crashes": 1},
		{tally.Most + "held up, in ms": 7},
	} {
		total.Merge(counts)
	}
	for name, want := range (tally.Counts{"requests": 7, "crashes": 1, tally.Most + "held up, in ms": 150}) {
		if got := total[name]; got != want {
			t.Errorf("%s: %d, want %d", name, got, want)
		}
	}
}

// What happened as often as wanted is not missing; what never happened is.
func TestMissing(t *testing.T) {
	counts := tally.Counts{"requests": 3, "crashes": 12, "freezes": 5}
	want := []string{"requests: 3 of at least 4", "storms: 0 of at least 1"}
	if got := counts.Missing(tally.Counts{"storms": 1, "requests": 4, "crashes": 12}); !slices.Equal(got, want) {
		t.Errorf("missing are %q, want %q", got, want)
	}
	if got := counts.Missing(nil); len(got) != 0 {
		t.Errorf("missing are %q, and nothing was wanted", got)
	}
}

func TestTable(t *testing.T) {
	const want = "          12  crashes\n           3  requests\n"
	if got := (tally.Counts{"requests": 3, "crashes": 12}).String(); got != want {
		t.Errorf("the table is %q, want %q", got, want)
	}
	if got := tally.Counts(nil).String(); got != "" {
		t.Errorf("the table of nothing is %q, want it empty", got)
	}
}
