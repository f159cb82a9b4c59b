package swarm

import (
	"fmt"
	"sync/atomic"
	"time"

	"spillway/shared/breaker"
	"spillway/shared/clock"
	"spillway/shared/lease"
	"spillway/shared/quota"
	"spillway/tests/sim/script"
)

// maxSkew is how far the clocks of the machines are off.
const maxSkew = time.Second

// machine runs one process after another. It has a wall clock that is off and a
// monotonic clock that stands while it is frozen.
type machine struct {
	world   *world
	index   int
	runs    int // Processes so far. Owned by who boots it.
	booted  time.Time
	skew    atomic.Int64
	stood   atomic.Int64           // How long the monotonic clock has stood, in all.
	frozen  atomic.Pointer[freeze] // nil: it runs.
	current atomic.Pointer[incarnation]
	cut     atomic.Int64 // Until this Unix nanosecond the store is out of reach.
	busy    atomic.Bool  // A fault has it.

	frozeAt, thawedAt atomic.Int64 // The last freeze, in Unix nanoseconds.
}

// freeze is a time in which a machine does nothing.
type freeze struct {
	since time.Time
	done  chan struct{}
}

func newMachine(w *world, index int) *machine {
	m := &machine{world: w, index: index, booted: time.Now()}
	m.skew.Store(dieRange(w.config.Seed^uint64(index)<<20, maxSkew))
	return m
}

// dieRange draws a time in ±span.
func dieRange(seed uint64, span time.Duration) int64 {
	return int64(script.Dice(seed)(uint64(2*span))) - int64(span)
}

// read is the machine's two clocks.
func (m *machine) read() (wall time.Time, monotonic time.Duration) {
	now := time.Now()
	wall = now.Add(time.Duration(m.skew.Load()))
	until := now
	if f := m.frozen.Load(); f != nil {
		until = f.since
		if m.world.config.Defect == StuckClock {
			wall = wall.Add(-now.Sub(f.since))
		}
	}
	return wall, until.Sub(m.booted) - time.Duration(m.stood.Load())
}

// freeze stops the machine for a time.
func (m *machine) freeze(d time.Duration) {
	f := &freeze{since: time.Now(), done: make(chan struct{})}
	m.frozeAt.Store(f.since.UnixNano())
	m.thawedAt.Store(f.since.Add(d).UnixNano())
	m.frozen.Store(f)
	wait(d)
	m.stood.Add(int64(d))
	if m.world.config.Defect == StuckClock {
		m.skew.Add(-int64(d))
	}
	m.frozen.Store(nil)
	close(f.done)
}

// thawed returns when the machine runs, and tells whether it had to be waited for.
func (m *machine) thawed() (waited bool) {
	for f := m.frozen.Load(); f != nil; f = m.frozen.Load() {
		<-f.done
		waited = true
	}
	return waited
}

// incarnation is one process on a machine.
type incarnation struct {
	machine *machine
	name    string
	clock   *clock.Clock
	engine  *lease.Engine
	board   *breaker.Board
	dead    atomic.Bool // Crashed, or ended.
	ending  atomic.Bool // Takes no more requests.
	open    atomic.Int64
	offAt   atomic.Int64 // When the clock was last seen to be too far off for trials, in Unix nanoseconds.
	asked   time.Time    // When the store first answered it after the faults. Guarded by world.mu.
	alone   time.Time    // When it first answered without the store after recovery. Guarded by world.mu.

	books [][]*account // By limit, in the order of their windows. Guarded by world.mu.
}

// account is what one process did with one window of a limit, all in units.
type account struct {
	window    quota.Window
	net       int64 // Granted to it by rows that were committed, less what it gave back.
	used      int64 // Reserved, and settled.
	unmetered int64 // The part of used that no row had granted when it was reserved.
	owed      int64 // Spent beyond what the process believed to hold: to be taken off its next chunk.
	returned  int64 // Settled below what was reserved.
	lost      int64 // Of writes whose answer was lost.
	largest   int64 // The largest single grant.
	grants    int64
}

// boot starts a process.
func (m *machine) boot() {
	w := m.world
	m.runs++
	n := &incarnation{
		machine: m,
		name:    fmt.Sprintf("i%d-%d", m.index, m.runs),
		clock:   clock.New(m.read),
		books:   make([][]*account, len(w.config.Limits)),
	}
	random := script.Dice(w.config.Seed<<32 ^ uint64(m.index)<<8 ^ uint64(m.runs))
	var err error
	n.engine, err = lease.New(lease.Options{
		Store: &link{from: n}, Clock: n.clock, Instance: n.name,
		OnUnavailable: w.config.Policy, Events: n.heard, Random: random,
	})
	if err != nil {
		panic(err) // The options are ours.
	}
	if w.config.Breakers {
		n.board, err = breaker.New(breaker.Options{
			Store: &link{from: n}, Clock: n.clock, Instance: n.name, OpenFor: openFor,
			Instances: n.engine.Instances, Events: n.told, Random: random,
		})
		if err != nil {
			panic(err)
		}
	}
	w.mu.Lock()
	w.all = append(w.all, n)
	w.mu.Unlock()
	m.current.Store(n)
}

// end is the end of a process. Of what it holds nothing is left but its rows.
func (n *incarnation) end() {
	n.ending.Store(true)
	n.dead.Store(true)
	n.machine.current.CompareAndSwap(n, nil)
}

// checkClock notes a clock that is too far off for trials.
func (n *incarnation) checkClock() {
	if now := time.Now(); n.clock.Now().Sub(now).Abs() > trialSkew {
		n.offAt.Store(now.UnixNano())
	}
}

// account returns the account of a window. The caller holds world.mu.
func (n *incarnation) account(limit int, window quota.Window) *account {
	books := n.books[limit]
	at := len(books)
	for at > 0 && books[at-1].window >= window {
		at--
	}
	if at < len(books) && books[at].window == window {
		return books[at]
	}
	a := &account{window: window}
	n.books[limit] = append(books, nil)
	copy(n.books[limit][at+1:], n.books[limit][at:])
	n.books[limit][at] = a
	return a
}

// heard takes the events of the lease engine.
func (n *incarnation) heard(e lease.Event) {
	w := n.machine.world
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tally["lease: "+eventNames[e.Kind]]++
	switch e.Kind {
	case lease.EventUnmetered:
		w.figures().Told += e.Units
	case lease.EventLost:
		for limit := range w.config.Limits {
			if w.config.Limits[limit].Key == e.Key {
				at := w.config.Limits[limit].Period.Window(time.Now())
				n.account(limit, at).lost += e.Units
			}
		}
	case lease.EventUnusable:
		w.violate(RuleRow, "%s cannot use the row of %s: %v", n.name, e.Key, e.Err)
	default:
	}
}

// eventNames are the lease's events as the tally names them.
var eventNames = map[lease.EventKind]string{
	lease.EventGrant:     "grants",
	lease.EventConflict:  "conflicts",
	lease.EventAmbiguous: "answers in doubt",
	lease.EventLost:      "chunks lost",
	lease.EventGiveBack:  "chunks given back",
	lease.EventUnmetered: "unmetered grants",
	lease.EventUnusable:  "rows unusable",
	lease.EventDegraded:  "degraded",
	lease.EventRecovered: "recovered",
}
