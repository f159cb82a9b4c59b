package pause_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"spillway/tests/pause"
)

// A pause takes its time, unless its context ends before.
func TestFor(t *testing.T) {
	for _, test := range []struct {
		name              string
		pause, ends, want time.Duration
		err               error
	}{
		{"to its end", time.Second, time.Minute, time.Second, nil},
		{"not at all", 0, time.Minute, 0, nil},
		{"to the end of its context", time.Minute, time.Second, time.Second, context.DeadlineExceeded},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), test.ends)
				defer cancel()
				began := time.Now()
				err := pause.For(ctx, test.pause)
				if took := time.Since(began); took != test.want || !errors.Is(err, test.err) {
					t.Errorf("it took %v and returned %v, want %v and %v", took, err, test.want, test.err)
				}
			})
		})
	}
}
