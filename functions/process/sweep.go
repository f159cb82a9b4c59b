package process

import (
	"context"
	"runtime"
	"runtime/metrics"
	"time"
)

// sweepRate is how many bytes of a heap are certainly swept in a millisecond: a third of
// what was measured.
const sweepRate = 4 << 20

// canary is swept among the first objects of a heap: those go by their size, and few are
// smaller of those that hold a pointer.
type canary struct{ _ *canary }

// sweeps returns what tells, until the context is done, that a collection has ended and
// its garbage begins to be swept. Go runs a finalizer as soon as its object is swept, a
// cleanup only when there are many, or the sweep is over.
func sweeps(ctx context.Context) <-chan struct{} {
	began := make(chan struct{}, 1)
	var release func()
	release = func() {
		runtime.SetFinalizer(new(canary), func(*canary) {
			if ctx.Err() != nil {
				return
			}
			select {
			case began <- struct{}{}:
			default: // Nobody has looked since the collection before.
			}
			release()
		})
	}
	release()
	return began
}

// sweepTime is how long it may take at most to sweep the heap as it is now.
func sweepTime() time.Duration {
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(heap)
	return time.Duration(heap[0].Value.Uint64()/sweepRate+1) * time.Millisecond
}
