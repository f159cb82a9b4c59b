package contract

import (
	"context"
	"flag"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/store"
	"spillway/shared/store/memory"
	"spillway/tests/fakes/faultstore"
)

// Without flags, the histories are as many and as long as a suite of all tests
// affords.
var (
	histories  = flag.Uint64("histories", 0, "histories for each store; 0: a few")
	operations = flag.Int("operations", 0, "operations of each client in a history; 0: a few hundred or thousand")
)

const (
	clients = 8
	rows    = 16
	budget  = time.Minute // Of one check. It takes a second.
)

// run records and checks histories of one store and logs the figures. A fault
// belongs to a seed: record returns the history of the given traffic.
func run(t *testing.T, few uint64, long int, record func(t *testing.T, traffic Traffic) *History) {
	t.Helper()
	if *histories > 0 {
		few = *histories
	}
	if *operations > 0 {
		long = *operations
	}
	var recording, checking time.Duration
	var writes, conflicts, unknowns, total int
	for seed := range few {
		traffic := Traffic{Clients: clients, Operations: long, Rows: rows, Seed: seed, Budget: budget}
		start := time.Now()
		h := record(t, traffic)
		recorded := time.Now()
		h.Check(t)
		recording, checking = recording+recorded.Sub(start), checking+time.Since(recorded)
		writes, conflicts, unknowns = writes+h.count(done), conflicts+h.count(conflict), unknowns+h.count(unknown)
		total += clients * long
	}
	t.Logf("%d histories of %d × %d operations are linearizable: %d writes, %d conflicts, %d unknown outcomes; "+
		"recorded in %.1f s (%.0f operations/s), checked in %.1f s", few, clients, long, writes, conflicts, unknowns,
		recording.Seconds(), float64(total)/recording.Seconds(), checking.Seconds())
}

func TestMemoryIsLinearizable(t *testing.T) {
	run(t, 8, 2000, func(t *testing.T, traffic Traffic) *History {
		return Record(t, yielding{memory.New()}, traffic)
	})
}

func TestFaultstoreIsLinearizable(t *testing.T) {
	fired := make(map[faultstore.Fault]int64)
	run(t, 9, 2000, func(t *testing.T, traffic Traffic) *History {
		options := faultstore.Options{
			Seed: traffic.Seed,
			Rates: map[faultstore.Fault]float64{
				faultstore.Refused:     0.02,
				faultstore.RequestLost: 0.02,
				faultstore.AnswerLost:  0.02,
				faultstore.LateApply:   0.02,
				faultstore.Busy:        0.01,
				faultstore.BusyApplied: 0.01,
				faultstore.Delayed:     0.5,
			},
			Delay: [2]time.Duration{time.Millisecond, 20 * time.Millisecond},
			Late:  [2]time.Duration{0, 100 * time.Millisecond},
		}
		traffic.Ambiguous = true
		switch traffic.Conflicts = Meaning(traffic.Seed % 3); traffic.Conflicts {
		case Lying:
			options.Rates[faultstore.ConflictedApplied] = 0.02
			fallthrough
		case Spurious:
			options.Rates[faultstore.Conflicted] = 0.02
		}
		var history *History
		synctest.Test(t, func(t *testing.T) {
			s := withFaults(t, options)
			history = Record(t, s, traffic)
			s.Wait()
			for fault := range faultstore.Delayed + 1 {
				fired[fault] += s.Count(fault)
			}
		})
		return history
	})
	for fault := range faultstore.Delayed + 1 {
		if fired[fault] < 100 {
			t.Errorf("void: %v fired %d times, want at least 100", fault, fired[fault])
		}
	}
}

func TestAzuriteIsLinearizable(t *testing.T) {
	newStore := onAzurite(t)
	run(t, 4, 250, func(t *testing.T, traffic Traffic) *History {
		if traffic.Operations < 1000 {
			traffic.Rows = 4 // Fewer, or the clients would hardly meet.
		}
		return Record(t, newStore(t), traffic)
	})
}

// yielding gives other goroutines a turn around each operation. A store in
// memory is so quick that its clients would hardly meet otherwise.
type yielding struct{ store.Store }

func (y yielding) Replace(ctx context.Context, k store.Key, columns store.Columns, etag string) (string, error) {
	runtime.Gosched()
	defer runtime.Gosched()
	return y.Store.Replace(ctx, k, columns, etag)
}
