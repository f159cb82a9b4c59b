// Package swarm plays a whole fleet, up to a thousand instances, on one store in
// virtual time: each is a real lease engine and a real breaker board with a clock
// of its own, and everything else around them is simulated and goes wrong. What
// they do is judged from outside: at the rows that are committed, at the verdicts
// that requests get, and at the backends that trials reach.
package swarm

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"spillway/shared/lease"
	"spillway/shared/quota"
	"spillway/shared/store/memory"
	"spillway/tests/fakes/faultstore"
	"spillway/tests/sim/tally"
	"spillway/tests/sim/verdict"
)

// Limit is one limit that all instances share.
type Limit struct {
	Key    string
	Period quota.Period
	Amount int64
	// Settled limits take a request's true cost once it is known; the others keep
	// what was reserved, as a backend that counts on arrival does.
	Settled bool
	// Rate is the requests a second that ask for units of the limit.
	Rate float64
	// Mean is the mean size of a request in units; 0: each takes one unit.
	Mean float64
	// Bursts is the time for which requests come, and then do not come, in turn;
	// 0: they always come.
	Bursts time.Duration
}

// Config is one run. Equal configurations play alike.
type Config struct {
	Seed      uint64
	Instances int
	// Length of the run, from the start of a minute.
	Length time.Duration
	Limits []Limit
	Policy lease.Policy
	// Storm is when all instances but the first join, at once; 0: all are there
	// from the beginning.
	Storm time.Duration
	// Faults says that things go wrong, until two minutes and a half before the
	// end.
	Faults bool
	// Breakers says that requests also go to backends, one of which is sick.
	Breakers bool
	Defect   Defect
}

// The times of a run with faults.
const (
	// roundTrip is how long the store takes.
	roundTrip = 7 * time.Millisecond
	// calm is how long before the end the faults stop: the rest of their window
	// and two windows to recover in; then the last half minute is judged.
	calm = 150 * time.Second
	// judged is how long before the end everything must have recovered.
	judged = 30 * time.Second
	// lateness is the longest that a write arrives after its caller gave up.
	lateness = 5 * time.Second
)

// world is a run being played.
type world struct {
	config   Config
	start    time.Time
	end      time.Time
	quiet    time.Time // No fault begins after it.
	vault    *vault
	table    *faultstore.Store
	machines []*machine
	requests sync.WaitGroup
	loops    sync.WaitGroup
	offDates atomic.Int64 // Share of answers with a wrong date, in 1/1000.
	served   int          // Machines that get requests. Owned by play.

	mu      sync.Mutex
	amounts [][]change          // By limit. Guarded by mu.
	tally   tally.Counts        // Guarded by mu.
	minutes []Figures           // By minute. Guarded by mu.
	offered map[sheet]int64     // Units asked for. Guarded by mu.
	found   []verdict.Violation // Guarded by mu.
	broken  map[string]int      // Violations by rule. Guarded by mu.
	trials  map[string][]*try   // By deployment. Guarded by mu.
	all     []*incarnation      // Guarded by mu.

	late, stubborn int64 // Verdicts after the recovery; of these, refusals in vain. Guarded by mu.
}

// change is a limit's amount from a moment on.
type change struct {
	from   time.Time
	amount int64
}

// run plays a run. It must be called in a bubble of testing/synctest.
func run(c Config) *Result {
	w := &world{
		config:  c,
		start:   time.Now(),
		tally:   tally.Counts{},
		broken:  make(map[string]int),
		trials:  make(map[string][]*try),
		amounts: make([][]change, len(c.Limits)),
		offered: make(map[sheet]int64),
	}
	w.end = w.start.Add(c.Length)
	w.quiet = w.start
	if c.Faults {
		w.quiet = w.end.Add(-calm)
	}
	w.vault = newVault(w, memory.New())
	table, err := faultstore.New(w.vault, faultstore.Options{
		Seed:  c.Seed,
		Delay: [2]time.Duration{40 * roundTrip, 60 * roundTrip},
		Late:  [2]time.Duration{0, lateness},
	})
	if err != nil {
		panic(err) // The options are constants.
	}
	w.table = table
	for i, limit := range c.Limits {
		w.amounts[i] = []change{{w.start.Add(-time.Hour), limit.Amount}}
	}
	for i := range c.Instances {
		w.machines = append(w.machines, newMachine(w, i))
	}
	w.play()
	return w.result()
}

// play lets the requests come and the faults happen, and returns when all of them
// are over.
func (w *world) play() {
	w.served = len(w.machines)
	if w.config.Storm > 0 {
		w.served = 1
	}
	for _, m := range w.machines[:w.served] {
		m.boot()
	}
	if w.config.Faults {
		w.disturb()
	}
	w.arrivals()
	w.loops.Wait()
	w.requests.Wait()
	w.table.Wait()
	w.settleUp()
}

// random returns a source of draws of its own for each purpose.
func (w *world) random(purpose uint64) *rand.Rand {
	return rand.New(rand.NewPCG(w.config.Seed, purpose))
}

// amount is what a limit is configured to now.
func (w *world) amount(limit int) int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	changes := w.amounts[limit]
	return changes[len(changes)-1].amount
}

// largest is the largest amount that was in force at any time of a span. The
// caller holds mu.
func (w *world) largest(limit int, from, to time.Time) int64 {
	var most int64
	changes := w.amounts[limit]
	for i, c := range changes {
		last := i+1 == len(changes)
		if !c.from.After(to) && (last || changes[i+1].from.After(from)) {
			most = max(most, c.amount)
		}
	}
	return most
}

// violate notes a violation. The caller holds mu.
func (w *world) violate(rule, format string, args ...any) {
	const most = 20
	w.broken[rule]++
	if w.broken[rule] <= most {
		w.found = append(w.found, verdict.Violation{Rule: rule, At: time.Since(w.start), What: fmt.Sprintf(format, args...)})
	}
}

// count counts something that happened.
func (w *world) count(what string) {
	w.mu.Lock()
	w.tally[what]++
	w.mu.Unlock()
}

// wait lets time go by.
func wait(d time.Duration) {
	if d > 0 {
		<-time.After(d)
	}
}
