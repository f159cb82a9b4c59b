package upstream

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

type key struct{}

// A lifetime ends as any context does, for whoever looks: by Done and Err, by a
// function to be called, and by a context under it. It has the caller's values.
func TestEndOfALifetime(t *testing.T) {
	deadline := 9 * time.Second
	for name, test := range map[string]struct {
		end  func(*lifetime, context.CancelFunc)
		want error
		is   bool // because of a stall
	}{
		"the attempt is over":    {func(l *lifetime, _ context.CancelFunc) { l.end(context.Canceled) }, context.Canceled, false},
		"no progress":            {func(l *lifetime, _ context.CancelFunc) { l.end(errStalled) }, context.Canceled, true},
		"no progress, then over": {func(l *lifetime, _ context.CancelFunc) { l.end(errStalled); l.end(context.Canceled) }, context.Canceled, true},
		"over, then no progress": {func(l *lifetime, _ context.CancelFunc) { l.end(context.Canceled); l.end(errStalled) }, context.Canceled, false},
		"the caller leaves":      {func(_ *lifetime, cancel context.CancelFunc) { cancel() }, context.Canceled, false},
		"the caller's time ends": {func(*lifetime, context.CancelFunc) { <-time.After(deadline) }, context.DeadlineExceeded, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				caller, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, "value"), deadline)
				defer cancel()
				l := live(caller)
				under, leave := context.WithCancel(l)
				defer leave()
				var called, dropped atomic.Int32
				l.AfterFunc(func() { called.Add(1) })
				context.AfterFunc(l, func() { called.Add(1) })
				if !l.AfterFunc(func() { dropped.Add(1) })() {
					t.Error("a function cannot be taken back")
				}
				if until, ok := under.Deadline(); l.Err() != nil || l.Value(key{}) != "value" || !ok || time.Until(until) != deadline {
					t.Errorf("before: %v, %v, %v", l.Err(), l.Value(key{}), until)
				}
				test.end(l, cancel)
				<-l.Done()
				<-under.Done()
				late := l.AfterFunc(func() { called.Add(1) })
				synctest.Wait()
				if l.Err() != test.want || under.Err() != test.want || l.stalled() != test.is {
					t.Errorf("got %v, %v, stalled %t", l.Err(), under.Err(), l.stalled())
				}
				if called.Load() != 3 || dropped.Load() != 0 || late() {
					t.Errorf("%d functions were called, want 3; %d of those taken back", called.Load(), dropped.Load())
				}
			})
		})
	}
}

// A lifetime that has ended leaves nothing with its caller's context.
func TestLifetimeLeavesItsCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		caller, cancel := context.WithCancelCause(t.Context())
		l := live(caller)
		l.end(errStalled)
		cancel(errors.New("gone"))
		synctest.Wait()
		if l.leave() || !l.stalled() {
			t.Error("the caller is still watched")
		}
	})
}
