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

// What becomes so is awaited no longer than until then; what is so already, not at all.
func TestThat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		await.That(t, "it is so already", func() bool { return true })
		if waited := time.Since(began); waited != 0 {
			t.Errorf("%v were waited for what was so already", waited)
		}
		await.That(t, "a second has passed", func() bool { return time.Since(began) >= time.Second })
		if waited := time.Since(began); waited != time.Second {
			t.Errorf("what came after a second was noticed after %v", waited)
		}
	})
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
