package await_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"spillway/tests/await"
)

// recorder is a test that notes that it has ended, with a context of its own.
type recorder struct {
	testing.TB
	ctx   context.Context
	ended bool
}

func (r *recorder) Helper()                  {}
func (r *recorder) Context() context.Context { return r.ctx }
func (r *recorder) Fatalf(string, ...any) {
	r.ended = true
	runtime.Goexit()
}

// What is so already is not waited for. What becomes so is noticed not long after: a
// fraction of what it took, and never more than a fiftieth of a second.
func TestThat(t *testing.T) {
	for _, test := range []struct{ takes, late time.Duration }{
		{0, 0},
		{time.Millisecond, time.Millisecond},
		{time.Second, time.Second / 50},
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			await.That(t, "its time has passed", func() bool { return time.Since(began) >= test.takes })
			if late := time.Since(began) - test.takes; late < 0 || late > test.late {
				t.Errorf("what came after %v was noticed %v later, want at most %v", test.takes, late, test.late)
			}
		})
	}
}

// What does not become so ends the test after a minute, and not before.
func TestThatInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, r := time.Now(), &recorder{TB: t}
		done := make(chan struct{})
		go func() {
			defer close(done)
			await.That(r, "it is never so", func() bool { return false })
		}()
		<-done
		if waited := time.Since(began); !r.ended || waited < time.Minute || waited > time.Minute+time.Second {
			t.Errorf("the test ends: %t, after %v; want an end after a minute", r.ended, waited)
		}
	})
}

// A moment is waited for, one that has passed is not, and nothing is once the test ends.
func TestUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r, began := &recorder{TB: t, ctx: ctx}, time.Now()
		for _, step := range []struct {
			moment, want time.Duration
			cancel       bool
		}{
			{time.Minute, time.Minute, false},
			{time.Second, time.Minute, false},
			{time.Hour, time.Minute, true},
		} {
			if step.cancel {
				cancel()
			}
			await.Until(r, began.Add(step.moment))
			if got := time.Since(began); got != step.want {
				t.Errorf("waited until %v, now it is %v; want %v", step.moment, got, step.want)
			}
		}
	})
}
