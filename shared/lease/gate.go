package lease

import (
	"context"
	"errors"
	"sync"
	"time"

	"spillway/shared/clock"
	"spillway/shared/store"
)

const (
	// budget is the longest that one Reserve waits for the store.
	budget = 150 * time.Millisecond
	// callLimit ends one store call, a little before those who wait for it leave,
	// so that they and everything after them meet a closed gate.
	callLimit = 140 * time.Millisecond
	// maxFailures in a row shut the gate.
	maxFailures = 3
	// shutFor is the shortest time the gate stays shut, shutJitter what chance
	// adds to it.
	shutFor    = time.Second
	shutJitter = 4 * time.Second
	// frozen is how much more the wall clock may advance during a call than the
	// monotonic clock before the process counts as having been frozen.
	frozen = time.Second
)

// access is the kind of a store call.
type access uint8

const (
	reading access = iota
	writing
)

// errShut says that no store call was made because the gate is shut.
var errShut = errors.New("lease: the store is out of the request path")

// gate keeps a store that is slow or down out of the request path: one call over
// callLimit or maxFailures failed ones shut it for 1 to 5 seconds, then a single
// call is the trial. It is safe for concurrent use.
//
// Reads and writes count apart, since a store may answer the ones and not the
// others.
type gate struct {
	mu       sync.Mutex
	failures [2]int         // In a row, of reads and of writes. Guarded by mu.
	shut     bool           // Guarded by mu.
	until    clock.Deadline // While shut: when a trial is due. Guarded by mu.
	trial    bool           // While shut: a trial is under way. Guarded by mu.
}

// readiness is what a gate would say to a call.
type readiness uint8

const (
	open     readiness = iota // Call.
	due                       // The next call is the trial.
	closedTo                  // Do not call.
)

func (g *gate) readiness(now clock.Instant) readiness {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case !g.shut:
		return open
	case g.trial || !g.until.PassedAt(now):
		return closedTo
	default:
		return due
	}
}

// retryAt is when the gate may open, or now.
func (g *gate) retryAt(now clock.Instant) time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	if t := g.until.Time(); g.shut && t.After(now.Time()) {
		return t
	}
	return now.Time()
}

// enter tells whether a call may start, and whether it is the trial. Every enter
// that says ok is followed by one leave.
func (g *gate) enter(now clock.Instant) (trial, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.shut {
		return false, true
	}
	if g.trial || !g.until.PassedAt(now) {
		return false, false
	}
	g.trial = true
	return true, true
}

// health is what a finished call says about the store.
type health uint8

const (
	healthy health = iota
	failed
	slow
	unknown // Says nothing: the process was frozen, or the caller gave up.
)

// leave notes a finished call and tells whether the gate changed. If it shuts, it
// does so until the given moment.
func (g *gate) leave(a access, trial bool, v health, until clock.Deadline) (changed, shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		// A call from before the gate was shut changes nothing: the trial decides.
		if !trial {
			return false, true
		}
		g.trial = false
		switch v {
		case healthy:
			g.shut = false
			// Should the other kind have failed, one more failure shuts the gate again.
			for kind := range g.failures {
				g.failures[kind] = min(g.failures[kind], maxFailures-1)
			}
			g.failures[a] = 0
			return true, false
		case failed, slow:
			g.until = until
		}
		return false, true
	}
	switch v {
	case healthy:
		g.failures[a] = 0
	case failed:
		g.failures[a]++
	case slow:
		g.failures[a] = maxFailures
	}
	if g.failures[a] < maxFailures {
		return false, false
	}
	g.shut, g.until = true, until
	return true, true
}

// call makes one store call through the gate. A call that was made returns the
// store's error; errShut says that none was.
func (e *Engine) call(ctx context.Context, a access, do func(context.Context) error) error {
	began := e.clock.Read()
	trial, ok := e.gate.enter(began)
	if !ok {
		return errShut
	}
	limited, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	err := do(limited)
	now := e.clock.Read()
	v := judge(began, now, err)
	if ctx.Err() != nil {
		v = unknown
	}
	e.report(a, trial, v, err, now)
	return err
}

// report tells the gate how a call went.
func (e *Engine) report(a access, trial bool, v health, err error, now clock.Instant) {
	until := now.Until(now.Time().Add(shutFor + e.jitter(shutJitter)))
	switch changed, shut := e.gate.leave(a, trial, v, until); {
	case changed && shut:
		e.emit(Event{Kind: EventDegraded, Err: err})
	case changed:
		e.emit(Event{Kind: EventRecovered})
	}
}

// judge tells what a call says about the store.
func judge(began, ended clock.Instant, err error) health {
	took := time.Duration(ended.Monotonic - began.Monotonic)
	switch {
	case time.Duration(ended.Wall-began.Wall) > took+frozen:
		return unknown
	case took >= callLimit:
		return slow
	case err == nil, errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrInvalid):
		return healthy
	default:
		return failed
	}
}
