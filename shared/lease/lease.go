// Package lease holds the units (tokens, requests) that this instance may spend
// of the limits it shares with other instances. Reserve takes from a local lease
// without I/O; when the lease runs short it takes a chunk from the limit's row in
// the store, with a conditional write that no two instances can both win.
//
// What holds, for any number of instances and any failure: the units granted in a
// window never exceed the limit, but for those that are reported as unmetered (under
// Deny there are none); a request that is refused changes no counter; a crash strands
// its lease for the rest of one window and nothing has to be cleaned up. Under Allow a
// store that is slow or down never refuses a request, and costs it at most 150 ms, once
// (see store.WithPatience). Rows that many instances write at the same moment may cost
// it that much at each limit, and a short refusal: that is no fault of the store.
//
// With a single instance the count is exact: a request that fits into the amount
// minus everything reserved and settled in the window is always granted, and
// nothing is granted beyond.
package lease

import (
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"spillway/shared/clock"
	"spillway/shared/quota"
	"spillway/shared/store"
)

// Policy is what a limit does while the store is down and its lease is spent.
type Policy uint8

// The policies. Allow is the zero value.
const (
	// Allow lets each instance count alone: it grants up to the whole amount by
	// itself, as Unmetered, and debits that once the store is back.
	Allow Policy = iota
	// FairShare lets each instance grant an even part of what the row had left when
	// it last saw it (in a window whose row it has not seen, of the amount); an
	// instance that never saw the row grants nothing. What each has last seen may
	// differ, so it is no exact bound; it is reported as Unmetered.
	FairShare
	// Deny refuses.
	Deny
)

// String returns the policy's name as in the configuration.
func (p Policy) String() string {
	switch p {
	case Allow:
		return "allow"
	case FairShare:
		return "fairShare"
	case Deny:
		return "deny"
	default:
		return "unknown"
	}
}

// EventKind says what an Event reports.
type EventKind uint8

// The kinds of events.
const (
	// EventGrant: a chunk of Units was taken from the store.
	EventGrant EventKind = iota + 1
	// EventConflict: another instance wrote the row first.
	EventConflict
	// EventAmbiguous: the answer to a write that takes Units was lost.
	EventAmbiguous
	// EventLost: Units were granted by the row, or may have been, and will not be
	// spent: they are stranded until the window ends.
	EventLost
	// EventGiveBack: Units were given back.
	EventGiveBack
	// EventUnmetered: Units were granted that no row had granted.
	EventUnmetered
	// EventUnusable: the row cannot be read as a quota row (Err says why); the
	// limit falls back to its policy.
	EventUnusable
	// EventDegraded: the store is taken out of the request path (Err is its last
	// error, nil if it was slow).
	EventDegraded
	// EventRecovered: the store answers again.
	EventRecovered
)

// Event is something the engine did that is worth a metric or a log line. Key is
// empty where the event is about the store as a whole.
type Event struct {
	Kind  EventKind
	Key   string
	Units int64
	Err   error
}

// Options are the settings of an Engine.
type Options struct {
	// Store holds the rows. Required. Its calls must end when their context does. A
	// request calls a store.Local itself, any other is waited for.
	Store store.Store
	// Clock is the time all instances agree on; nil is the local clock.
	Clock *clock.Clock
	// Instance names this process among all others. Required, at most 128 bytes.
	Instance string
	// OnUnavailable is what limits do while the store is down.
	OnUnavailable Policy
	// Events is called, from any goroutine and without locks held, for every
	// event. It must be quick. Optional.
	Events func(Event)
	// Random returns a number in [0, n), for jitter; nil is math/rand/v2. It must
	// be safe for concurrent use.
	Random func(n uint64) uint64
}

func (o *Options) validate() error {
	var errs []error
	if o.Store == nil {
		errs = append(errs, errors.New("lease: no store"))
	}
	if o.Instance == "" || len(o.Instance) > 128 || !utf8.ValidString(o.Instance) {
		errs = append(errs, errors.New("lease: the instance needs a name of 1 to 128 bytes"))
	}
	if o.OnUnavailable > Deny {
		errs = append(errs, fmt.Errorf("lease: unknown policy %d", o.OnUnavailable))
	}
	return errors.Join(errs...)
}

// Engine holds the limits of this instance. It is safe for concurrent use. It has
// no goroutine of its own: work in the background starts with a Reserve and ends
// by itself, since a serverless process may freeze between two requests.
type Engine struct {
	store    store.Store
	local    store.Local // It as well, if it is in this process; else nil.
	clock    *clock.Clock
	instance string
	home     uint64 // Picks the home shard.
	policy   Policy
	events   func(Event)
	random   func(n uint64) uint64
	gate     gate
	fleet    fleet
	watch    watch
	boot     string        // Tells this run of the process from all others.
	writes   atomic.Uint64 // Numbers the nonces.

	mu        sync.RWMutex
	limits    limits              // Guarded by mu.
	forgotten map[limitKey]*Limit // Those of limits that Forget was told of, and maybe some that were asked for again. Guarded by mu.
}

// New returns an engine without limits.
func New(o Options) (*Engine, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	e := &Engine{
		store:    o.Store,
		clock:    o.Clock,
		instance: o.Instance,
		policy:   o.OnUnavailable,
		events:   o.Events,
		random:   o.Random,
		limits:   newLimits(),

		forgotten: make(map[limitKey]*Limit),
	}
	e.local, _ = o.Store.(store.Local)
	if e.clock == nil {
		e.clock = new(clock.Clock)
	}
	if e.random == nil {
		e.random = rand.Uint64N
	}
	hash := fnv.New64a()
	hash.Write([]byte(e.instance))
	e.home = hash.Sum64()
	e.boot = strconv.FormatUint(e.random(1<<63), 36)
	return e, nil
}

// Limit returns the limit of a key: amount units per window of the period. The
// same key and period give the same *Limit, until it is forgotten; an amount that
// differs from the last call's replaces it. An amount below zero counts as zero. It
// does no I/O.
//
// A cut acts at once: the lease is held against the row before it is spent on, and
// what the row has granted beyond the amount goes back to it. A raise acts at once
// where a window lasts an hour or longer, else at the edge after the first write of the
// row that knows of it. While instances know different amounts, which nobody can tell
// apart, each goes by its own; in windows of less than an hour the least of them is in
// force for all that use the row.
func (e *Engine) Limit(key string, amount int64, period quota.Period) *Limit {
	return e.limit(key, period, setting{amount: bounded(amount)})
}

// LimitSince is Limit with an amount that was set at a known moment, by one clock
// for all amounts of the limit. Then a raise, too, acts at once, and whatever
// instances know, the amount that was set last is in force from the moment at which
// the first of them has written it to the row: the others learn it there, and an
// amount of an earlier moment than the last known one's is ignored. Moments count in
// microseconds; a zero one is Limit, and so is one that is more than five minutes
// ahead of the clock.
func (e *Engine) LimitSince(key string, amount int64, period quota.Period, since time.Time) *Limit {
	told := setting{amount: bounded(amount)}
	if !since.IsZero() && since.Sub(e.clock.Read().Time()) <= maxAhead {
		told.since = max(since.UnixMicro(), 0)
	}
	return e.limit(key, period, told)
}

func bounded(amount int64) int64 {
	return min(max(amount, 0), quota.MaxUnits)
}

func (e *Engine) limit(key string, period quota.Period, told setting) *Limit {
	id := limitKey{key: key, period: period}
	e.mu.RLock()
	l := e.limits.get(id)
	if l != nil {
		l.configure(told) // Under the lock, so that it is not dropped meanwhile.
	}
	e.mu.RUnlock()
	if l != nil {
		return l
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if l = e.limits.get(id); l == nil {
		l = newLimit(e, id)
		e.limits.add(l)
	}
	l.configure(told)
	return l
}

// Degraded tells whether the store is out of the request path, so that limits whose
// lease is spent fall back to the policy.
func (e *Engine) Degraded() bool {
	return e.gate.readiness(e.clock.Read()) != open
}

// signed is a row that a write of this instance is about to leave, with a nonce that no
// other write of any instance carries. A store in this process loses no answers, so
// nobody will look there for a nonce.
func (e *Engine) signed(row quota.Row) quota.Row {
	nonce := ""
	if e.local == nil {
		nonce = e.boot + "-" + strconv.FormatUint(e.writes.Add(1), 36)
	}
	return row.Signed(nonce, e.instance)
}

func (e *Engine) emit(event Event) {
	if e.events != nil {
		e.events(event)
	}
}

// jitter returns a random time in [0, d).
func (e *Engine) jitter(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(e.random(uint64(d)))
}
