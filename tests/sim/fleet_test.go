package sim

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"spillway/tests/sim/fleet"
)

// fleetKinds is how often each kind of fault must fire in a run of full length:
// a run that did not exercise its faults is void.
const fleetKinds = 100

// Ten gateways share one table, and everything around them goes wrong.
func TestFleet(t *testing.T) {
	if *oneSeed >= 0 {
		out := playFleet(t, uint64(*oneSeed), fleet.Tamper{})
		t.Logf("%s", out.Tell())
		reportFleet(t, uint64(*oneSeed), out.Judge())
		return
	}
	count := fleet.Seeds
	switch {
	case *seeds > 0:
		count = *seeds
	case testing.Short():
		count = min(count, 50)
	}
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	began := time.Now()
	total := sweepFleet(t, count)
	t.Logf("%d schedules in %v; calls to the table per request: %.3f\n%s", count, time.Since(began).Round(time.Millisecond),
		float64(total["store operations"])/float64(max(total["requests"], 1)), total)
	if t.Failed() || count < 1000 {
		return
	}
	for _, missing := range total.Missing(fleetKinds) {
		t.Errorf("the run is void: it did not exercise enough of %s", missing)
	}
}

// sweepFleet plays the schedules of the first seeds on all processors.
func sweepFleet(t *testing.T, count int) fleet.Tally {
	var (
		next   atomic.Int64
		failed atomic.Int64
		mu     sync.Mutex
		total  = fleet.Tally{}
	)
	t.Run("sweep", func(t *testing.T) {
		for worker := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprintf("worker %d", worker), func(t *testing.T) {
				t.Parallel()
				tally := fleet.Tally{}
				for seed := next.Add(1) - 1; seed < int64(count) && failed.Load() < 10; seed = next.Add(1) - 1 {
					out := playFleet(t, uint64(seed), fleet.Tamper{})
					if found := out.Judge(); len(found) > 0 {
						failed.Add(1)
						reportFleet(t, uint64(seed), found)
					}
					tally.Merge(out.Tally)
				}
				mu.Lock()
				defer mu.Unlock()
				total.Merge(tally)
			})
		}
	})
	return total
}

// playFleet plays the schedule of a seed. A deadlock or a leaked goroutine
// panics, and says how to see it again.
func playFleet(t *testing.T, seed uint64, tamper fleet.Tamper) *fleet.Outcome {
	t.Helper()
	defer func() {
		if v := recover(); v != nil {
			stacks := make([]byte, 1<<20)
			panic(fmt.Sprintf("%v\nsee it again with: %s\n%s", v, againFleet(seed), stacks[:runtime.Stack(stacks, true)]))
		}
	}()
	return fleet.Play(t, fleet.Draw(seed), tamper)
}

func reportFleet(t *testing.T, seed uint64, found []fleet.Violation) {
	t.Helper()
	for i, v := range found {
		if i == 5 {
			t.Errorf("and %d more", len(found)-i)
			break
		}
		t.Errorf("seed %d at %v: %s: %s", seed, v.At, v.Rule, v.What)
	}
	if len(found) > 0 {
		t.Errorf("see it again with: %s", againFleet(seed))
	}
}

// againFleet is the command that plays one schedule. As with one gateway, only
// the order of what happens at the same instant is not the seed's.
func againFleet(seed uint64) string {
	return fmt.Sprintf("go test ./tests/sim -run 'TestFleet$' -v -seed=%d", seed)
}

// Dropping every run of the timer, or repeating many, changes no client's
// outcome: the calm schedules are played with and without them. Some of their
// requests are refused, by a limit of requests.
func TestFleetTimerChangesNothing(t *testing.T) {
	pairs := 40
	if fleet.Seeds < 1000 || testing.Short() {
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
			others := map[string]int{}
			for seed := range uint64(most) {
				for _, v := range playFleet(t, seed, wrong.Tamper).Judge() {
					if v.Rule == wrong.Rule {
						t.Logf("seen with seed %d: %s", seed, v.What)
						return
					}
					others[v.Rule]++
				}
			}
			t.Errorf("not seen in %d schedules as a breach of %q; seen were %v", most, wrong.Rule, others)
		})
	}
}
