package contract

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/store"
	"spillway/shared/store/memory"
	"spillway/tests/fakes/faultstore"
)

const (
	clients    = 8
	operations = 2000
	histories  = 20 // A quarter of that with -short.
	rows       = 16
	budget     = 20 * time.Second
)

func runs() uint64 {
	if testing.Short() {
		return histories / 4
	}
	return histories
}

func TestMemoryIsLinearizable(t *testing.T) {
	for seed := range runs() {
		traffic := Traffic{Clients: clients, Operations: operations, Rows: rows, Seed: seed, Budget: budget}
		Record(t, yielding{memory.New()}, traffic).Check(t)
	}
}

func TestFaultstoreIsLinearizable(t *testing.T) {
	fired := make(map[faultstore.Fault]int64)
	for seed := range runs() {
		options := faultstore.Options{
			Seed: seed,
			Rates: map[faultstore.Fault]float64{
				faultstore.Refused:     0.02,
				faultstore.RequestLost: 0.02,
				faultstore.AnswerLost:  0.02,
				faultstore.LateApply:   0.02,
				faultstore.Delayed:     0.5,
			},
			Delay: [2]time.Duration{time.Millisecond, 20 * time.Millisecond},
			Late:  [2]time.Duration{0, 100 * time.Millisecond},
		}
		if seed%2 == 1 {
			options.Rates[faultstore.Conflicted] = 0.02
		}
		traffic := Traffic{
			Clients: clients, Operations: operations, Rows: rows, Seed: seed, Budget: budget,
			SpuriousConflicts: seed%2 == 1,
		}
		var history *History
		synctest.Test(t, func(t *testing.T) {
			s := withFaults(t, options)
			history = Record(t, s, traffic)
			s.Wait()
			for _, fault := range faultstore.All() {
				fired[fault] += s.Count(fault)
			}
		})
		history.Check(t)
	}
	for fault := faultstore.Refused; fault <= faultstore.Delayed; fault++ {
		if fired[fault] < 100 {
			t.Errorf("void: %v fired %d times", fault, fired[fault])
		}
	}
}

// Azurite serves about 1,500 operations per second on a small machine, so its
// histories are fewer and shorter.
func TestAzuriteIsLinearizable(t *testing.T) {
	newStore := onAzurite(t)
	for seed := range uint64(5) {
		traffic := Traffic{Clients: clients, Operations: 250, Rows: 4, Seed: seed, Budget: budget}
		Record(t, newStore(t), traffic).Check(t)
	}
}

// yielding gives other goroutines a turn around each operation. A store in
// memory is so quick that its clients would hardly meet otherwise.
type yielding struct{ store.Store }

func (y yielding) Replace(ctx context.Context, k store.Key, columns store.Columns, etag string) (string, error) {
	runtime.Gosched()
	defer runtime.Gosched()
	return y.Store.Replace(ctx, k, columns, etag)
}
