// Package pause lets time go by: for what is simulated, and takes time.
package pause

import (
	"context"
	"time"
)

// For lets so much time go by. If ctx ends before, it returns the error of ctx at once.
func For(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
