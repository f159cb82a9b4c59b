package lease

import (
	"sync"
	"time"

	"spillway/shared/clock"
)

// fleet is what the rows tell about the number of instances: the largest number of
// sharers that any limit had lately. It is safe for concurrent use.
type fleet struct {
	mu        sync.Mutex
	instances int64 // Guarded by mu.
	at        int64 // Monotonic time when it was seen. Guarded by mu.
}

// fleetMemory is how long a number stands against smaller ones: two windows of a
// minute, so that a window in which few had work does not shrink the fleet.
const fleetMemory = 2 * time.Minute

// saw notes how many instances share a limit.
func (f *fleet) saw(instances int64, now clock.Instant) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if instances >= f.instances || time.Duration(now.Monotonic-f.at) > fleetMemory {
		f.instances, f.at = instances, now.Monotonic
	}
}

// Instances returns how many instances are believed to share the limits, this one
// included: an estimate from the rows that it last read, at least 1. It does no I/O.
func (e *Engine) Instances() int64 {
	e.fleet.mu.Lock()
	defer e.fleet.mu.Unlock()
	return max(e.fleet.instances, 1)
}
