package lease

import (
	"errors"
	"sync/atomic"
	"time"

	"spillway/shared/quota"
	"spillway/shared/store"
)

const (
	// maxTries bounds the conflicts of work that no request waits for.
	maxTries = 4
	// firstPause is the longest pause after the first conflict; it doubles twice.
	firstPause = 10 * time.Millisecond
	// maxAhead is how far a row may be ahead of the clock; beyond, it is garbage.
	maxAhead = 5 * time.Minute
)

// errUnusable says that what the store holds is not a row to work with.
var errUnusable = errors.New("lease: unusable row")

// flight is the one conversation a limit has with the store, and who waits for it. It
// belongs to whoever has taken the limit's flight slot (supply.flying, under mu): then its
// fields need no lock, but for those that are said to. A limit has one from the first time
// that it is needed; see land for when it has none again.
type flight struct {
	limit   *Limit        // nil while it rests.
	waiters []*waiter     // First come, first served. Guarded by mu.
	landed  chan struct{} // Closed when the flight slot is free again; nil: nobody waits for that. Guarded by mu.
	pending *plan         // A write whose answer was lost.
	cached  stored        // A row as last seen; the zero value: read it.
	settled quota.Shards  // How many shards there are, by shard 0 as last stored.
	visited quota.Window  // The last window in which this instance holds of another than its home shard.
	trimmed quota.Window  // The last window in which it asked for fewer shards.
	next    ahead         // Units taken ahead. Guarded by mu.
	calling atomic.Int64  // Monotonic time at which the store call in progress began; 0: none. Needs no lock.
	tries   int32         // Failures since the last success.
	fresh   bool          // A row was read or written in this flight; cached, if set, is that row.
}

// fly works until nobody waits and nothing is left to do: each waiter leaves
// within the budget, other work is given up after a few tries.
func (f *flight) fly() {
	for {
		more, pause := f.step()
		if !more {
			return
		}
		time.Sleep(pause)
	}
}

// flyFor is fly for a request that waits, on the goroutine of that: where the store is
// in this process, to hand the work to another goroutine and wait for it takes longer
// than the work. It tells whether the request is served. If not, or if others came
// meanwhile, a goroutine goes on after a few steps. It takes mu.
func (f *flight) flyFor(w *waiter) bool {
	const steps = 4 // Enough for a recheck, a look at a row anew, a refill, and to land.
	more, pause := true, time.Duration(0)
	for i := 0; i < steps && more && pause == 0; i++ {
		more, pause = f.step()
	}
	if !more {
		return true
	}
	l := f.limit
	l.mu.Lock()
	defer l.mu.Unlock()
	if !w.resolved {
		w.done = make(chan struct{})
	}
	go func() {
		time.Sleep(pause)
		f.fly()
	}()
	return w.resolved
}

// task is what a step of a flight does.
type task uint8

const (
	idle    task = iota
	refill       // Take units of this window.
	reap         // Take units of the next window.
	recheck      // Hold the lease against its row, and give back what is too much.
)

// step does one task: at most one write to the row. There are more, after a pause, until
// it has freed the flight slot.
func (f *flight) step() (more bool, pause time.Duration) {
	l := f.limit
	l.mu.Lock()
	what := l.next()
	if what == idle {
		l.land()
		l.mu.Unlock()
		return false, 0
	}
	window, in := l.window, l.inForce()
	l.mu.Unlock()

	if f.pending != nil {
		if err := f.recall(window); err != nil {
			return f.after(err)
		}
		return true, 0 // Says nothing about writes: tries stands.
	}
	if what == recheck {
		return f.after(f.recheck(window, in))
	}
	return f.after(f.work(what, window, in))
}

// next answers whom it can, and returns what the flight is to do then.
func (l *Limit) next() task {
	s := &l.supply
	if l.waiting() || s.probe || s.prefetch || s.ahead {
		l.serve(l.engine.clock.Read())
	}
	switch {
	case l.waiting() || s.probe || s.prefetch:
		if l.doubtful && l.remaining > 0 {
			return recheck
		}
		return refill
	case s.ahead:
		return reap
	default:
		return idle
	}
}

// after draws the conclusions from a step's error: whether there are more steps, and how
// long to pause before.
func (f *flight) after(err error) (more bool, pause time.Duration) {
	l := f.limit
	if errors.Is(err, store.ErrConflict) {
		l.engine.emit(Event{Kind: EventConflict, Key: l.key()})
	}
	if errors.Is(err, errUnusable) || errors.Is(err, store.ErrInvalid) {
		l.engine.emit(Event{Kind: EventUnusable, Key: l.key(), Err: err})
		f.giveUp(true)
		return false, 0
	}
	if err != nil && l.engine.gate.readiness(l.engine.clock.Read()) == closedTo {
		f.giveUp(false)
		return false, 0
	}
	l.mu.Lock()
	s := &l.supply
	if err == nil {
		// It may have been a step that only read: a conflict before it stands.
		f.tries = 0
		l.mu.Unlock()
		return true, 0
	}
	s.conflicted = errors.Is(err, store.ErrConflict)
	if s.conflicted {
		s.conflicts++
	}
	f.tries++
	if !s.conflicted || f.tries >= maxTries {
		s.probe, s.prefetch, s.ahead = false, false, false
	}
	l.mu.Unlock()
	if errors.Is(err, store.ErrAmbiguous) {
		return true, 0 // A doubt is settled at once, while the row remembers the write.
	}
	return true, l.engine.jitter(firstPause << min(f.tries-1, 2))
}

// giveUp answers all waiters by the policy and frees the flight slot. unusable
// keeps the limit from asking for its row again for a while.
func (f *flight) giveUp(unusable bool) {
	l := f.limit
	now := l.engine.clock.Read()
	pause := shutFor + l.engine.jitter(shutJitter)
	var total int64
	l.mu.Lock()
	s := &l.supply
	for _, w := range f.waiters {
		r, v, unmetered := l.alone(w.units, now)
		w.resolve(r, v)
		total += unmetered
	}
	f.waiters, l.awaited = nil, false
	s.probe, s.prefetch, s.ahead = false, false, false
	if unusable {
		f.cached = stored{}
		s.unusable = now.Until(now.Time().Add(pause))
	}
	l.land()
	l.mu.Unlock()
	l.unmetered(total)
}

// work reads the home row, plans and writes.
func (f *flight) work(what task, window quota.Window, in setting) error {
	target := window
	if what == reap {
		target = f.limit.period.Next(window)
	}
	home, shards, err := f.homeRow(window, target, in)
	if err != nil {
		return err
	}
	p, ok, err := f.plan(what, home, window, false)
	if err != nil || !ok {
		return err
	}
	if p.units > 0 {
		return f.carryOut(&p)
	}
	if p.short && !f.fresh {
		f.cached = stored{} // Nobody is refused by a row that was not read for it.
		return nil
	}
	if p.short {
		if err := f.announce(&p); err != nil {
			return err
		}
	}
	if p.short && shards > 1 {
		if served, err := f.visit(home, shards, window); served || err != nil {
			return err
		}
		if err := f.trim(shards, window, in); err != nil {
			return err
		}
	}
	f.conclude(what, window, p.short)
	return nil
}

// visits is how many other shards are asked before a limit counts as exhausted. The
// fewer instances share one, the more each may ask: the last one of a fleet that
// shrank asks them all.
func visits(shards, sharers int64) int64 {
	const least = 3
	return min(max(least, quota.InstancesPerShard/sharers), shards-1)
}

// visiting is how long other shards are asked before those who wait are told that there
// is no room. If that took all the time they wait, the policy would stand in for a store
// that is at no fault.
const visiting = budget * 4 / 5

// visit tries other shards for those whom the home shard cannot serve, one after
// another from a random one on. A shard that only pays a part of what is owed serves
// nobody, and the next one is asked. It tells whether there was anything to do for those
// who wait but to conclude that there is no room.
func (f *flight) visit(home stored, shards int64, window quota.Window) (served bool, err error) {
	l := f.limit
	first := int64(l.engine.random(uint64(shards - 1)))
	l.mu.Lock()
	l.supply.far, l.supply.visited = 0, true
	l.sighted()
	l.mu.Unlock()
	began := l.engine.clock.Read().Monotonic
	for i := range visits(shards, home.sharers()) {
		if i > 0 && l.engine.clock.Read().Monotonic-began > int64(visiting) {
			break
		}
		row, err := f.read((home.shard + 1 + (first+i)%(shards-1)) % shards)
		if err != nil {
			return false, err
		}
		p, ok, err := f.plan(refill, row, window, true)
		if err != nil || !ok {
			return true, err
		}
		if p.units > 0 {
			err = f.carryOut(&p)
		}
		if err != nil || !p.short { // Somebody is served, or nobody waits any more.
			return true, err
		}
	}
	return false, nil
}

// carryOut writes a plan. A lost answer leaves it pending.
func (f *flight) carryOut(p *plan) error {
	l := f.limit
	err := f.write(p.before, p.row)
	if err == nil {
		f.apply(p)
	}
	if errors.Is(err, store.ErrAmbiguous) {
		pending := *p // Only this outlives the step.
		f.pending = &pending
		l.engine.emit(Event{Kind: EventAmbiguous, Key: l.key(), Units: p.units, Err: err})
	}
	return err
}

// recall reads whether the pending write happened. If the row remembers it its units
// are ours; else they count as lost for good, even if the write should still happen:
// nobody will spend them.
func (f *flight) recall(window quota.Window) error {
	l, p := f.limit, f.pending
	if p.window >= window {
		row, err := f.read(p.before.shard)
		if err != nil {
			return err
		}
		if happened, _ := row.tells(p.before, p.row); happened {
			f.pending = nil
			f.apply(p)
			return nil
		}
	}
	f.pending = nil
	l.engine.emit(Event{Kind: EventLost, Key: l.key(), Units: p.units})
	return nil
}

// apply adds granted units to the lease they are for, and answers whom it can.
func (f *flight) apply(p *plan) {
	l := f.limit
	now := l.engine.clock.Read()
	l.mu.Lock()
	if l.ends.PassedAt(now) {
		l.roll(now)
	}
	if p.guest {
		f.visited = max(f.visited, p.window)
	}
	kind := l.gain(p)
	l.serve(now)
	l.mu.Unlock()
	l.engine.emit(Event{Kind: kind, Key: l.key(), Units: p.units})
}

// gain adds granted units to the lease they are for. It returns what is to be reported.
func (l *Limit) gain(p *plan) EventKind {
	kind := EventGrant
	s := &l.supply
	switch {
	case p.window == l.window:
		l.granted += p.units
		l.remaining += p.units
		switch current := l.inForce() == p.told; {
		case !current:
			l.doubtful = true
		case !p.ahead && !p.guest:
			l.doubtful = false // The row has this amount now, and has granted no more.
		}
		l.low = max(p.units/4, 2*l.largest)
		if s.asking && !p.ahead && !p.short {
			s.exhausted, s.asking = false, false // They have room again.
		}
		row := p.row.Roll(l.period, p.window) // Units taken ahead may arrive after the edge.
		l.saw(l.inForce().apply(row, l.period), p.before.shard, p.guest)
		if p.guest {
			s.far = row.Left(p.before.shard)
			l.sighted()
		}
	case p.window > l.window:
		l.flight().next = ahead{window: p.window, units: p.units, doubtful: l.inForce() != p.told}
	default:
		kind = EventLost
	}
	if !p.guest {
		s.joined = max(s.joined, p.window)
	}
	s.probe, s.prefetch = false, false
	if p.ahead {
		s.ahead = false
	}
	l.watch()
	return kind
}

// conclude ends a task that took nothing. short says that the row cannot serve
// those who wait: for a while nobody asks it again for more than it has left.
func (f *flight) conclude(what task, window quota.Window, short bool) {
	l := f.limit
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &l.supply
	if what == reap {
		s.ahead = false
		return
	}
	s.probe, s.prefetch = false, false
	if short && s.seen && l.window == window {
		s.exhausted, s.asking = true, false
	}
}
