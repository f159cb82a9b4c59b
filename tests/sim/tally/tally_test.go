package tally_test

import (
	"testing"

	"spillway/tests/sim/tally"
)

func TestTable(t *testing.T) {
	const want = "          12  crashes\n           3  requests\n"
	if got := tally.Table(map[string]int64{"requests": 3, "crashes": 12}); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := tally.Table(nil); got != "" {
		t.Errorf("%q for nothing", got)
	}
}
