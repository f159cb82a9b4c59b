package swarm

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/lease"
	"spillway/shared/quota"
)

// mean is the mean size of a request in units, before one in five hundred is
// twenty times as large.
const mean = 1000

// Faulty is a run of ten windows in which everything goes wrong. The policy, and
// how much is asked for, hang on the seed: half of the limits to one and a half.
// Every other fleet comes in one storm.
func Faulty(seed uint64, instances int, length time.Duration) Config {
	amount := 3000 * int64(instances)
	load := []float64{0.5, 0.9, 1, 1.5}[seed/3%4]
	rate := load * float64(amount) / 60 / (mean * (1 + 19.0/500))
	c := Config{
		Seed: seed, Instances: instances, Length: length, Faults: true, Breakers: true,
		Policy: lease.Policy(seed % 3),
		Limits: []Limit{
			{Key: "backend", Period: quota.Minute, Amount: amount, Rate: rate, Mean: mean},
			{Key: "consumer", Period: quota.Minute, Amount: amount, Rate: rate, Mean: mean, Settled: true},
			{Key: "requests", Period: quota.TenSeconds, Amount: int64(20 + instances/10), Rate: float64(20+instances/10) / 12, Bursts: 35 * time.Second},
		},
	}
	if seed%2 == 0 {
		c.Storm = time.Minute
	}
	return c
}

// Measured is a run without faults, to be measured: so many instances share so many
// units a minute, and get so many requests a second. It ends before the edge
// of a window, so that all that belongs to that window happens within it.
func Measured(instances int, amount int64, rate float64, settled bool) Config {
	// Requests take ten seconds, and everybody's give-back one after another.
	rest := 15*time.Second + time.Duration(instances)*4*roundTrip
	return Config{
		Seed: 1, Instances: instances, Length: 4*time.Minute - rest,
		Limits: []Limit{{Key: "backend", Period: quota.Minute, Amount: amount, Rate: rate, Mean: mean, Settled: settled}},
	}
}

// Play plays a run in a bubble of its own. A goroutine that is left over at the end
// panics there.
func Play(t *testing.T, c Config) *Result {
	t.Helper()
	var r *Result
	synctest.Test(t, func(*testing.T) { r = run(c) })
	return r
}

// Row is the measured minute as a row of a table; Head is above it.
func (r *Result) Row(c Config, minute int) string {
	f := r.Minutes[minute]
	var w Window
	for _, each := range r.Windows {
		if each.Limit == 0 && each.Start == quota.Window(946684800+60*int64(minute)) { // A bubble begins with the year 2000.
			w = each
		}
	}
	requests := float64(max(f.Requests, 1))
	percent := func(part, whole int64) float64 { return 100 * float64(part) / float64(max(whole, 1)) }
	l := c.Limits[0]
	return fmt.Sprintf("| %4d | %9d | %6.0f | %d | %2d | %.4f | %3.0f %% | %6.2f %% | %3d ms | %5.1f %% | %5.2f %% | %5.2f %% | %d | %5d of %5d |",
		c.Instances, l.Amount, l.Rate, minute+1, w.Shards, float64(f.Operations)/requests, percent(f.Conflicts, f.Writes),
		percent(f.Contended, f.Requests), f.Wait.Milliseconds(), percent(w.Spent, w.Amount), percent(w.Stranded, w.Amount),
		percent(f.Needless, f.Requests), max(w.Over-w.Owed, 0), w.Grants, w.Bound)
}

// Head is the head of the table of Row.
func Head() string {
	names := []string{
		"P", "limit", "req/s", "minute", "shards", "ops/request", "conflicts", "contended", "worst wait",
		"fill", "stranded", "refused in vain", "over", "grants",
	}
	return "| " + strings.Join(names, " | ") + " |"
}
