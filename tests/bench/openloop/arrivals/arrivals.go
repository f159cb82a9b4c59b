// Package arrivals says when requests are due that know nothing of each other.
package arrivals

import (
	"math/rand/v2"
	"time"
)

// Poisson returns the times, from the beginning on and in order, at which requests are
// due that come at random: so many a second on average, for so long. The same seed
// gives the same times. A rate that is not positive gives none.
func Poisson(perSecond float64, long time.Duration, seed uint64) (due []time.Duration) {
	if perSecond <= 0 {
		return nil
	}
	random := rand.New(rand.NewPCG(seed, seed))
	mean := float64(time.Second) / perSecond
	due = make([]time.Duration, 0, int(long.Seconds()*perSecond))
	for at := random.ExpFloat64() * mean; at < float64(long); at += random.ExpFloat64() * mean {
		due = append(due, time.Duration(at))
	}
	return due
}
