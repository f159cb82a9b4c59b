// Package fleet measures what a fleet of instances asks of the table that they
// share: how many operations their limits and their breakers cost. It runs the
// real engines on a simulated table in the virtual time of a testing/synctest
// bubble, where minutes of traffic take seconds and nothing is ever late.
package fleet

import (
	"time"

	"spillway/shared/store/memory"
	"spillway/tests/bench/meter"
	"spillway/tests/fakes/faultstore"
)

// newTable returns an empty table whose every operation takes one round trip, and
// is counted.
func newTable(roundTrip time.Duration, seed uint64) (*meter.Store, error) {
	slow, err := faultstore.New(memory.New(), faultstore.Options{
		Seed:  seed,
		Rates: map[faultstore.Fault]float64{faultstore.Delayed: 1},
		Delay: [2]time.Duration{roundTrip, roundTrip},
	})
	if err != nil {
		return nil, err
	}
	return meter.New(slow), nil
}
