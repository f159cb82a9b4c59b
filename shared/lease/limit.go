package lease

import (
	"context"
	"math"
	"sync"
	"time"

	"spillway/shared/clock"
	"spillway/shared/quota"
	"spillway/shared/store"
)

// never is a wall time that does not come.
const never = math.MaxInt64

// Limit is one limit of this engine: the lease this instance holds on it, and how
// to get more. It is safe for concurrent use.
//
// Exported methods take mu; unexported ones expect the caller to hold it, unless
// they say otherwise.
//
// There may be hundreds of thousands, each used now and then, so that a request waits
// for the memory of its limits. All of one is five lines of the processor's cache, of
// which the first two are enough for what does not reserve, and three for who reserves
// what the lease covers. Pointers come first: the garbage collector reads no more.
type Limit struct {
	mu        sync.Mutex
	engine    *Engine
	backend   *backend    // What a backend said; nil: nothing yet. Guarded by mu, as all that is not said to stay.
	own       *flight     // nil: none has been needed, or it had nothing to remember. See takeOff.
	home      *quota.Kept // The row of shard 0 as this process last saw it; nil: see direct.
	partition string      // Of the row of shard 0; the key is a part of it. It stays.

	ceilings  uint32       // Numbers the corrections of remaining; odd while one applies.
	period    quota.Period // It stays.
	forgotten bool         // Nobody asked for this limit since Engine.Forget.
	doubtful  bool         // The row may have granted more than is in force: hold the lease against it.
	awaited   bool         // A Reserve may wait in the flight.

	// The lease: units granted to this instance in one window. remaining is below
	// zero while the instance owes units (settled for more than it had reserved, or
	// unmetered).
	remaining int64
	ends      clock.Deadline
	granted   int64
	window    quota.Window

	configured setting // As told to the engine, or later by a row.
	reach      int64   // Units beyond remaining that the rows are believed to grant: see sighted.

	generation uint32 // Numbers the leases: a new window or a dead lease is a new one.
	keyLength  uint32 // It stays.

	low      int64 // Fewer remaining: time to prefetch. At never, to ask the rows again as well.
	lastUsed int64 // Monotonic time of the last Reserve.
	early    int64 // Wall time from which to take units of the next window.
	offered  int64 // Units asked for, ever. Only differences count.
	largest  int64 // The largest request seen lately.
	typical  int64 // A running mean of the requests' sizes.

	supply supply
}

// backend is what a backend said about a limit of its own.
type backend struct {
	cut int64 // The amount that it admits to, 0 if not less than configured.

	// The correction: at most ceiling more units until ends.
	ceiling int64
	ends    clock.Deadline
}

// said is what a backend said, to be changed.
func (l *Limit) said() *backend {
	if l.backend == nil {
		l.backend = &backend{}
	}
	return l.backend
}

func newLimit(e *Engine, id limitKey) *Limit {
	return &Limit{
		engine: e, partition: quota.Partition(id.key, id.period, 0), keyLength: uint32(len(id.key)), period: id.period,
		reach: boundless,
	}
}

// key is a piece of partition, so that there is one text of a limit. It does not need mu.
func (l *Limit) key() string {
	return l.partition[len(quota.Prefix):][:l.keyLength]
}

func (l *Limit) id() limitKey { return limitKey{key: l.key(), period: l.period} }

// row is the key of the row of a shard. It does not need mu.
func (l *Limit) row(shard int64) store.Key {
	if shard == 0 {
		return store.Key{Partition: l.partition, Row: quota.RowKey}
	}
	return store.Key{Partition: quota.Partition(l.key(), l.period, shard), Row: quota.RowKey}
}

// Reserve sets n units aside. While the lease has room it does no I/O and does
// not allocate; else it takes units from the store together with all others that
// wait for this limit, which takes at most 150 ms. A refused request changes no
// counter. If n is not positive nothing is set aside, and the reservation only
// serves to settle.
func (l *Limit) Reserve(ctx context.Context, n int64) (Reservation, Verdict) {
	return l.ReserveAt(ctx, n, l.engine.clock.Read())
}

// ReserveAt is Reserve at an instant that the engine's clock has just read.
func (l *Limit) ReserveAt(ctx context.Context, n int64, now clock.Instant) (Reservation, Verdict) {
	n = max(n, 0)
	l.mu.Lock()
	if n > l.configured.amount {
		l.mu.Unlock()
		return Reservation{}, Verdict{Outcome: TooLarge}
	}
	if l.ends.PassedAt(now) {
		l.roll(now)
	}
	l.offered += n
	l.lastUsed = now.Monotonic
	l.largest = max(l.largest, n)
	if l.typical == 0 {
		l.typical = n
	}
	l.typical += (n - l.typical) / 16
	if !l.fits(n, now) {
		return l.acquire(ctx, n, now)
	}
	r := l.take(n)
	if l.remaining < l.low || now.Wall >= l.early {
		l.replenish(now)
	}
	l.mu.Unlock()
	return r, Verdict{}
}

// Amount returns the amount in force: the configured one, or less while a backend
// admits to less.
func (l *Limit) Amount() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.amount()
}

// Headroom returns the units believed to be still available to this instance in
// this window: its own lease plus what the row had left when last seen (never
// seen: the whole amount, less what this instance used), less corrections; at
// least 0. It does no I/O.
func (l *Limit) Headroom() int64 { return l.HeadroomAt(l.engine.clock.Read()) }

// HeadroomAt is Headroom at an instant that the engine's clock has just read.
func (l *Limit) HeadroomAt(now clock.Instant) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.headroom(now)
}

// Status is the state of a limit as clients are told it.
type Status struct {
	// Amount is the units per window, Remaining what Headroom returns.
	Amount, Remaining int64
	// ResetAt is when the window ends.
	ResetAt time.Time
}

// Status returns the amount, the headroom and the window's end. It does no I/O.
func (l *Limit) Status() Status { return l.StatusAt(l.engine.clock.Read()) }

// StatusAt is Status at an instant that the engine's clock has just read.
func (l *Limit) StatusAt(now clock.Instant) Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	remaining := l.headroom(now)
	return Status{Amount: l.amount(), Remaining: remaining, ResetAt: l.windowEnd()}
}

// windowEnd is when the window ends. The lease ends with it, unless it is of a window
// that has not begun by the own clock: see end. To ask the calendar when a month ends
// took a third of the time of a status.
func (l *Limit) windowEnd() time.Time {
	if end := l.ends.Time(); end.After(l.window.Start()) {
		return end
	}
	return l.period.End(l.window)
}

// CorrectRemaining notes that a backend said, in an answer, that only remaining
// units are left, which holds until the time given (at most the window's end).
//
// The backend counted at some moment after the answered request was reserved here,
// so it may or may not have counted what this instance reserved since. The rule:
// the figure counts as of this call. What was reserved before the call is taken as
// counted, so only what others certainly use is subtracted and nothing that fits
// is refused because our own requests were counted twice; what is reserved after
// the call counts against it, and comes back if it is settled for less. It never
// raises: the headroom is the least of all figures that still hold and of the own
// count, and a later, higher figure changes nothing.
func (l *Limit) CorrectRemaining(remaining int64, until time.Time) {
	now := l.engine.clock.Read()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ends.PassedAt(now) {
		l.roll(now)
	}
	if end := l.period.End(l.window); until.After(end) {
		until = end
	}
	remaining = max(remaining, 0)
	ends := now.Until(until)
	if ends.PassedAt(now) {
		return
	}
	said := l.said()
	if l.capped(now) {
		if remaining >= said.ceiling {
			return
		}
		// The lower figure rules, for as long as either holds.
		ends = ends.Later(said.ends)
		l.ceilings++
	}
	l.ceilings++
	said.ceiling, said.ends = remaining, ends
}

// CorrectAmount notes that a backend admits to amount units per window. Less than
// the configured amount is a cut and acts at once; any other positive amount lifts
// the cut, which acts at the next window. An amount that is not positive says
// nothing.
func (l *Limit) CorrectAmount(amount int64) {
	if amount <= 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if amount >= l.configured.amount {
		amount = 0
	}
	l.change(l.configured, amount)
}

// used is what this instance reserved or settled in the window.
func (l *Limit) used() int64 {
	return l.granted - l.remaining
}

// capped tells whether a correction of the remaining units applies.
func (l *Limit) capped(now clock.Instant) bool {
	if l.ceilings&1 == 0 {
		return false
	}
	if l.backend.ends.PassedAt(now) {
		l.ceilings++
		return false
	}
	return true
}

// fits tells whether the lease covers n units now.
func (l *Limit) fits(n int64, now clock.Instant) bool {
	if n == 0 {
		return true
	}
	return n <= l.remaining && !l.doubtful && l.used()+n <= l.amount() && (!l.capped(now) || n <= l.backend.ceiling)
}

// take sets n units aside.
func (l *Limit) take(n int64) Reservation {
	l.remaining -= n
	if l.ceilings&1 == 1 {
		l.backend.ceiling -= n
	}
	return Reservation{limit: l, units: n, generation: l.generation, correction: l.ceilings}
}

// settle gives refund units (fewer than zero: takes more) back to the lease and
// the correction they came from. It takes mu, unless there is nothing to do: of a limit
// of requests there never is.
func (l *Limit) settle(generation, correction uint32, refund int64) {
	if refund == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if generation != l.generation {
		return
	}
	if l.remaining += refund; l.remaining < 0 {
		l.watch()
	}
	if correction == l.ceilings && correction&1 == 1 {
		l.backend.ceiling += refund
	}
	if l.awaited {
		l.serve(l.engine.clock.Read())
	}
}

// headroom is what Headroom returns.
func (l *Limit) headroom(now clock.Instant) int64 {
	if l.ends.PassedAt(now) {
		l.roll(now)
	}
	room := min(l.amount()-l.used(), l.remaining+l.reach)
	if l.capped(now) {
		room = min(room, l.backend.ceiling)
	}
	return max(room, 0)
}

// roll starts the lease of the window that it is now.
func (l *Limit) roll(now clock.Instant) {
	l.enter(max(l.window, l.period.Window(now.Time())), now)
}

// enter starts the lease of a window: empty, or what was taken ahead for it. Units
// and debts of the lease before are dropped; its reservations settle to nothing. In the
// same window, where a lease ended early by one of the two clocks, what was used of it
// and what it owes stay.
func (l *Limit) enter(w quota.Window, now clock.Instant) {
	var used, owed int64
	if w == l.window {
		used, owed = l.used(), max(-l.remaining, 0)
	} else {
		l.ceilings += l.ceilings & 1 // A correction ends with its window, even if the own clock is behind.
	}
	l.window = w
	l.ends = now.Until(l.end(w, now.Time()))
	l.generation++
	l.granted, l.remaining, l.low = used-owed, -owed, 0
	l.doubtful = false
	l.largest -= l.largest / 8
	l.early = l.earlyTime(now)
	l.resupply()
	l.sighted()
	l.watch()
}

// earlyTime draws the moment at which to take units of the next window: uniform
// between half a minute (at most half the period) and a twentieth of that before
// the edge, so that all instances together spread their writes. Of a store in this process
// nothing is taken before it is needed: nobody waits for it.
func (l *Limit) earlyTime(now clock.Instant) int64 {
	if l.engine.local != nil {
		return never
	}
	start, end := l.window.Start(), l.period.End(l.window)
	span := min(end.Sub(start)/2, 30*time.Second)
	from, to := max(end.Add(-span).UnixNano(), now.Wall), end.Add(-span/10).UnixNano()
	if from >= to {
		return never
	}
	return from + int64(l.engine.jitter(time.Duration(to-from)))
}

// clockError is how far two clocks may differ that the store has corrected.
const clockError = 2 * time.Second

// end is when the lease of a window ends by the clock of this instance. A row that is
// farther ahead than clocks may differ comes from one that is wrong, most likely by
// minutes: nobody knows when it moves on. Such a lease ends at the next edge by the own
// clock, and the row is asked again.
func (l *Limit) end(w quota.Window, now time.Time) time.Time {
	if w.Start().Sub(now) > clockError {
		w = l.period.Window(now)
	}
	return l.period.End(w)
}
