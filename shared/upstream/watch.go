package upstream

import (
	"context"
	"errors"
	"time"

	"spillway/shared/lifetime"
)

// watch ends an attempt that makes no progress, by ending its context. One alarm
// serves all phases of the attempt; the phase that it interrupts knows what it was
// waiting for.
type watch struct {
	life   *lifetime.Lifetime // the attempt's, and of no other: who was given it may keep it
	alarm  *lifetime.Alarm
	alarms *lifetime.Alarms // where alarm is from
	runs   bool             // a phase has been started, and has not ended
	limit  time.Time        // the latest moment for the answer to begin; zero: none
}

// errStalled is why an attempt has failed that was ended by its watch.
var errStalled = errors.New("no progress in time")

// start begins to watch an attempt under ctx: its first phase may last patience,
// and the start of the answer may take within, if that is positive.
func (w *watch) start(ctx context.Context, alarms *lifetime.Alarms, patience, within time.Duration) {
	w.life = new(lifetime.Lifetime)
	w.life.Begin(ctx)
	w.alarms, w.alarm = alarms, alarms.Take()
	now := time.Now()
	if within > 0 {
		w.limit = now.Add(within)
	}
	w.expect(now, patience)
}

// expect starts a phase that may last patience from now on, and ends the one before.
func (w *watch) expect(now time.Time, patience time.Duration) {
	w.runs = true
	due := now.Add(patience)
	if !w.limit.IsZero() && w.limit.Before(due) {
		due = w.limit
	}
	w.alarm.Set(due, w.life, context.Canceled, errStalled)
}

// rest stops the clock: what follows is not the backend's time.
func (w *watch) rest() {
	w.runs = false
	w.alarm.Stop()
}

// committed lifts the limit on the start of the answer, which has begun.
func (w *watch) committed() { w.limit = time.Time{} }

// stalled tells whether the watch has ended the attempt.
func (w *watch) stalled() bool { return w.life != nil && w.life.Cause() == errStalled }

// end stops the watch and ends whatever of the attempt still goes on.
func (w *watch) end() {
	if w.alarm == nil {
		return
	}
	w.alarms.Give(w.alarm)
	w.alarm = nil
	w.life.End(context.Canceled, nil)
}
