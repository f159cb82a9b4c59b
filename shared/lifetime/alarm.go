package lifetime

import (
	"sync"
	"sync/atomic"
	"time"
)

// Alarm ends a Lifetime when its time is up, which hardly ever happens. So its timer is
// not moved each time that the alarm is set or stopped: to move one may wake a thread that
// the system has put to sleep until another one. The timer goes on as it is, and when it
// goes off it is seen what the alarm is set for. Only an alarm for an earlier time moves
// it. An Alarm may serve one Lifetime after another. The zero value is ready. It belongs to
// one goroutine, which needs a lock only where the timer has to be moved or has gone off;
// it must not be copied.
type Alarm struct {
	state   atomic.Int32
	running atomic.Bool // the timer runs

	// What the alarm is set for. The owner writes it while it is unset, ring reads it while
	// it is ringing.
	due        time.Time // when the time is up
	of         *Lifetime
	err, cause error     // what it is ended with
	rings      time.Time // when the timer goes off, if it runs; written under mu

	mu    sync.Mutex  // held by ring
	timer *time.Timer // guarded by mu; nil before the first use
}

// The states of an alarm. Ring alone begins and ends its ringing.
const (
	unset int32 = iota
	set
	ringing // it is looked whether the time is up, and if so, the Lifetime is ended
)

// Set sets the alarm: when due has come, it calls of.End(err, cause). What it was set for
// before is forgotten.
func (a *Alarm) Set(due time.Time, of *Lifetime, err, cause error) {
	a.Stop()
	a.due, a.of, a.err, a.cause = due, of, err, cause
	early := due.Before(a.rings)
	a.state.Store(set)
	if early || !a.running.Load() {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.start()
	}
}

// Stop takes the alarm back. Once it has returned, the Lifetime is not touched any more.
func (a *Alarm) Stop() {
	if a.state.Load() == unset {
		return
	}
	if !a.state.CompareAndSwap(set, unset) {
		a.mu.Lock() // until it has rung
		defer a.mu.Unlock()
		a.state.Store(unset)
	}
	a.of, a.cause = nil, nil
}

// start has the timer go off when the time is up. It is called under mu.
func (a *Alarm) start() {
	a.rings = a.due
	a.running.Store(true)
	if after := time.Until(a.due); a.timer == nil {
		a.timer = time.AfterFunc(after, a.ring)
	} else {
		a.timer.Reset(after)
	}
}

// ring is called when the timer goes off.
func (a *Alarm) ring() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.running.Store(false) // before state is looked at: Set looks the other way round
	switch {
	case !a.state.CompareAndSwap(set, ringing):
	case time.Now().Before(a.due):
		a.start()
		a.state.Store(set)
	default:
		a.of.End(a.err, a.cause)
		a.of, a.cause = nil, nil
		a.state.Store(unset)
	}
}

// Alarms recycles Alarms, with their timers. Its zero value is ready; it is safe for
// concurrent use.
type Alarms struct{ pool sync.Pool }

// Take returns an Alarm that is not set.
func (p *Alarms) Take() *Alarm {
	if a, ok := p.pool.Get().(*Alarm); ok {
		return a
	}
	return new(Alarm)
}

// Give stops an Alarm and takes it back.
func (p *Alarms) Give(a *Alarm) {
	a.Stop()
	p.pool.Put(a)
}
