// Package hotkey measures how many requests a second many writers can count on
// one key of a real table service: with leases, and with a counter that is read
// and conditionally replaced for each request. Both race on the same service, in
// turns, and both are audited: what the writers believe to have been granted must
// be in the row.
package hotkey

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"spillway/shared/store"
	"spillway/tests/bench/meter"
)

// What tests/bench measures.
const (
	Writers  = 16
	Rounds   = 3
	Warm     = time.Second / 2
	Measured = time.Second
)

// MaxBusy is how busy this process may be for the table service to be what a
// contender waits for.
const MaxBusy = 0.8

// Race says how to measure.
type Race struct {
	// Stores are the writers' own connections to the same table.
	Stores []store.Store
	// Rounds is how often both contenders have their turn.
	Rounds int
	// Warm is how long a turn lasts before it counts, Measured how long it counts.
	Warm, Measured time.Duration
}

// Round is one turn of both contenders.
type Round struct {
	Leases, Counter Turn
}

// Turn is what one contender did in one round.
type Turn struct {
	// Seconds is how long it was measured.
	Seconds float64
	// Granted is how many requests were granted while it was measured, Refused
	// how many were not, Operations the operations on the table meanwhile.
	Granted, Refused int64
	Operations       meter.Count
	// Busy is how busy this process was, the contender and what drives it: 1 is
	// all the processors it may use, which leave one to the table service.
	Busy float64
	// TotalGranted is what the writers were granted in the whole turn, Row what
	// the row says was granted to them.
	TotalGranted, Row int64
}

// Rate returns the grants per second.
func (t Turn) Rate() float64 { return float64(t.Granted) / t.Seconds }

// OverGranted returns the requests that were granted and are not in the row.
func (t Turn) OverGranted() int64 { return max(t.TotalGranted-t.Row, 0) }

// Run measures round after round.
func Run(ctx context.Context, r Race, progress func(string)) ([]Round, error) {
	// The table service keeps a processor for itself, so that the contenders do not
	// take from it what they wait for.
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(max(runtime.NumCPU()-1, 1)))
	var rounds []Round
	for n := range r.Rounds {
		name := fmt.Sprintf("hot-%d", n)
		counter, err := r.turn(ctx, newCounter(name))
		if err != nil {
			return nil, fmt.Errorf("round %d, counter: %w", n+1, err)
		}
		leases, err := r.turn(ctx, newLeases(name))
		if err != nil {
			return nil, fmt.Errorf("round %d, leases: %w", n+1, err)
		}
		rounds = append(rounds, Round{Leases: leases, Counter: counter})
		progress(fmt.Sprintf("round %d: %.0f grants/s with leases, %.0f with a counter", n+1, leases.Rate(), counter.Rate()))
	}
	return rounds, nil
}

// tolerated: one operation of so many may fail, as when the table service collects its
// garbage. It slows down the contender that meets it, and changes no count.
const tolerated = 50

// Voids says why the turn must not be believed.
func (t Turn) Voids() (voids []string) {
	if t.Granted == 0 {
		voids = append(voids, "nothing was granted")
	}
	if t.Operations.Failures*tolerated > t.Operations.Operations() {
		voids = append(voids, fmt.Sprintf("%d operations on the table failed or took too long (is the machine busy with something else?)", t.Operations.Failures))
	}
	if n := t.OverGranted(); n > 0 {
		voids = append(voids, fmt.Sprintf("%d granted requests are not in the row", n))
	}
	return voids
}

// contender is a way to count requests.
type contender interface {
	// begin prepares the writers, one for each store. It may wait for a good moment
	// for them to run for so long.
	begin(ctx context.Context, stores []store.Store, takes time.Duration) ([]writer, error)
	// granted reads from the row how many requests were granted.
	granted(ctx context.Context, s store.Store) (int64, error)
}

// writer asks for one request to be granted. An error ends the measurement.
type writer func(ctx context.Context) (granted bool, err error)

// tally is one writer's counts, alone on its cache lines.
type tally struct {
	granted, refused atomic.Int64
	_                [128]byte
}

// yieldEvery is how many requests a writer makes before it lets the others run: a
// writer that never waits would else keep the answers of the table from those who
// wait for them.
const yieldEvery = 64

// turn lets the writers of a contender run, each as fast as it can.
func (r Race) turn(ctx context.Context, c contender) (Turn, error) {
	meters := make([]*meter.Store, len(r.Stores))
	stores := make([]store.Store, len(r.Stores))
	for i, s := range r.Stores {
		meters[i] = meter.New(s)
		stores[i] = meters[i]
	}
	writers, err := c.begin(ctx, stores, r.Warm+r.Measured)
	if err != nil {
		return Turn{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	tallies := make([]tally, len(writers))
	var stop atomic.Bool
	var all sync.WaitGroup
	for i, write := range writers {
		all.Go(func() {
			for n := 1; !stop.Load() && ctx.Err() == nil; n++ {
				if n%yieldEvery == 0 {
					runtime.Gosched()
				}
				granted, err := write(ctx)
				switch {
				case err != nil:
					cancel(err)
				case granted:
					tallies[i].granted.Add(1)
				default:
					tallies[i].refused.Add(1)
				}
			}
		})
	}
	pause(ctx, r.Warm)
	before := look(tallies, meters)
	pause(ctx, r.Measured)
	after := look(tallies, meters)
	stop.Store(true)
	all.Wait()
	if err := context.Cause(ctx); err != nil {
		return Turn{}, err
	}
	turn := after.since(before)
	turn.TotalGranted = look(tallies, meters).granted
	turn.Row, err = c.granted(ctx, r.Stores[0])
	return turn, err
}

// pause lets time pass, unless the context ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// moment is all counts at one moment.
type moment struct {
	at               time.Time
	granted, refused int64
	operations       meter.Count
	processor        time.Duration // Time that this process has had.
}

func look(tallies []tally, meters []*meter.Store) moment {
	m := moment{at: time.Now(), processor: meter.ProcessorTime()}
	for i := range tallies {
		m.granted += tallies[i].granted.Load()
		m.refused += tallies[i].refused.Load()
	}
	for _, counted := range meters {
		m.operations = m.operations.Plus(counted.Count())
	}
	return m
}

func (m moment) since(earlier moment) Turn {
	took := m.at.Sub(earlier.at)
	return Turn{
		Seconds:    took.Seconds(),
		Granted:    m.granted - earlier.granted,
		Refused:    m.refused - earlier.refused,
		Operations: m.operations.Minus(earlier.operations),
		Busy:       float64(m.processor-earlier.processor) / float64(took) / float64(runtime.GOMAXPROCS(0)),
	}
}
