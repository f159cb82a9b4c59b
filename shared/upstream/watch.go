package upstream

import (
	"context"
	"errors"
	"sync"
	"time"

	"spillway/shared/lifetime"
)

// watch ends an attempt that makes no progress, by ending its context. One alarm
// serves all phases of the attempt; the phase that it interrupts knows what it was
// waiting for.
type watch struct {
	ctx    *lifetime.Lifetime // the attempt's
	alarm  *lifetime.Alarm
	alarms *alarms   // where alarm is from
	limit  time.Time // the latest moment for the answer to begin; zero: none
}

// alarms recycles alarms.
type alarms struct{ sync.Pool }

func (p *alarms) take() *lifetime.Alarm {
	if a, ok := p.Get().(*lifetime.Alarm); ok {
		return a
	}
	return new(lifetime.Alarm)
}

// errStalled is why an attempt has failed that was ended by its watch.
var errStalled = errors.New("no progress in time")

// start begins to watch an attempt under ctx: its first phase may last patience,
// and the start of the answer may take within, if that is positive.
func (w *watch) start(ctx context.Context, alarms *alarms, patience, within time.Duration) {
	w.ctx = new(lifetime.Lifetime)
	w.ctx.Begin(ctx)
	w.alarms, w.alarm = alarms, alarms.take()
	if within > 0 {
		w.limit = time.Now().Add(within)
	}
	w.expect(patience)
}

// expect starts a phase that may last patience.
func (w *watch) expect(patience time.Duration) {
	due := time.Now().Add(patience)
	if !w.limit.IsZero() && w.limit.Before(due) {
		due = w.limit
	}
	w.alarm.Set(due, w.ctx, context.Canceled, errStalled)
}

// rest stops the clock: what follows is not the backend's time.
func (w *watch) rest() { w.alarm.Stop() }

// committed lifts the limit on the start of the answer, which has begun.
func (w *watch) committed() { w.limit = time.Time{} }

// stalled tells whether the watch has ended the attempt.
func (w *watch) stalled() bool { return w.ctx != nil && w.ctx.Cause() == errStalled }

// end stops the watch and ends whatever of the attempt still goes on.
func (w *watch) end() {
	if w.alarm == nil {
		return
	}
	w.alarm.Stop()
	w.alarms.Put(w.alarm)
	w.alarm = nil
	w.ctx.End(context.Canceled, nil)
}
