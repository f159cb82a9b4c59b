package lifetime

import (
	"sync"
	"time"
)

// Alarm ends a Lifetime when its time is up, which hardly ever happens. So its timer is
// not moved each time that the alarm is set or stopped: to move one may wake a thread that
// the system has put to sleep until another one. The timer goes on as it is, and when it
// goes off it is seen what the alarm is set for. Only an alarm for an earlier time moves
// it. An Alarm may serve one Lifetime after another. The zero value is ready; it is safe
// for concurrent use, and must not be copied.
type Alarm struct {
	mu    sync.Mutex
	timer *time.Timer // guarded by mu; nil before the first use
	rings time.Time   // guarded by mu; when the timer goes off, zero: it does not run

	due time.Time // guarded by mu; when the time is up
	of  *Lifetime // guarded by mu; nil: the alarm is not set
	// What it is ended with.
	err, cause error // guarded by mu
}

// Set sets the alarm: when due has come, it calls of.End(err, cause). What it was set for
// before is forgotten.
func (a *Alarm) Set(due time.Time, of *Lifetime, err, cause error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.due, a.of, a.err, a.cause = due, of, err, cause
	if a.rings.IsZero() || due.Before(a.rings) {
		a.start()
	}
}

// Stop takes the alarm back. Once it has returned, the Lifetime is not touched any more.
func (a *Alarm) Stop() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.of, a.cause = nil, nil
}

// start has the timer go off when the time is up. It is called under mu.
func (a *Alarm) start() {
	a.rings = a.due
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
	a.rings = time.Time{}
	switch {
	case a.of == nil:
	case time.Now().Before(a.due):
		a.start()
	default:
		a.of.End(a.err, a.cause)
		a.of = nil
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
