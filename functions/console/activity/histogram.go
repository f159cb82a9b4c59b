package activity

import (
	"math"
	"math/bits"
	"time"
)

// The buckets of a Histogram are log-linear: eight of one width for each doubling
// of the time. A quantile is the middle of its bucket, so it is at most 1/16 off, or
// half a finest, below eight of them.
const (
	finest       = 250 * time.Microsecond
	perDoubling  = 8
	doublingBits = 3 // log₂ of perDoubling
	doublings    = 19
	buckets      = (doublings + 1) * perDoubling // the last one takes all from 245 s on
)

// Histogram counts durations in buckets of fixed bounds. The zero value is empty.
// It is a value of 640 bytes, and not safe for concurrent use.
type Histogram [buckets]uint32

// Observe counts one duration. One that is not positive counts as 0.
func (h *Histogram) Observe(d time.Duration) {
	if i := bucketOf(d); h[i] < math.MaxUint32 {
		h[i]++
	}
}

// Merge adds the counts of other.
func (h *Histogram) Merge(other *Histogram) {
	for i, n := range other {
		h[i] = uint32(min(uint64(h[i])+uint64(n), math.MaxUint32))
	}
}

// Count is how many durations were observed.
func (h *Histogram) Count() int64 {
	var count int64
	for _, n := range h {
		count += int64(n)
	}
	return count
}

// Quantile returns the duration that the share q of all observed ones does not
// exceed. q is in (0, 1]; of an empty histogram it is 0.
func (h *Histogram) Quantile(q float64) time.Duration {
	count := h.Count()
	if count == 0 {
		return 0
	}
	rank := min(max(int64(math.Ceil(q*float64(count))), 1), count)
	for i, n := range h {
		if rank -= int64(n); rank <= 0 {
			low, high := boundsOf(i)
			return low + (high-low)/2
		}
	}
	return 0
}

func bucketOf(d time.Duration) int {
	n := uint64(max(d, 0) / finest)
	if n < perDoubling {
		return int(n)
	}
	doubling := bits.Len64(n) - doublingBits // from 1 on
	return min(doubling*perDoubling+int(n>>(doubling-1))%perDoubling, buckets-1)
}

// boundsOf are the least duration of a bucket and the first beyond it.
func boundsOf(i int) (low, high time.Duration) {
	doubling, step := i/perDoubling, i%perDoubling
	if doubling == 0 {
		return time.Duration(step) * finest, time.Duration(step+1) * finest
	}
	width := finest << (doubling - 1)
	return time.Duration(perDoubling+step) * width, time.Duration(perDoubling+step+1) * width
}

// windowMinutes is how far percentiles look back: this minute and the five before.
const windowMinutes = 6

// recent counts durations of the last minutes, a histogram for each. The zero value
// is empty.
type recent struct {
	minutes [windowMinutes]struct {
		number int64 // minutes since 1970
		Histogram
	}
}

// observe counts a duration that was measured at now.
func (r *recent) observe(d time.Duration, now time.Time) {
	number := minuteOf(now)
	slot := &r.minutes[number%windowMinutes]
	switch {
	case slot.number > number: // measured before the clock was set
		return
	case slot.number < number:
		slot.number, slot.Histogram = number, Histogram{}
	}
	slot.Observe(d)
}

// merged is what was observed in the minutes up to now.
func (r *recent) merged(now time.Time) Histogram {
	var all Histogram
	number := minuteOf(now)
	for i := range r.minutes {
		if slot := &r.minutes[i]; slot.number > number-windowMinutes && slot.number <= number {
			all.Merge(&slot.Histogram)
		}
	}
	return all
}

// minuteOf numbers the minutes. Times before 1970 are taken for its beginning.
func minuteOf(t time.Time) int64 { return max(t.Unix(), 0) / 60 }

// Percentiles sum up durations of the last minutes, in milliseconds. They are 0
// where there were none.
type Percentiles struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
}

func (r *recent) percentiles(now time.Time) Percentiles {
	all := r.merged(now)
	return Percentiles{
		Count: all.Count(),
		P50:   milliseconds(all.Quantile(0.50)),
		P95:   milliseconds(all.Quantile(0.95)),
		P99:   milliseconds(all.Quantile(0.99)),
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
