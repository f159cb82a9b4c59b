package sim

import (
	"testing"
	"time"

	"spillway/tests/race"
	"spillway/tests/sim/fleet"
	"spillway/tests/sim/tally"
	"spillway/tests/sim/verdict"
)

// fleetKinds is how often each kind of fault must fire in a run of full length:
// a run that did not exercise its faults is void.
const fleetKinds = 100

const fleetSchedules repeat = "go test ./tests/sim -run 'TestFleet$' -v -seed=SEED"

// Ten gateways share one table, and everything around them goes wrong.
func TestFleet(t *testing.T) {
	if *oneSeed >= 0 {
		out := playFleet(t, uint64(*oneSeed), fleet.Tamper{})
		t.Logf("%s", out.Tell())
		fleetSchedules.report(t, uint64(*oneSeed), out.Judge())
		return
	}
	count := 1000
	switch {
	case *seeds > 0:
		count = *seeds
	case race.Enabled:
		count = 30
	case testing.Short():
		count = 50
	}
	defer leisurely()()
	began := time.Now()
	total := fleetSchedules.sweep(t, count, func(t *testing.T, seed uint64) (tally.Counts, []verdict.Violation) {
		out := playFleet(t, seed, fleet.Tamper{})
		found := out.Judge() // It counts as well.
		return out.Tally, found
	})
	t.Logf("%d schedules in %v; calls to the table per request: %.3f\n%s", count, time.Since(began).Round(time.Millisecond),
		float64(total["store operations"])/float64(max(total["requests"], 1)), total)
	if t.Failed() || count < 1000 {
		return
	}
	for _, what := range fleet.Missing(total, fleetKinds) {
		t.Errorf("the run is void: it did not exercise enough of %s", what)
	}
}

// playFleet plays the schedule of a seed.
func playFleet(t *testing.T, seed uint64, tamper fleet.Tamper) (out *fleet.Outcome) {
	t.Helper()
	fleetSchedules.safely(seed, func() { out = fleet.Play(t, fleet.Draw(seed), tamper) })
	return out
}

// Dropping every run of the timer, or repeating many, changes no client's
// outcome: the calm schedules are played with and without them. Some of their
// requests are refused, by a limit of requests.
func TestFleetTimerChangesNothing(t *testing.T) {
	pairs := 40
	if race.Enabled || testing.Short() {
		pairs = 5
	}
	refused := int64(0)
	for seed := uint64(0); pairs > 0; seed++ {
		s := fleet.Draw(seed)
		if s.World != fleet.Calm {
			continue
		}
		pairs--
		with := fleet.Play(t, s, fleet.Tamper{})
		without := fleet.Play(t, s, fleet.Tamper{NoTimer: true})
		refused += with.Tally["requests answered 429"]
		for _, difference := range fleet.Differences(with, without) {
			t.Errorf("seed %d, with and without the timer: %s", seed, difference)
		}
	}
	if refused == 0 {
		t.Error("nothing was refused: nothing was compared")
	}
}

// The judge must see what is wrong. Each world is tampered with behind its back.
func TestFleetDefectsAreSeen(t *testing.T) {
	const most = 150 // schedules
	for _, wrong := range fleet.Worlds() {
		t.Run(wrong.Name, func(t *testing.T) {
			mustSee(t, wrong.Rule, most, func(seed uint64) []verdict.Violation { return playFleet(t, seed, wrong.Tamper).Judge() })
		})
	}
}
