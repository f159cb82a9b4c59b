package sim

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"spillway/tests/sim/tally"
	"spillway/tests/sim/verdict"
)

// repeat is the command that plays a run once more; SEED stands for the seed. All
// choices of a schedule, of gateways and of what is around them come from the seed; only
// the order of what happens at the same instant of virtual time is the Go scheduler's, so
// a breach that hangs on it may take a few runs (-count=20).
type repeat string

func (r repeat) command(seed uint64) string {
	return strings.ReplaceAll(string(r), "SEED", strconv.FormatUint(seed, 10))
}

// safely plays a seed. A deadlock or a leaked goroutine panics, and says how to see it
// again.
func (r repeat) safely(seed uint64, play func()) {
	defer func() {
		if v := recover(); v != nil {
			stacks := make([]byte, 1<<20)
			panic(fmt.Sprintf("%v\nsee it again with: %s\n%s", v, r.command(seed), stacks[:runtime.Stack(stacks, true)]))
		}
	}()
	play()
}

// report fails the test if anything was found, and says how to see it again.
func (r repeat) report(t *testing.T, seed uint64, found []verdict.Violation) {
	t.Helper()
	for i, v := range found {
		if i == 5 {
			t.Errorf("and %d more", len(found)-i)
			break
		}
		t.Errorf("seed %d %s", seed, v)
	}
	if len(found) > 0 {
		t.Errorf("see it again with: %s", r.command(seed))
	}
}

// sweep plays the first seeds on all processors, reports what is found, and adds up what
// they have exercised. It ends early once ten of them have failed.
func (r repeat) sweep(t *testing.T, seeds int, play func(t *testing.T, seed uint64) (tally.Counts, []verdict.Violation)) tally.Counts {
	var (
		next   atomic.Uint64
		failed atomic.Int64
		mu     sync.Mutex
		total  = tally.Counts{}
	)
	t.Run("sweep", func(t *testing.T) {
		for worker := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprintf("worker %d", worker), func(t *testing.T) {
				t.Parallel()
				for seed := next.Add(1) - 1; seed < uint64(seeds) && failed.Load() < 10; seed = next.Add(1) - 1 {
					counts, found := play(t, seed)
					if len(found) > 0 {
						failed.Add(1)
						r.report(t, seed, found)
					}
					mu.Lock()
					total.Merge(counts)
					mu.Unlock()
				}
			})
		}
	})
	return total
}

// leisurely has garbage collected less often, until it is told to stop. A schedule's is
// gone soon after its end, but not at once: the pools of its gateways keep it for two more
// collections, so that without a limit to memory each would come later than the last.
func leisurely() (stop func()) {
	percent, limit := debug.SetGCPercent(400), debug.SetMemoryLimit(1<<30)
	return func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	}
}

// mustSee has seeds played, so many at the most, until one is found to break a rule: a
// judge that finds nothing proves nothing unless it finds what is there.
func mustSee(t *testing.T, rule string, seeds uint64, play func(seed uint64) []verdict.Violation) {
	t.Helper()
	others := map[string]int{}
	for seed := range seeds {
		for _, v := range play(seed) {
			if v.Rule == rule {
				t.Logf("seen with seed %d: %s", seed, v.What)
				return
			}
			others[v.Rule]++
		}
	}
	t.Errorf("not seen in %d schedules as a breach of %q; seen were %v", seeds, rule, others)
}
