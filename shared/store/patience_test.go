package store_test

import (
	"context"
	"testing"
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
