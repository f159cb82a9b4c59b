package sim

import (
	"flag"
	"testing"

	"spillway/tests/race"
	"spillway/tests/sim/tally"
	"spillway/tests/sim/verdict"
)

var (
	oneSeed = flag.Int64("seed", -1, "play this one schedule")
	seeds   = flag.Int("seeds", 0, "how many schedules to play (default: 10000; 300 under the race detector, 200 with -short)")
)

const schedules repeat = "go test ./tests/sim -run TestSchedules -seed=SEED"

// TestSchedules plays schedules drawn from seeds, each in virtual time, and has
// every request of each judged.
func TestSchedules(t *testing.T) {
	if *oneSeed >= 0 {
		out := play(t, uint64(*oneSeed), Defect{})
		t.Logf("%s\n%s", out.Schedule.yaml(), out.tell())
		schedules.report(t, out.Schedule.Seed, out.Judge())
		return
	}
	count := 10_000
	switch {
	case *seeds > 0:
		count = *seeds
	case testing.Short():
		count = 200
	case race.Enabled:
		count = 300
	}
	defer leisurely()()
	total := schedules.sweep(t, count, func(t *testing.T, seed uint64) (tally.Counts, []verdict.Violation) {
		out := play(t, seed, Defect{})
		return out.tally(), out.Judge()
	})
	t.Logf("%d schedules:\n%s", count, total)
	if t.Failed() {
		return
	}
	for _, what := range missing(total) {
		t.Errorf("the run is void: it did not exercise enough of %s", what)
	}
}

// play plays the schedule of a seed.
func play(t *testing.T, seed uint64, defect Defect) (out *Outcome) {
	t.Helper()
	schedules.safely(seed, func() { out = Play(t, Draw(seed), defect) })
	return out
}
