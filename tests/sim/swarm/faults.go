package swarm

import (
	"context"
	"iter"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"spillway/functions/maintenance"
	"spillway/shared/breaker"
	"spillway/shared/quota"
	"spillway/shared/store"
	"spillway/tests/fakes/faultstore"
	"spillway/tests/sim/script"
)

// dateOff is by how much a wrong date is off.
const dateOff = 2 * time.Second

// usual are the faults of the store that are always possible.
var usual = map[faultstore.Fault]float64{
	faultstore.Refused:           0.002,
	faultstore.RequestLost:       0.005,
	faultstore.AnswerLost:        0.005,
	faultstore.LateApply:         0.003,
	faultstore.Conflicted:        0.003,
	faultstore.ConflictedApplied: 0.001,
	faultstore.Busy:              0.002,
	faultstore.BusyApplied:       0.002,
	faultstore.Delayed:           0.002,
}

// storeFaults are the faults of the store that runs meet.
func storeFaults() []faultstore.Fault {
	faults := slices.Collect(maps.Keys(usual))
	return append(faults, faultstore.Outage, faultstore.WriteRefused, faultstore.ReadRefused)
}

// clockError is how far the corrected clocks may be off: a second while a clock
// has seen few dates, and what wrong dates make of it.
func (w *world) clockError() time.Duration {
	if w.config.Faults {
		return maxSkew + dateOff + 500*time.Millisecond
	}
	return maxSkew + 100*time.Millisecond
}

// disturb lets the faults happen until they have to stop.
func (w *world) disturb() {
	w.rates(usual)
	w.offDates.Store(10)
	seconds := func(low, high float64) func(*rand.Rand) time.Duration {
		return func(r *rand.Rand) time.Duration {
			return time.Duration(low * math.Pow(high/low, r.Float64()) * float64(time.Second))
		}
	}
	short, long := seconds(0.2, 8), seconds(0.5, 90)
	w.every(2, 2*time.Second, func(r *rand.Rand) { w.with(r, func(m *machine) { w.crash(m, short(r)) }) })
	w.every(3, 3*time.Second, func(r *rand.Rand) { w.with(r, func(m *machine) { w.frost(m, long(r)) }) })
	w.every(4, 4*time.Second, func(r *rand.Rand) { w.with(r, func(m *machine) { w.terminate(m, r.IntN(2) == 0, short(r)) }) })
	w.every(5, 3*time.Second, func(r *rand.Rand) { w.with(r, func(m *machine) { w.cutOff(m, long(r)) }) })
	w.every(6, 8*time.Second, func(r *rand.Rand) {
		w.with(r, func(m *machine) { m.skew.Store(r.Int64N(int64(2*maxSkew)) - int64(maxSkew)); w.count(countStepped) })
	})
	w.every(7, 2*time.Second, func(r *rand.Rand) { w.with(r, w.idle) })
	w.every(8, 50*time.Second, func(r *rand.Rand) { w.outage(w.table.SetOutage, short(r)) })
	w.every(9, 50*time.Second, func(r *rand.Rand) { w.outage(w.table.SetReadOnly, short(r)) })
	w.every(14, 50*time.Second, func(r *rand.Rand) { w.outage(w.table.SetWriteOnly, short(r)) })
	w.every(10, 60*time.Second, func(r *rand.Rand) { w.outage(w.slow, short(r)/2) })
	w.every(11, 20*time.Second, w.change)
	w.every(12, 7*time.Second, w.timer)
	w.every(13, 10*time.Second, w.sweep)
	w.loops.Go(func() {
		wait(time.Until(w.quiet))
		w.rates(nil)
		w.offDates.Store(0)
	})
}

// every does something again and again, by chance once in a mean time. Each
// occurrence runs by itself.
func (w *world) every(purpose uint64, mean time.Duration, do func(*rand.Rand)) {
	random := w.random(purpose)
	w.loops.Go(func() {
		for {
			wait(1 + time.Duration(random.ExpFloat64()*float64(mean)))
			if !time.Now().Before(w.quiet) {
				return
			}
			own := rand.New(rand.NewPCG(random.Uint64(), purpose))
			w.loops.Go(func() { do(own) })
		}
	})
}

// rest is a time, cut off where the faults stop.
func (w *world) rest(d time.Duration) time.Duration {
	return max(min(d, time.Until(w.quiet)), 1)
}

// slow has the store take longer for each call than anybody waits, or puts an end to that.
func (w *world) slow(on bool) {
	if on {
		w.rates(map[faultstore.Fault]float64{faultstore.Delayed: 1})
	} else {
		w.rates(usual)
	}
}

// rates sets how often the store fails: never, from the moment on at which the faults
// stop. A slow store that is over at that very moment would else bring the usual rates
// back, if it came last.
func (w *world) rates(rates map[faultstore.Fault]float64) {
	if !time.Now().Before(w.quiet) {
		if w.config.Defect == LastingFaults {
			return
		}
		rates = nil
	}
	if err := w.table.SetRates(rates); err != nil {
		panic(err) // They are constants.
	}
}

// with does something to a machine that runs and that no other fault has.
func (w *world) with(r *rand.Rand, do func(*machine)) {
	m := w.machines[r.IntN(len(w.machines))]
	if m.current.Load() != nil && m.busy.CompareAndSwap(false, true) {
		do(m)
		m.busy.Store(false)
	}
}

// crash ends a process at once, and starts the next one after a time.
func (w *world) crash(m *machine, down time.Duration) {
	n := m.current.Load()
	w.count(countCrashes)
	w.judgeStranded(n)
	n.end()
	wait(w.rest(down))
	m.boot()
}

// frost freezes a machine.
func (w *world) frost(m *machine, d time.Duration) {
	w.count(countFreezes)
	m.freeze(w.rest(d))
}

// terminate ends a process as it should end: it takes no more requests and gives
// back, at once or after those that it has.
func (w *world) terminate(m *machine, drained bool, down time.Duration) {
	n := m.current.Load()
	w.count(countTerminated)
	n.ending.Store(true)
	if n.open.Load() > 0 {
		w.count(countMidway)
	}
	for end := time.Now().Add(15 * time.Second); drained && n.open.Load() > 0 && time.Now().Before(end); {
		wait(50 * time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	n.configure()
	n.engine.GiveBack(ctx)
	cancel()
	n.end()
	wait(w.rest(down))
	m.boot()
}

// cutOff takes the store out of a machine's reach.
func (w *world) cutOff(m *machine, d time.Duration) {
	d = w.rest(d)
	m.cut.Store(time.Now().Add(d).UnixNano())
	if w.config.Defect == LastingCuts {
		m.cut.Store(math.MaxInt64)
	}
	wait(d)
}

// idle gives back what a process has not used for a while.
func (w *world) idle(m *machine) {
	w.count(countIdle)
	n := m.current.Load()
	n.configure()
	n.engine.GiveBackIdle(context.Background(), 5*time.Second)
}

// configure tells a process the amounts in force, as each request does.
func (n *incarnation) configure() {
	for i, l := range n.machine.world.config.Limits {
		n.engine.Limit(l.Key, n.machine.world.amount(i), l.Period)
	}
}

// outage makes the store fail in a way for a time.
func (w *world) outage(set func(bool), d time.Duration) {
	set(true)
	wait(w.rest(d))
	set(false)
}

// change cuts or raises the amount of a limit, for all instances at once.
func (w *world) change(r *rand.Rand) {
	w.mu.Lock()
	defer w.mu.Unlock()
	limit := r.IntN(len(w.config.Limits))
	changes := w.amounts[limit]
	last := changes[len(changes)-1].amount
	next := int64(float64(w.config.Limits[limit].Amount) * (0.6 + 0.8*r.Float64()))
	if next < last {
		w.tally[countCuts]++
	} else {
		w.tally[countRaises]++
	}
	w.amounts[limit] = append(changes, change{time.Now(), next})
}

// timer is what a timer does on a machine: a run of the maintenance. Now and then
// two runs overlap.
func (w *world) timer(r *rand.Rand) {
	runs := 1 + r.IntN(2)
	if runs > 1 {
		w.count(countOverlapping)
	}
	if r.IntN(2) == 0 { // At the edge there is something to roll.
		wait(time.Minute - time.Since(w.start)%time.Minute + time.Duration(r.Int64N(int64(4*roundTrip))))
		if !time.Now().Before(w.quiet) {
			return
		}
	}
	for range runs {
		n := w.machines[r.IntN(len(w.machines))].current.Load()
		if n == nil {
			continue
		}
		w.loops.Go(func() { w.maintain(n) })
	}
}

// maintain is one run of the maintenance in a process.
func (w *world) maintain(n *incarnation) {
	m, err := maintenance.New(maintenance.Options{
		Store: &link{from: n, timer: true}, Clock: n.clock, Instance: n.name, Board: n.board,
		Limits: func() iter.Seq[maintenance.Limit] {
			return func(yield func(maintenance.Limit) bool) {
				for _, l := range w.config.Limits {
					// A row that is rolled is not swept: both must happen.
					if (l.Bursts == 0 || w.config.Seed%2 == 0) && !yield(maintenance.Limit{Key: l.Key, Period: l.Period}) {
						return
					}
				}
			}
		},
		Probe:  func(_ context.Context, id string, pass breaker.Pass) { w.call(n, id, pass, false) },
		Random: script.Dice(w.config.Seed ^ 1<<50),
	})
	if err != nil {
		panic(err) // The options are ours.
	}
	report := m.Run(context.Background())
	w.mu.Lock()
	w.tally[countRuns]++
	w.tally[countRolled] += int64(report.Rolled)
	w.tally[countProbed] += int64(report.Probed)
	w.mu.Unlock()
	if w.config.Defect == TimerSetsBack {
		w.forget(n)
	}
}

// forget sets the counts of all rows back to nothing.
func (w *world) forget(n *incarnation) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	l := &link{from: n, timer: true}
	for partition := range w.rows() {
		key := store.Key{Partition: partition, Row: quota.RowKey}
		if row, err := l.Get(ctx, key); err == nil {
			row.Columns["Granted"] = int64(0)
			_, _ = l.Replace(ctx, key, row.Columns, row.ETag)
		}
	}
}

// sweep deletes rows that nobody has used for some windows.
func (w *world) sweep(*rand.Rand) {
	ctx := context.Background()
	for partition, row := range w.rows() {
		period := w.config.Limits[row.limit].Period
		unused := period.Next(period.Next(row.counts.window)).Start().Add(w.clockError() + lateness)
		if w.config.Defect != SweepsInUse && time.Now().Before(unused) {
			continue
		}
		key := store.Key{Partition: partition, Row: quota.RowKey}
		if got, err := w.table.Get(ctx, key); err == nil && w.table.Delete(ctx, key, got.ETag) == nil {
			w.count(countSwept)
		}
	}
}

// rows returns the rows of the limits as they are now, by partition.
func (w *world) rows() map[string]shard {
	w.mu.Lock()
	defer w.mu.Unlock()
	rows := make(map[string]shard)
	for partition, row := range w.vault.rows {
		if row.exists && strings.HasPrefix(partition, "quota!") {
			rows[partition] = *row
		}
	}
	return rows
}
