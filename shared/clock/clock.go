// Package clock gives the time that instances agree on: the local clock
// corrected by an offset learned from the Date headers of a store, and
// deadlines that also pass when the process was frozen.
package clock

import (
	"sync"
	"sync/atomic"
	"time"
)

// Source reads a machine's two clocks: the wall clock, and a monotonic one
// counted from any fixed moment. The monotonic clock may stop while the machine
// sleeps; the wall clock may be stepped. It must be safe for concurrent use.
type Source func() (wall time.Time, monotonic time.Duration)

// Clock is the local clock corrected by what Observe learned. Its zero value
// works and is the uncorrected local clock. All methods are safe for concurrent
// use. A Clock must not be copied after its first use.
type Clock struct {
	source Source // nil: the machine's own clocks
	offset atomic.Int64

	mu      sync.Mutex
	bounds  interval  // Guarded by mu.
	suspect interval  // A sample that contradicted bounds. Guarded by mu.
	last    time.Time // When the last sample was received. Guarded by mu.
}

// New returns a clock that reads source instead of the machine's clocks, for
// simulations of skewed and frozen machines. A nil source is the machine.
func New(source Source) *Clock {
	return &Clock{source: source}
}

// Instant is one reading of a Clock: both of its clocks at the same moment.
type Instant struct {
	// Wall is the corrected wall time in nanoseconds since 1970.
	Wall int64
	// Monotonic is the monotonic time in nanoseconds since a fixed moment.
	Monotonic int64
}

// Time returns the corrected wall time, in UTC and without a monotonic reading.
func (i Instant) Time() time.Time {
	return time.Unix(0, i.Wall).UTC()
}

// Since returns how much time has passed since an earlier instant of the same clock, by
// its monotonic clock: steps of the wall clock don't disturb it.
func (i Instant) Since(earlier Instant) time.Duration {
	return time.Duration(i.Monotonic - earlier.Monotonic)
}

// start is the moment that monotonic readings count from.
var start = time.Now()

// Read reads both clocks at once.
func (c *Clock) Read() Instant {
	if c.source != nil {
		wall, monotonic := c.source()
		return Instant{Wall: wall.UnixNano() + c.offset.Load(), Monotonic: int64(monotonic)}
	}
	now := time.Now()
	return Instant{Wall: now.UnixNano() + c.offset.Load(), Monotonic: int64(now.Sub(start))}
}

// Now returns the local wall time plus the offset. It keeps the monotonic
// reading, so differences of two results are not disturbed by steps of the wall
// clock (only by a change of the offset). A clock with a Source has none to keep.
func (c *Clock) Now() time.Time {
	if c.source != nil {
		return c.Read().Time()
	}
	return time.Now().Add(c.Offset())
}

// Offset returns the correction: store time minus local time.
func (c *Clock) Offset() time.Duration {
	return time.Duration(c.offset.Load())
}

// Deadline is a moment that has passed when either of the two clocks says so:
// the wall clock misses a step back, the monotonic clock misses the time that a
// process was frozen. The zero value has passed.
type Deadline struct {
	wall      int64
	monotonic int64
}

// Until returns the deadline at the corrected wall time t.
func (c *Clock) Until(t time.Time) Deadline {
	return c.Read().Until(t)
}

// Until returns the deadline at the wall time t, as seen at this instant.
func (i Instant) Until(t time.Time) Deadline {
	wall := t.UnixNano()
	return Deadline{wall: wall, monotonic: i.Monotonic + (wall - i.Wall)}
}

// Passed tells whether the wall clock or the monotonic clock has reached the
// deadline.
func (d Deadline) Passed(c *Clock) bool {
	return d.PassedAt(c.Read())
}

// PassedAt tells whether the deadline had passed at an instant.
func (d Deadline) PassedAt(i Instant) bool {
	return i.Wall >= d.wall || i.Monotonic >= d.monotonic
}

// Later returns the deadline that passes last: by each clock the later one.
func (d Deadline) Later(other Deadline) Deadline {
	return Deadline{wall: max(d.wall, other.wall), monotonic: max(d.monotonic, other.monotonic)}
}

// Time returns the corrected wall time of the deadline, in UTC.
func (d Deadline) Time() time.Time {
	return time.Unix(0, d.wall).UTC()
}
