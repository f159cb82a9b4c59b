package breaker

import "time"

// facts are all that instances share about one deployment. It is a value; the
// methods that return facts are the transitions. Times are as wall returns
// them.
type facts struct {
	state State
	// until is when an open breaker is due for a trial, and the deadline of a
	// half-open one's trial; zero when closed.
	until time.Time
	opens int64
	// trial numbers the trials; nonce and owner belong to the last one. They
	// stay until the next claim: a state that follows from a trial carries its
	// number and its nonce.
	trial int64
	owner string
	nonce string

	throttledUntil time.Time
	lastStatus     int64
}

// rules are the settings that the transitions need.
type rules struct {
	failures      int
	interval      time.Duration
	openFor       time.Duration
	maxOpenFor    time.Duration
	maxRetryAfter time.Duration
}

// due tells whether a trial may be claimed: the open time is over, or the
// trial's owner has let the deadline pass.
func (f facts) due(now time.Time) bool {
	return f.state != Closed && !now.Before(f.until)
}

// sameTrial tells whether both follow from the same trial, or none has been
// made.
func (f facts) sameTrial(g facts) bool {
	return f.trial == g.trial && f.nonce == g.nonce
}

// throttle records a 429 that asks to be left alone until some moment. That
// is not believed for longer than maxRetryAfter: a backend may ask for a day.
// The later of two moments counts.
func (f facts) throttle(now, until time.Time, status int, r *rules) facts {
	f.throttledUntil = later(f.throttledUntil, sooner(wall(until), wall(now.Add(r.maxRetryAfter))))
	f.lastStatus = int64(status)
	return f
}

func (f facts) view() View {
	return View{
		State:          f.state,
		OpenUntil:      f.until,
		ThrottledUntil: f.throttledUntil,
		Opens:          int(f.opens),
		LastStatus:     int(f.lastStatus),
	}
}

// wall returns a moment as it can be kept in a row: UTC, in microseconds and
// without the monotonic reading, which stops in a frozen process and means
// nothing to others.
func wall(t time.Time) time.Time {
	return t.UTC().Round(0).Truncate(time.Microsecond)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func sooner(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
