package maintenance_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"spillway/functions/maintenance"
	"spillway/shared/lease"
	"spillway/shared/quota"
	"spillway/shared/store/memory"
)

// history is what happened to some limits.
type history struct {
	requests []string // Each with what became of it.
	refused  int
	rolled   int // By the maintenance.
}

// schedule says how many runs are made at a moment, in half seconds.
type schedule func(tick int) int

// replay lets the requests of a seed meet so many instances for ten minutes, in
// busy and in quiet times. An instance's dice always fall the same way: whether it
// meets a conflict more must not change its luck.
func replay(t *testing.T, seed uint64, instances int, runs schedule) (h history) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		limits := []maintenance.Limit{
			{Key: "deployment/a/tokens", Period: quota.Minute},
			{Key: "deployment/a/requests", Period: quota.TenSeconds},
			{Key: "deployment/b/tokens", Period: quota.Minute},
		}
		amounts := []int64{600, 3, 300}
		var engines []*lease.Engine
		var tending []instance
		for n := range instances {
			luck := func(most uint64) uint64 { return most / uint64(instances+1) * uint64(n+1) }
			e, err := lease.New(lease.Options{Store: s, Instance: fmt.Sprint(n), Random: luck})
			if err != nil {
				t.Fatal(err)
			}
			engines = append(engines, e)
			tending = append(tending, start(t, setup{name: fmt.Sprint("tending ", n), store: s, limits: limits}))
		}
		dice := rand.New(rand.NewPCG(seed, 1))
		for tick := range 1200 {
			busy := 80
			if tick/240%2 == 1 {
				busy = 4
			}
			if dice.IntN(100) < busy {
				which, at, units := dice.IntN(len(limits)), dice.IntN(instances), int64(1)
				l := limits[which]
				if l.Period == quota.Minute {
					units += dice.Int64N(60)
				}
				reservation, verdict := engines[at].Limit(l.Key, amounts[which], l.Period).Reserve(t.Context(), units)
				h.requests = append(h.requests, fmt.Sprintf("at %d: %d of %s on instance %d: %s", tick, units, l.Key, at, verdict.Outcome))
				reservation.Settle(dice.Int64N(units + 1))
				if !verdict.OK() {
					h.refused++
				}
			}
			synctest.Wait()
			for range runs(tick) {
				h.rolled += tending[tick%instances].run(t).Rolled
			}
			wait(500 * time.Millisecond)
		}
	})
	return h
}

// Dropping or repeating runs changes no admission: the same requests meet the
// same answers whether the maintenance never runs, runs every ten seconds, runs
// twice in a row all the time, or hardly ever.
func TestRunsChangeNoAdmission(t *testing.T) {
	seeds := uint64(2)
	if testing.Short() {
		seeds = 1
	}
	schedules := map[string]schedule{
		"every ten seconds": func(tick int) int { return one(tick%20 == 7) },
		"twice, always":     func(int) int { return 2 },
		"seldom":            func(tick int) int { return one(tick%170 == 33) },
	}
	for _, instances := range []int{1, 3, 8} {
		t.Run(fmt.Sprint(instances, " instances"), func(t *testing.T) {
			rolled := 0
			for seed := range seeds {
				never := replay(t, seed, instances, func(int) int { return 0 })
				if never.refused == 0 || never.refused == len(never.requests) {
					t.Errorf("void: %d of %d requests were refused", never.refused, len(never.requests))
				}
				for name, runs := range schedules {
					with := replay(t, seed, instances, runs)
					rolled += with.rolled
					for n, want := range never.requests {
						if with.requests[n] != want {
							t.Fatalf("seed %d, maintained %s:\n%s\nwithout maintenance:\n%s", seed, name, with.requests[n], want)
						}
					}
				}
			}
			if rolled == 0 {
				t.Error("void: nothing was rolled")
			}
		})
	}
}

func one(b bool) int {
	if b {
		return 1
	}
	return 0
}
