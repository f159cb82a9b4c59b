package lease_test

import (
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/lease"
	"spillway/shared/quota"
)

// TestInstances: an instance learns from the rows how many there are, and forgets
// those that are gone.
func TestInstances(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var engines []*lease.Engine
		use := func(n int) {
			for _, e := range engines[:n] {
				reserve(t, e.Limit("k", 1000, quota.Minute), 10, lease.Granted)
			}
		}
		for range 5 {
			engines = append(engines, w.engine(lease.Deny, nil))
		}
		last := engines[4]
		if got := last.Instances(); got != 1 {
			t.Errorf("%d instances before the first request, want 1", got)
		}
		use(5)
		if got := last.Instances(); got != 5 {
			t.Errorf("%d instances, want 5", got)
		}
		pass(4 * time.Minute)
		reserve(t, last.Limit("k", 1000, quota.Minute), 10, lease.Granted)
		if got := last.Instances(); got != 1 {
			t.Errorf("%d instances when four are gone, want 1", got)
		}
	})
}
