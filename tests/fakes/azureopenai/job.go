package azureopenai

import (
	"time"
)

// job is work that goes on after its request was answered. It is guarded by
// store.mu.
type job struct {
	pace    Pace
	due     time.Time // of the next step; zero: there is none, or it is left to Advance
	timer   *time.Timer
	changed chan struct{} // closed at each step
}

// worker is what a job moves. step takes it one state on, at a time; it returns how
// long the new state lasts, and whether there is another after it. It is called under
// store.mu: who sees a state finds counted what has led to it.
type worker interface {
	step(s *Server, now time.Time) (lasts time.Duration, more bool)
}

// start begins a job in its first state. It needs store.mu.
func (s *Server) start(j *job, w worker, pace Pace) {
	j.pace, j.changed = pace, make(chan struct{})
	if !pace.Manual {
		s.schedule(j, w, time.Now().Add(pace.Queued))
	}
}

// schedule sets the time of the next step. It needs store.mu.
func (s *Server) schedule(j *job, w worker, due time.Time) {
	j.due = due
	j.timer = time.AfterFunc(time.Until(due), func() { s.catchUp(j, w) })
}

// stop leaves the job in its state. It needs store.mu.
func (j *job) stop() {
	j.due = time.Time{}
	if j.timer != nil {
		j.timer.Stop()
	}
	if j.changed != nil {
		close(j.changed)
		j.changed = make(chan struct{})
	}
}

// catchUp takes all the steps that are due, so that who asks sees what the time
// says and not what a timer has come to.
func (s *Server) catchUp(j *job, w worker) {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	for !j.due.IsZero() && !time.Now().Before(j.due) {
		s.next(j, w, j.due)
	}
}

// next takes one step at a time. It needs store.mu.
func (s *Server) next(j *job, w worker, at time.Time) {
	lasts, more := w.step(s, at)
	j.stop()
	if more && !j.pace.Manual {
		s.schedule(j, w, at.Add(lasts))
	}
}

// Advance takes a background response or a batch one step on, whatever its pace,
// and returns its new state. A response is queued, in_progress, completed; a batch
// validating, in_progress, finalizing, completed. ok is false if nothing of that id
// is under way.
func (s *Server) Advance(id string) (state string, ok bool) {
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	if r, found := s.store.responses.get(id); found && !r.ended() {
		s.next(&r.job, r, time.Now())
		return r.status, true
	}
	if b, found := s.store.batches.get(id); found && !b.ended() {
		s.next(&b.job, b, time.Now())
		return b.Status, true
	}
	return "", false
}

// inBackground answers with a response that is still to be made, and begins to
// make it.
func (e *exchange) inBackground(r *storedResponse) error {
	if err := e.sleep(e.dice.jitter(e.deployment.Latency.FirstByte, e.deployment.Latency.Jitter)); err != nil {
		return err
	}
	work := *e
	r.work, r.status, r.since = &work, statusQueued, time.Now()
	queued := r.now(statusQueued)
	if e.fault != nil && e.fault.Kind == FaultResponseFailed {
		e.deployment.countFault(e.fault.Kind)
		e.fault, work.fault = nil, e.fault
		r.breakOff(3, r.now(statusFailed))
		r.final, r.tokens = r.now(statusFailed), 0
	}
	e.elsewhere = true
	s := e.server
	s.store.mu.Lock()
	s.store.responses.put(r.final.ID, r, s.options.Kept)
	s.start(&r.job, r, s.options.Background)
	s.store.mu.Unlock()
	if !e.request.stream {
		return e.writeBody(queued)
	}
	e.beginStream()
	return e.follow(r, 0)
}

// step takes a background response to its next state.
func (r *storedResponse) step(s *Server, now time.Time) (time.Duration, bool) {
	if r.status == statusQueued {
		r.status, r.since = statusInProgress, now
		return s.options.Background.Running, true
	}
	r.end(r.final.Status, now)
	return 0, false
}

// end takes a background response to a last state, and counts what it has used. It
// needs store.mu.
func (r *storedResponse) end(status string, now time.Time) {
	work, outcome := r.work, error(nil)
	work.generated = r.tokens
	switch status {
	case statusFailed:
		outcome = errBroken
	case statusCancelled:
		outcome, work.generated = errCanceled, 0
		if running := work.server.options.Background.Running; r.status == statusInProgress && running > 0 {
			work.generated = int64(float64(r.tokens) * min(1, float64(now.Sub(r.since))/float64(running)))
		}
	}
	if status != r.final.Status {
		r.breakOff(r.happened(), r.now(status))
	}
	work.settle(work.generated)
	work.deployment.finish(work.generated, func(*Stats) {})
	work.account(endOf(outcome))
	r.status, r.since, r.work = status, now, nil
}

var _ worker = (*storedResponse)(nil)
