package lease

import (
	"time"

	"spillway/shared/clock"
	"spillway/shared/quota"
)

const (
	// span is how far back the demand is averaged.
	span = 10 * time.Second
	// step is the shortest time that says something about a rate.
	step = 100 * time.Millisecond
	// prior is how long the time before the first look counts, as one without any
	// demand, so that two requests in a row are not taken for a flood.
	prior = 2 * time.Second
)

// demand estimates how many units a second this instance is asked for: an
// exponential average over the last ten seconds (over its whole life at first).
// The zero value knows nothing and expects nothing.
type demand struct {
	rate    float64 // Units a second.
	began   int64   // Monotonic time of the first look; 0: none yet.
	at      int64   // Monotonic time of the last update.
	offered int64   // The count then.
}

// expect returns the units expected within a time, after taking note of the count
// of units offered so far.
func (d *demand) expect(within time.Duration, offered int64, now clock.Instant) int64 {
	if d.began == 0 {
		d.began, d.at, d.offered = now.Monotonic, now.Monotonic, offered
	}
	if passed := time.Duration(now.Monotonic - d.at); passed >= step {
		weight := min(time.Duration(d.at-d.began)+prior, span).Seconds()
		d.rate = (d.rate*weight + float64(offered-d.offered)) / (weight + passed.Seconds())
		d.at, d.offered = now.Monotonic, offered
	}
	return int64(min(d.rate*within.Seconds(), quota.MaxUnits))
}

// horizon is how much of its own demand an instance takes at once: ten seconds, and
// less where what a crash strands stays stranded for a day or more.
func horizon(p quota.Period) time.Duration {
	if p >= quota.Day {
		return 2 * time.Second
	}
	return 10 * time.Second
}
