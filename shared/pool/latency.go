package pool

import (
	"sync/atomic"
	"time"
)

// latencyShare is the part of a new measurement in the average while
// measurements are frequent.
const latencyShare = 1.0 / 8

// latencyHalfLife is the time after which a measurement has lost half of its
// weight, as in the Peak EWMA balancer of Finagle. A deployment that is not
// chosen because it was slow is not measured any more; as its average fades, it
// is tried again.
const latencyHalfLife = 30 * time.Second

// Latency is an exponentially weighted moving average of a deployment's time to
// the first byte. The zero value knows nothing yet. It is safe for concurrent
// use, lock-free, and must not be copied.
type Latency struct {
	// The average in microseconds (high 32 bits) and the time of the last
	// measurement in Unix seconds (low 32 bits); 0 is unknown.
	state atomic.Uint64
}

// Observe adds a measurement that was made at now. A duration of 0 or less is
// none.
func (l *Latency) Observe(d time.Duration, now time.Time) {
	if d <= 0 {
		return
	}
	for {
		old := l.state.Load()
		average := d
		if last, at := unpack(old); last > 0 {
			share := max(latencyShare, 1-remaining(now.Unix()-at))
			average = last + time.Duration(float64(d-last)*share)
		}
		if l.state.CompareAndSwap(old, pack(average, now.Unix())) {
			return
		}
	}
}

// Value returns the average as it stands at now: it fades while nothing is
// measured. 0 is unknown.
func (l *Latency) Value(now time.Time) time.Duration {
	average, at := unpack(l.state.Load())
	age := now.Unix() - at
	if average == 0 || age <= 0 {
		return average
	}
	return max(time.Duration(float64(average)*remaining(age)), time.Microsecond)
}

// remaining is the weight left after some seconds: it halves with every half
// life, linearly in between.
func remaining(seconds int64) float64 {
	const half = int64(latencyHalfLife / time.Second)
	if seconds <= 0 {
		return 1
	}
	halvings := seconds / half
	if halvings >= 32 {
		return 0
	}
	part := float64(seconds%half) / float64(half)
	return (1 - part/2) / float64(uint64(1)<<halvings)
}

func pack(average time.Duration, second int64) uint64 {
	const longest = 1<<32 - 1
	micros := min(max(average.Microseconds(), 1), longest)
	return uint64(micros)<<32 | uint64(uint32(min(max(second, 0), longest)))
}

func unpack(state uint64) (average time.Duration, second int64) {
	return time.Duration(state>>32) * time.Microsecond, int64(uint32(state))
}
