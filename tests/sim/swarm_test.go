package sim

import (
	"flag"
	"sync"
	"testing"
	"time"

	"spillway/shared/lease"
	"spillway/tests/race"
	"spillway/tests/sim/swarm"
	"spillway/tests/sim/tally"
	"spillway/tests/sim/verdict"
)

var figures = flag.Bool("figures", false, "measure the largest fleets as well, which takes minutes")

// swarmSize is how many instances and seeds a test run plays. The race detector
// makes each about ten times slower.
func swarmSize() (instances, seeds int, full bool) {
	switch {
	case race.Enabled:
		return 60, 1, false
	case testing.Short():
		return 100, 2, false
	default:
		return 1000, 20, true
	}
}

const swarmRuns repeat = "go test ./tests/sim -run 'TestSwarm$' -seed=SEED"

// TestSwarm plays ten minutes of a thousand instances on one store, in virtual
// time, while everything goes wrong, and has it judged from outside.
func TestSwarm(t *testing.T) {
	instances, count, full := swarmSize()
	if *oneSeed >= 0 {
		r := swarm.Play(t, swarm.Faulty(uint64(*oneSeed), instances, 10*time.Minute))
		swarmRuns.report(t, uint64(*oneSeed), r.Found)
		t.Logf("violations by rule: %v\n%s", r.Broken, r.Tally)
		for _, w := range r.Windows {
			t.Logf("%+v", w)
		}
		return
	}
	if *seeds > 0 {
		count = *seeds
	}
	var (
		mu  sync.Mutex
		sum swarm.Figures
	)
	total := swarmRuns.sweep(t, count, func(t *testing.T, seed uint64) (tally.Counts, []verdict.Violation) {
		r := swarm.Play(t, swarm.Faulty(seed, instances, 10*time.Minute))
		mu.Lock()
		defer mu.Unlock()
		for i := range r.Minutes {
			sum.Merge(&r.Minutes[i])
		}
		return r.Tally, r.Found
	})
	t.Logf("%d seeds of %d instances:\n%s%+v", count, instances, total, sum)
	if t.Failed() || !full {
		return
	}
	for _, missing := range swarm.Missing(total) {
		t.Errorf("the run is void: it did not exercise enough of %s", missing)
	}
}

// playSwarm plays a run of a test that always plays the same ones, and reports what was
// found.
func playSwarm(t *testing.T, c swarm.Config) *swarm.Result {
	t.Helper()
	r := swarm.Play(t, c)
	again := repeat("go test ./tests/sim -run '" + t.Name() + "$'")
	again.report(t, c.Seed, r.Found)
	return r
}

// TestSwarmFigures prints what the protocol costs, and what it leaves unused.
func TestSwarmFigures(t *testing.T) {
	runs := []swarm.Config{
		swarm.Measured(20, 300_000, 1, true),
		swarm.Measured(20, 300_000, 5, true),
		swarm.Measured(20, 300_000, 50, true),
		swarm.Measured(20, 300_000, 500, true),
		swarm.Measured(100, 1_000_000, 1000, true),
	}
	if _, _, full := swarmSize(); !full {
		runs = runs[:3]
	}
	if *figures {
		runs = append(runs, swarm.Measured(1000, 6_000_000, 5000, true), swarm.Measured(1000, 6_000_000, 20_000, true))
	}
	t.Log(swarm.Head())
	for _, c := range runs {
		r := playSwarm(t, c)
		for minute := range 4 {
			t.Log(r.Row(c, minute))
		}
		if r.Minutes[3].Exact+r.Minutes[len(r.Minutes)-1].Exact == 0 {
			t.Error("the run is void: nothing was spent in the window that was settled up")
		}
	}
}

// TestSwarmStorm has one instance become a thousand at the edge of a window, each
// for a request of its own, and prints how many of them lose the race for the row.
func TestSwarmStorm(t *testing.T) {
	instances, _, _ := swarmSize()
	c := swarm.Measured(instances, 6000*int64(instances), float64(instances)/10, false)
	c.Storm = time.Minute
	r := playSwarm(t, c)
	var sum swarm.Figures
	for i := range r.Minutes {
		sum.Merge(&r.Minutes[i])
	}
	if sum.Stormed == 0 {
		t.Error("the run is void: no request came with the storm")
	}
	t.Logf("%d instances join within a second: %d of %d first requests are contended; %d of those that ask again, once more",
		instances-1, sum.StormContended, sum.Stormed, sum.StormAgain)
}

// A judge that finds nothing proves nothing unless it finds what is there.
func TestSwarmDefectsAreSeen(t *testing.T) {
	for _, test := range []struct {
		name   string
		defect swarm.Defect
		rules  []string
	}{
		{"the store ignores the ETags of limits", swarm.BlindGrants, []string{swarm.RuleSpent}},
		{"the store ignores the ETags of breakers", swarm.BlindClaims, []string{swarm.RuleTrial}},
		{"the store answers with old rows", swarm.StaleReads, []string{swarm.RuleSpent, swarm.RuleRow}},
		{"a lost write counts as done", swarm.LostIsDone, []string{swarm.RuleSpent}},
		{"a frozen machine's wall clock stands", swarm.StuckClock, []string{swarm.RuleWindow}},
		{"the dates are wrong", swarm.WrongDates, []string{swarm.RuleWindow}},
		{"the timer forgets what was granted", swarm.TimerSetsBack, []string{swarm.RuleRow}},
		{"the sweeper deletes rows in use", swarm.SweepsInUse, []string{swarm.RuleLimit}},
		{"reservations are settled twice", swarm.DoubleSettle, []string{swarm.RuleSpent}},
		{"requests reserve in secret", swarm.SecretUnits, []string{swarm.RuleExact}},
		{"requests wait twice", swarm.SlowReserve, []string{swarm.RuleWait}},
		{"the store goes on to fail", swarm.LastingFaults, []string{swarm.RuleAlone}},
		{"who was cut off stays cut off", swarm.LastingCuts, []string{swarm.RuleAlone}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			others := map[string]int{}
			for seed := range uint64(10) {
				c := swarm.Faulty(seed, 60, 5*time.Minute)
				if test.rules[0] == swarm.RuleExact {
					c = swarm.Measured(20, 300_000, 4, true)
				}
				if test.defect == swarm.BlindClaims {
					// A claim is over within milliseconds: others must come meanwhile.
					c = swarm.Faulty(seed, 300, 5*time.Minute)
					c.Limits[0].Rate *= 10
				}
				c.Defect = test.defect
				r := swarm.Play(t, c)
				for _, rule := range test.rules {
					if r.Broken[rule] > 0 {
						t.Logf("seed %d: %v, as %q", seed, r.Broken, rule)
						return
					}
				}
				for rule, n := range r.Broken {
					others[rule] += n
				}
			}
			t.Errorf("not seen as a breach of %q; seen were %v", test.rules, others)
		})
	}
}

// Nothing is wrong with the store of these runs, only the instances are many: a
// request that loses the race for the row is told to come back, and not granted
// units that no row has.
func TestSwarmContentionIsNoOutage(t *testing.T) {
	contended := int64(0)
	for _, seed := range []uint64{9, 10, 11, 15} {
		c := swarm.Measured(100, 1_000_000, 1000, true)
		c.Seed = seed
		contended += playSwarm(t, c).Tally["verdict: "+lease.Contended.String()]
	}
	if contended == 0 {
		t.Error("the runs are void: no request lost the race for the row")
	}
}
