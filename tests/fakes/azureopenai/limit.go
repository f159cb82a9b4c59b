package azureopenai

import (
	"math"
	"time"
)

// The limiters follow the service's documentation: "Understanding rate limits"
// (an estimate of prompt and maximum is added to a running count that resets
// each minute; requests are checked over 1 or 10 seconds) for Fixed, the
// public API simulator of the service's own team for Sliding (a log of 60 s,
// requests over 10 s), and "How utilization works" of provisioned throughput
// for PTU (leaky bucket).

// tokenLimiter books tokens. Implementations are not safe for concurrent use:
// the deployment's mutex guards them.
type tokenLimiter interface {
	// take books cost if it fits into limit, and returns "" then. Otherwise
	// nothing is booked, and wait tells when trying again makes sense.
	take(now time.Time, cost, limit int64) (why ThrottleKind, wait time.Duration)
	// room is how many tokens still fit now. PTU accepts any size while room > 0.
	room(now time.Time, limit int64) int64
	// reset is the time until the count is empty (PTU: below 100 %).
	reset(now time.Time, limit int64) time.Duration
}

func newTokenLimiter(d Deployment) tokenLimiter {
	switch {
	case d.Limiter == PTU:
		return &leakyBucket{burst: d.Burst}
	case d.TokensPerMinute == 0:
		return nil
	case d.Limiter == Sliding:
		return &slidingLog{span: time.Minute}
	}
	return &fixedWindow{phase: d.Phase}
}

// windowStart is the latest edge of windows of the given length at or before
// now, where edges lie at multiples of length, plus phase, since the Unix epoch.
// It is computed from the wall clock alone: edges found through monotonic
// readings differ by nanoseconds, and each would look like a new window.
func windowStart(now time.Time, length, phase time.Duration) time.Time {
	wall := now.UnixNano()
	return time.Unix(0, wall-(wall-int64(phase))%int64(length))
}

// fixedWindow counts tokens in windows of 60 s.
type fixedWindow struct {
	phase time.Duration
	start time.Time
	used  int64
}

func (f *fixedWindow) roll(now time.Time) {
	if start := windowStart(now, time.Minute, f.phase); start.After(f.start) {
		f.start, f.used = start, 0
	}
}

func (f *fixedWindow) take(now time.Time, cost, limit int64) (ThrottleKind, time.Duration) {
	f.roll(now)
	if f.used+cost > limit {
		return tooMuch(cost, limit), f.reset(now, limit)
	}
	f.used += cost
	return "", 0
}

func (f *fixedWindow) room(now time.Time, limit int64) int64 {
	if windowStart(now, time.Minute, f.phase).After(f.start) {
		return limit
	}
	return max(limit-f.used, 0)
}

func (f *fixedWindow) reset(now time.Time, _ int64) time.Duration {
	return windowStart(now, time.Minute, f.phase).Add(time.Minute).Sub(now)
}

func tooMuch(cost, limit int64) ThrottleKind {
	if cost > limit {
		return ThrottleOverestimate
	}
	return ThrottleTokens
}

// slidingLog remembers every booking of the last span.
type slidingLog struct {
	span    time.Duration
	entries []booking
	used    int64
}

type booking struct {
	at   time.Time
	cost int64
}

func (s *slidingLog) expire(now time.Time) {
	n := 0
	for n < len(s.entries) && now.Sub(s.entries[n].at) >= s.span {
		s.used -= s.entries[n].cost
		n++
	}
	s.entries = s.entries[n:]
}

func (s *slidingLog) take(now time.Time, cost, limit int64) (ThrottleKind, time.Duration) {
	s.expire(now)
	if s.used+cost <= limit {
		s.entries = append(s.entries, booking{now, cost})
		s.used += cost
		return "", 0
	}
	free := limit - s.used
	for _, b := range s.entries {
		if free += b.cost; free >= cost {
			return ThrottleTokens, b.at.Add(s.span).Sub(now)
		}
	}
	return tooMuch(cost, limit), max(s.reset(now, limit), time.Second)
}

func (s *slidingLog) room(now time.Time, limit int64) int64 {
	used := s.used
	for _, b := range s.entries {
		if now.Sub(b.at) < s.span {
			break
		}
		used -= b.cost
	}
	return max(limit-used, 0)
}

func (s *slidingLog) reset(now time.Time, _ int64) time.Duration {
	if len(s.entries) == 0 {
		return 0
	}
	return max(s.entries[len(s.entries)-1].at.Add(s.span).Sub(now), 0)
}

// leakyBucket is a PTU deployment's utilization: level ÷ capacity.
type leakyBucket struct {
	burst time.Duration
	level float64 // tokens
	at    time.Time
}

func (l *leakyBucket) capacity(limit int64) float64 {
	return float64(limit) * l.burst.Minutes()
}

func (l *leakyBucket) peek(now time.Time, limit int64) float64 {
	if l.at.IsZero() {
		return 0
	}
	return max(0, l.level-now.Sub(l.at).Minutes()*float64(limit))
}

func (l *leakyBucket) take(now time.Time, cost, limit int64) (ThrottleKind, time.Duration) {
	l.level, l.at = l.peek(now, limit), now
	if l.level >= l.capacity(limit) {
		return ThrottleUtilization, l.reset(now, limit)
	}
	l.level += float64(cost)
	return "", 0
}

// correct replaces an estimate by the truth when the answer has ended.
func (l *leakyBucket) correct(now time.Time, difference, limit int64) {
	l.level, l.at = max(0, l.peek(now, limit)+float64(difference)), now
}

func (l *leakyBucket) room(now time.Time, limit int64) int64 {
	return int64(math.Ceil(l.capacity(limit) - l.peek(now, limit)))
}

// reset is rounded up to a whole millisecond, after which the bucket is below
// 100 % for certain.
func (l *leakyBucket) reset(now time.Time, limit int64) time.Duration {
	over := l.peek(now, limit) - l.capacity(limit)
	if over < 0 {
		return 0
	}
	ms := math.Floor(over/float64(limit)*60_000) + 1
	return time.Duration(ms) * time.Millisecond
}

// utilization is level ÷ capacity in percent.
func (l *leakyBucket) utilization(now time.Time, limit int64) float64 {
	return 100 * l.peek(now, limit) / l.capacity(limit)
}

// requestMeter limits requests in slices and counts them by minute.
type requestMeter struct {
	limit  int64 // per minute; 0: none
	slice  time.Duration
	phase  time.Duration
	log    *slidingLog // Sliding only
	start  time.Time   // of the slice
	used   int64       // in the slice
	minute time.Time
	count  int64 // in the minute
}

func newRequestMeter(d Deployment) *requestMeter {
	m := &requestMeter{limit: d.RequestsPerMinute, slice: d.RequestWindow, phase: d.Phase}
	if d.Limiter == Sliding {
		m.log = &slidingLog{span: d.RequestWindow}
	}
	return m
}

// perSlice is how many requests fit one slice.
func (m *requestMeter) perSlice() int64 {
	return int64(math.Ceil(float64(m.limit) * m.slice.Minutes()))
}

// take counts a request and returns 0, or the time until the next one fits.
// Requests that the token limit rejects later stay counted, as documented;
// those that this limit rejects are not.
func (m *requestMeter) take(now time.Time) time.Duration {
	if m.limit == 0 {
		return 0
	}
	if minute := windowStart(now, time.Minute, m.phase); minute.After(m.minute) {
		m.minute, m.count = minute, 0
	}
	m.count++
	if m.log != nil {
		_, wait := m.log.take(now, 1, m.perSlice())
		return wait
	}
	if start := windowStart(now, m.slice, m.phase); start.After(m.start) {
		m.start, m.used = start, 0
	}
	if m.used >= m.perSlice() {
		return m.start.Add(m.slice).Sub(now)
	}
	m.used++
	return 0
}

// fits says whether take would count a request now.
func (m *requestMeter) fits(now time.Time) bool {
	switch {
	case m.limit == 0:
		return true
	case m.log != nil:
		return m.log.room(now, m.perSlice()) > 0
	}
	return windowStart(now, m.slice, m.phase).After(m.start) || m.used < m.perSlice()
}

func (m *requestMeter) remaining(now time.Time) int64 {
	if windowStart(now, time.Minute, m.phase).After(m.minute) {
		return m.limit
	}
	return max(m.limit-m.count, 0)
}

func (m *requestMeter) reset(now time.Time) time.Duration {
	return windowStart(now, m.slice, m.phase).Add(m.slice).Sub(now)
}

// Room is how many tokens the deployment's limiter would still accept at now,
// temporary adjustments included; math.MaxInt64 without a limit or, for an
// unknown name, 0. A PTU deployment accepts a request of any size while Room
// is > 0. Times before the latest request give the room at that request.
func (s *Server) Room(deployment string, now time.Time) int64 {
	d := s.deployments[deployment]
	if d == nil {
		return 0
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.room(now, s.faults.lowered(deployment, now))
}

// Fits says whether a request that the limiter charges that many tokens would
// be accepted at now (see Charge), by tokens and by requests.
func (s *Server) Fits(deployment string, charge int64, now time.Time) bool {
	d := s.deployments[deployment]
	if d == nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	room := d.room(now, s.faults.lowered(deployment, now))
	if d.Limiter == PTU {
		charge = 1
	}
	return room >= charge && d.requests.fits(now)
}

// room needs d.mu.
func (d *deployment) room(now time.Time, lowered int64) int64 {
	if d.tokens == nil {
		return math.MaxInt64
	}
	return d.tokens.room(now, d.limit(lowered))
}

// limit is the token limit in force.
func (d *deployment) limit(lowered int64) int64 {
	if lowered > 0 {
		return min(d.TokensPerMinute, lowered)
	}
	return d.TokensPerMinute
}

var (
	_ tokenLimiter = (*fixedWindow)(nil)
	_ tokenLimiter = (*slidingLog)(nil)
	_ tokenLimiter = (*leakyBucket)(nil)
)
