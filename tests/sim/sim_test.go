package sim

import (
	"flag"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
)

var (
	oneSeed = flag.Int64("seed", -1, "play this one schedule")
	seeds   = flag.Int("seeds", 0, "how many schedules to play (default: 10000; 300 under the race detector, 200 with -short)")
)

// TestSchedules plays schedules drawn from seeds, each in virtual time, and has
// every request of each judged.
func TestSchedules(t *testing.T) {
	if *oneSeed >= 0 {
		out := playSafely(t, Draw(uint64(*oneSeed)), Defect{})
		t.Logf("%s\n%s", out.Schedule.yaml(), out.tell())
		report(t, out.Schedule.Seed, out.Judge())
		return
	}
	count := *seeds
	if count == 0 {
		count = defaultSeeds
		if testing.Short() {
			count = 200
		}
	}
	// The garbage of a schedule is all gone at its end.
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	tally := sweep(t, count)
	t.Logf("%d schedules:\n%s", count, tally)
	if t.Failed() {
		return
	}
	for _, missing := range tally.Missing() {
		t.Errorf("the run is void: it did not exercise enough of %s", missing)
	}
}

// sweep plays the schedules of the first seeds on all processors.
func sweep(t *testing.T, count int) Tally {
	var (
		next   atomic.Int64
		failed atomic.Int64
		mu     sync.Mutex
		total  = Tally{}
	)
	t.Run("sweep", func(t *testing.T) {
		for worker := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprintf("worker %d", worker), func(t *testing.T) {
				t.Parallel()
				tally := Tally{}
				for seed := next.Add(1) - 1; seed < int64(count) && failed.Load() < 10; seed = next.Add(1) - 1 {
					out := playSafely(t, Draw(uint64(seed)), Defect{})
					tally.Add(out)
					if found := out.Judge(); len(found) > 0 {
						failed.Add(1)
						report(t, uint64(seed), found)
					}
				}
				mu.Lock()
				defer mu.Unlock()
				total.Merge(tally)
			})
		}
	})
	return total
}

// playSafely plays a schedule. A deadlock or a leaked goroutine panics, and
// says how to see it again.
func playSafely(t *testing.T, s Schedule, defect Defect) *Outcome {
	t.Helper()
	defer func() {
		if v := recover(); v != nil {
			stacks := make([]byte, 1<<20)
			stacks = stacks[:runtime.Stack(stacks, true)]
			panic(fmt.Sprintf("%v\nsee it again with: %s\n%s", v, again(s.Seed), stacks))
		}
	}()
	return Play(t, s, defect)
}

func report(t *testing.T, seed uint64, found []Violation) {
	t.Helper()
	for i, v := range found {
		if i == 5 {
			t.Errorf("and %d more", len(found)-i)
			break
		}
		t.Errorf("seed %d at %v: %s: %s", seed, v.At, v.Rule, v.What)
	}
	if len(found) > 0 {
		t.Errorf("see it again with: %s", again(seed))
	}
}

// again is the command that plays one schedule. All choices of the schedule, the
// gateway and the backends come from the seed; only the order of what happens at
// the same instant of virtual time is the Go scheduler's, so a breach that hangs
// on it may take a few runs (-count=20).
func again(seed uint64) string {
	return fmt.Sprintf("go test ./tests/sim -run TestSchedules -seed=%d", seed)
}
