package lifetime_test

import (
	"context"
	"testing"
	"testing/synctest"

	"spillway/shared/lifetime"
)

// A Watch calls its function once its context has ended, unless it has been stopped
// before; and whether it has called it is what Stop tells. It can be used again. All of
// that holds for a Lifetime, and for any other context.
func TestWatch(t *testing.T) {
	for name, begin := range map[string]func() (context.Context, func()){
		"lifetime": func() (context.Context, func()) {
			l := under(context.Background())
			return l, func() { l.End(context.Canceled, nil) }
		},
		"another context": func() (context.Context, func()) { return context.WithCancel(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				var w lifetime.Watch
				check := func(when string, stopped, wantStopped bool, wantCalls int) {
					t.Helper()
					if synctest.Wait(); stopped != wantStopped || calls != wantCalls {
						t.Errorf("%s: stopped in time: %t, want %t; %d calls, want %d", when, stopped, wantStopped, calls, wantCalls)
					}
				}
				ctx, end := begin()
				w.Begin(ctx, func() { calls++ })
				check("stopped", w.Stop(), true, 0)
				check("stopped again", w.Stop(), false, 0)
				w.Begin(ctx, func() { calls++ })
				end()
				check("ended", false, false, 1)
				check("stopped after the end", w.Stop(), false, 1)
				w.Begin(ctx, func() { calls++ })
				check("begun after the end", w.Stop(), false, 2)
			})
		})
	}
}

// A function is either called or taken back, and not both, whoever comes first; and those
// that wait beside it for what goes on still wait.
func TestWatchAgainstTheEnd(t *testing.T) {
	parent := under(context.Background())
	other, called := under(parent), make(chan struct{}, 1)
	defer other.AfterFunc(func() { t.Error("a lifetime beside those that end has ended") })()
	for range 1000 {
		l := under(parent)
		var before, w, after lifetime.Watch
		before.Begin(other, func() {})
		w.Begin(l, func() { called <- struct{}{} })
		after.Begin(other, func() {})
		ended := make(chan struct{})
		go func() {
			l.End(context.Canceled, nil)
			close(ended)
		}()
		if !before.Stop() || !after.Stop() {
			t.Fatal("a watch of what goes on was lost")
		}
		stopped := w.Stop()
		<-ended
		if !stopped {
			<-called
		}
	}
	if len(called) > 0 {
		t.Error("a function was called that had been taken back")
	}
}
