package upstream

import (
	"context"
	"errors"
	"time"

	"spillway/shared/lifetime"
)

// watch ends an attempt that makes no progress, by ending its context. One
// timer serves all phases of the attempt; the phase that it interrupts knows
// what it was waiting for.
type watch struct {
	ctx   *lifetime.Lifetime // the attempt's
	timer *time.Timer
	limit time.Time // the latest moment for the answer to begin; zero: none
}

// errStalled is why an attempt has failed that was ended by its watch.
var errStalled = errors.New("no progress in time")

// start begins to watch an attempt under ctx: its first phase may last patience,
// and the start of the answer may take within, if that is positive.
func (w *watch) start(ctx context.Context, patience, within time.Duration) {
	w.ctx = new(lifetime.Lifetime)
	w.ctx.Begin(ctx)
	if within > 0 {
		w.limit = time.Now().Add(within)
		patience = min(patience, within)
	}
	w.timer = time.AfterFunc(patience, func() { w.ctx.End(context.Canceled, errStalled) })
}

// expect starts a phase that may last patience.
func (w *watch) expect(patience time.Duration) {
	if !w.limit.IsZero() {
		patience = min(patience, time.Until(w.limit))
	}
	w.timer.Reset(patience)
}

// rest stops the clock: what follows is not the backend's time.
func (w *watch) rest() { w.timer.Stop() }

// committed lifts the limit on the start of the answer, which has begun.
func (w *watch) committed() { w.limit = time.Time{} }

// stalled tells whether the watch has ended the attempt.
func (w *watch) stalled() bool { return w.ctx != nil && w.ctx.Cause() == errStalled }

// end stops the watch and ends whatever of the attempt still goes on.
func (w *watch) end() {
	if w.ctx != nil {
		w.timer.Stop()
		w.ctx.End(context.Canceled, nil)
	}
}
