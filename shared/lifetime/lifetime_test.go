package lifetime_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/lifetime"
)

type key struct{}

// embedded is a context of another package, as those are that a Lifetime is part of.
type embedded struct{ lifetime.Lifetime }

func under(parent context.Context) *lifetime.Lifetime {
	l := new(embedded)
	l.Begin(parent)
	return &l.Lifetime
}

var errStalled = errors.New("no progress")

// A lifetime ends as any context does, for whoever looks: by Done and Err, by a function to
// be called, and by contexts under it, of either kind. It has its parent's values and
// deadline, be the parent a lifetime or not.
func TestEndOfALifetime(t *testing.T) {
	const deadline = 9 * time.Second
	gone := errors.New("gone")
	type cancel = context.CancelCauseFunc
	for name, test := range map[string]struct {
		end         func(*lifetime.Lifetime, cancel)
		want, cause error
	}{
		"it is over":   {func(l *lifetime.Lifetime, _ cancel) { l.End(context.Canceled, nil) }, context.Canceled, nil},
		"for a reason": {func(l *lifetime.Lifetime, _ cancel) { l.End(context.Canceled, errStalled) }, context.Canceled, errStalled},
		"the first reason": {func(l *lifetime.Lifetime, _ cancel) {
			l.End(context.Canceled, errStalled)
			l.End(context.DeadlineExceeded, nil)
		}, context.Canceled, errStalled},
		"its own time ends":      {func(l *lifetime.Lifetime, _ cancel) { l.End(context.DeadlineExceeded, errStalled) }, context.DeadlineExceeded, errStalled},
		"the parent is canceled": {func(_ *lifetime.Lifetime, c cancel) { c(gone) }, context.Canceled, gone},
		"the parent's time ends": {func(*lifetime.Lifetime, cancel) { <-time.After(deadline) }, context.DeadlineExceeded, context.DeadlineExceeded},
	} {
		for above, parent := range map[string]func(context.Context) context.Context{
			"a lifetime": func(ctx context.Context) context.Context { return under(ctx) },
			"a context":  func(ctx context.Context) context.Context { return ctx },
		} {
			t.Run(name+" under "+above, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					timed, stop := context.WithTimeout(context.WithValue(t.Context(), key{}, "value"), deadline)
					defer stop()
					host, leave := context.WithCancelCause(timed)
					defer leave(nil)
					l := under(parent(host))
					checkEnds(t, l, deadline, func() { test.end(l, leave) }, test.want, test.cause)
				})
			})
		}
	}
}

// checkEnds checks what is seen of a lifetime before and after its end.
func checkEnds(t *testing.T, l *lifetime.Lifetime, deadline time.Duration, end func(), want, cause error) {
	t.Helper()
	below := under(l)
	theirs, leave := context.WithCancel(l)
	defer leave()
	var called, dropped atomic.Int32
	l.AfterFunc(func() { called.Add(1) })
	context.AfterFunc(l, func() { called.Add(1) })
	if !l.AfterFunc(func() { dropped.Add(1) })() {
		t.Error("a function cannot be taken back")
	}
	if until, ok := theirs.Deadline(); l.Err() != nil || l.Cause() != nil || below.Value(key{}) != "value" || !ok || time.Until(until) != deadline {
		t.Errorf("before: %v, %v, %v, %v", l.Err(), l.Cause(), below.Value(key{}), until)
	}
	end()
	<-l.Done()
	<-below.Done()
	<-theirs.Done()
	late := l.AfterFunc(func() { called.Add(1) })
	synctest.Wait()
	after := under(l)
	for of, got := range map[string]*lifetime.Lifetime{"it": l, "one below": below, "one that begins too late": after} {
		if got.Err() != want || got.Cause() != cause {
			t.Errorf("%s: got %v because of %v, want %v because of %v", of, got.Err(), got.Cause(), want, cause)
		}
	}
	if theirs.Err() != want {
		t.Errorf("a context below: got %v, want %v", theirs.Err(), want)
	}
	if called.Load() != 3 || dropped.Load() != 0 || late() {
		t.Errorf("%d functions were called, want 3; %d of those taken back", called.Load(), dropped.Load())
	}
}

// A lifetime that has ended leaves nothing with its parent, and those beside it go on.
func TestLifetimeLeavesItsParent(t *testing.T) {
	for ended := range 4 {
		t.Run(fmt.Sprint(ended), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				host, leave := context.WithCancelCause(t.Context())
				parent := under(host)
				all := make([]*lifetime.Lifetime, 3)
				for i := range all {
					all[i] = under(parent)
				}
				if ended == len(all) {
					parent.End(context.Canceled, errStalled)
				} else {
					all[ended].End(context.Canceled, errStalled)
				}
				leave(errors.New("gone"))
				synctest.Wait()
				for i, l := range all {
					if got, want := l.Cause() == errStalled, i == ended || ended == len(all); got != want {
						t.Errorf("lifetime %d ended because of %v", i, l.Cause())
					}
				}
			})
		})
	}
}

// Whoever ends first, and while others come and go, all that stand under an ended lifetime
// have ended.
func TestLifetimesEndTogether(t *testing.T) {
	host, leave := context.WithCancel(t.Context())
	parent := under(host)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for host.Err() == nil {
				l := under(parent)
				under(l).AfterFunc(func() {})
				l.End(context.Canceled, nil)
			}
			<-under(parent).Done()
		})
	}
	for range 1000 {
		under(parent).End(context.Canceled, nil)
	}
	leave()
	all.Wait()
	if parent.Err() != context.Canceled {
		t.Errorf("the parent: %v, want %v", parent.Err(), context.Canceled)
	}
}
