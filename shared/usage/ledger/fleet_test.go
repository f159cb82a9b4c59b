package ledger_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/store"
	"spillway/shared/store/memory"
	"spillway/shared/usage/ledger"
	"spillway/tests/fakes/faultstore"
)

// Random faults in virtual time: instances that flush by themselves while the store is
// slow, loses requests and answers and goes down, and folds of all of them at once.
// Every instance ends well, so the sums are exact.
func TestFleet(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				inner := memory.New()
				s, err := faultstore.New(inner, faultstore.Options{
					Seed: seed, Latency: [2]time.Duration{time.Millisecond, 30 * time.Millisecond},
					Delay: [2]time.Duration{time.Second, 20 * time.Second}, Late: [2]time.Duration{time.Second, 3 * time.Hour},
					Rates: map[faultstore.Fault]float64{
						faultstore.Refused: 0.02, faultstore.RequestLost: 0.02, faultstore.AnswerLost: 0.02, faultstore.LateApply: 0.02,
						faultstore.Conflicted: 0.02, faultstore.Busy: 0.01, faultstore.BusyApplied: 0.01, faultstore.ConflictedApplied: 0.01, faultstore.Delayed: 0.02,
					},
				})
				if err != nil {
					t.Fatal(err)
				}
				added := make([]int64, 5)
				var fleet sync.WaitGroup
				for n := range added {
					fleet.Go(func() { added[n] = live(t, s, n, rand.New(rand.NewPCG(seed, uint64(n)))) })
				}
				for range 10 {
					wait(30 * time.Minute)
					s.SetOutage(true)
					wait(2 * time.Minute)
					s.SetOutage(false)
				}
				fleet.Wait()
				s.Wait()
				for _, fault := range []faultstore.Fault{faultstore.LateApply, faultstore.AnswerLost, faultstore.Outage, faultstore.Delayed} {
					if s.Count(fault) == 0 {
						t.Errorf("void: no %v", fault)
					}
				}
				read := sums(t, inner, "backend")
				for n, want := range added {
					if got := read[fmt.Sprintf("[ptu-%d]", n)].Prompt; got != want {
						t.Errorf("instance %d: %d tokens read, %d were added", n, got, want)
					}
				}
			})
		})
	}
}

// live is the life of an instance: five hours of requests and folds, and a last flush
// that is repeated until it succeeds.
func live(t *testing.T, s store.Store, n int, random *rand.Rand) (added int64) {
	l := start(t, ledger.Options{Store: s, Instance: "one"}) // all of the same name
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Hour)
	defer stop()
	var run sync.WaitGroup
	run.Go(func() { l.Run(ctx) })
	for ctx.Err() == nil {
		r := request("team-"+strconv.Itoa(random.IntN(3)), random.Int64N(1000))
		r.Backend = "ptu-" + strconv.Itoa(n)
		l.Add(r)
		added += r.Tokens.Prompt
		wait(time.Duration(random.Int64N(int64(20 * time.Second))))
		if random.IntN(20) == 0 {
			_, _ = l.Fold(ctx) // What it does not finish a later one does.
		}
	}
	run.Wait()
	for l.Flush(t.Context()) != nil {
		wait(10 * time.Second)
		_, _ = l.Fold(t.Context())
	}
	return added
}
