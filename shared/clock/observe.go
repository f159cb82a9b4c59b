package clock

import "time"

const (
	// resolution of an HTTP Date header (RFC 9110, section 5.6.7): the second it
	// names had begun and not ended.
	resolution = time.Second
	// driftPerSecond is how fast two clocks may part: 100 µs a second, twice
	// what a poor quartz does.
	driftPerSecond = 100 * time.Microsecond
	// maxRoundTrip is the longest exchange that still says something; a longer
	// one was stopped somewhere on the way.
	maxRoundTrip = 10 * time.Second
)

// interval is the set of offsets (store time minus local time) that a sample
// allows. The zero value is "nothing known".
type interval struct {
	low, high time.Duration
	known     bool
}

func (a interval) intersect(b interval) (interval, bool) {
	low, high := max(a.low, b.low), min(a.high, b.high)
	return interval{low: low, high: high, known: true}, a.known && b.known && low <= high
}

// widen lets an old interval grow by the drift of the clocks since.
func (a interval) widen(elapsed time.Duration) interval {
	if elapsed > 0 {
		drift := time.Duration(elapsed.Seconds() * float64(driftPerSecond))
		a.low, a.high = a.low-drift, a.high+drift
	}
	return a
}

// offset is the correction to use: none while the local clock may be right
// (clocks kept by NTP agree with each other far better than a Date header can
// tell), else the middle, which halves the worst error.
func (a interval) offset() time.Duration {
	if !a.known || a.low <= 0 && 0 <= a.high {
		return 0
	}
	return a.low + (a.high-a.low)/2
}

// Observe learns from one answer of the store: serverDate is its Date header
// (resolution one second), sent and received are local times (time.Now) around
// the exchange. Each sample bounds the offset; the bounds of all samples are
// intersected, so that the error shrinks from a second towards the round trip
// (the idea of Cristian, "Probabilistic clock synchronization", 1989). A sample
// that contradicts all earlier ones is believed once a second one confirms it:
// one wrong header moves nothing, a stepped clock is followed.
func (c *Clock) Observe(serverDate, sent, received time.Time) {
	// Wall readings only: the monotonic clock does not see a stepped clock.
	sent, received = sent.Round(0), received.Round(0)
	if serverDate.IsZero() || received.Before(sent) || received.Sub(sent) > maxRoundTrip {
		return
	}
	sample := interval{
		low:   serverDate.Sub(received),
		high:  serverDate.Add(resolution).Sub(sent),
		known: true,
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	elapsed := received.Sub(c.last)
	if c.last.IsZero() {
		elapsed = 0
	}
	c.last = received
	if !c.bounds.known {
		c.adopt(sample)
		return
	}
	if both, ok := c.bounds.widen(elapsed).intersect(sample); ok {
		c.adopt(both)
		return
	}
	c.bounds = c.bounds.widen(elapsed)
	if both, ok := c.suspect.intersect(sample); ok {
		c.adopt(both)
		return
	}
	c.suspect = sample
}

// adopt makes an interval the known one. The caller holds mu.
func (c *Clock) adopt(bounds interval) {
	c.bounds, c.suspect = bounds, interval{}
	c.offset.Store(int64(bounds.offset()))
}
