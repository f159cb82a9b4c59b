package store_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/store"
)

func TestPatience(t *testing.T) {
	without := context.Background()
	store.Waited(without, time.Hour)
	if got := store.Patience(without, time.Second); got != time.Second {
		t.Errorf("without patience a step waits %v, want 1s", got)
	}
	ctx := store.WithPatience(without, 150*time.Millisecond)
	for _, step := range []struct{ most, waits, want time.Duration }{
		{time.Second, 100 * time.Millisecond, 150 * time.Millisecond},
		{30 * time.Millisecond, 30 * time.Millisecond, 30 * time.Millisecond},
		{time.Second, 25 * time.Millisecond, 20 * time.Millisecond}, // a little late
		{time.Second, 0, 0},
	} {
		inner, cancel := context.WithCancel(ctx) // steps derive contexts
		if got := store.Patience(inner, step.most); got != step.want {
			t.Errorf("a step that takes %v at most waits %v, want %v", step.most, got, step.want)
		}
		store.Waited(inner, step.waits)
		cancel()
	}
}

// A step waits for what it needs, and not beyond its deadline, its request's end or the
// patience that its request has left.
func TestAwait(t *testing.T) {
	const never = time.Hour
	for _, test := range []struct {
		name                                  string
		done, deadline, ends, patience, waits time.Duration
	}{
		{name: "until it is done", done: 20 * time.Millisecond, deadline: time.Second, ends: never, patience: time.Second, waits: 20 * time.Millisecond},
		{name: "until its deadline", done: never, deadline: 30 * time.Millisecond, ends: never, patience: time.Second, waits: 30 * time.Millisecond},
		{name: "a deadline that has passed", done: never, deadline: -time.Second, ends: never, patience: time.Second},
		{name: "until its request ends", done: never, deadline: time.Second, ends: 40 * time.Millisecond, patience: time.Second, waits: 40 * time.Millisecond},
		{name: "until its request has no patience", done: never, deadline: time.Second, ends: never, patience: 150 * time.Millisecond, waits: 150 * time.Millisecond},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), test.ends)
				defer cancel()
				ctx = store.WithPatience(ctx, test.patience)
				done := make(chan struct{})
				defer time.AfterFunc(test.done, func() { close(done) }).Stop()
				began := time.Now()
				store.Await(ctx, done, began.Add(test.deadline))
				if got := time.Since(began); got != test.waits {
					t.Errorf("waited %v, want %v", got, test.waits)
				}
				if got, want := store.Patience(ctx, never), test.patience-test.waits; got != want {
					t.Errorf("it leaves a patience of %v, want %v", got, want)
				}
			})
		})
	}
}
