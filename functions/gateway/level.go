package gateway

import (
	"sync/atomic"
	"time"

	"spillway/shared/clock"
	"spillway/shared/lease"
)

// Level says how much of a limit is used.
type Level uint8

// The levels that are told.
const (
	// Near: four fifths are used.
	Near Level = iota + 1
	// Reached: a request was refused, or nothing is left.
	Reached
)

// String returns the level as one word for logs and metrics.
func (l Level) String() string {
	switch l {
	case Near:
		return "near"
	case Reached:
		return "reached"
	}
	return "low"
}

// Notice tells that a limit of a consumer has come to a level, once for each window
// and instance.
type Notice struct {
	Level    Level
	Consumer string
	Limit    string // its name, after the model if it is of one
	lease.Status
}

// mark is the highest level that was told of a limit in a window: the window's end in
// Unix seconds, and the level in the two lowest bits.
type mark struct{ atomic.Int64 }

// raise tells whether the level is news in the window that ends then.
func (m *mark) raise(level Level, end time.Time) bool {
	next := end.Unix()<<2 | int64(level)
	for {
		last := m.Load()
		if last >= next { // told, or a window that is over
			return false
		}
		if m.CompareAndSwap(last, next) {
			return true
		}
	}
}

// levelOf is how much of a limit is used.
func levelOf(s lease.Status) Level {
	switch {
	case s.Remaining <= 0:
		return Reached
	case s.Remaining <= s.Amount/5:
		return Near
	}
	return 0
}

// notice tells of the limits that have come to a level.
func (g *Gateway) notice(consumer string, limits []*Limit, now clock.Instant) {
	if g.Notice == nil {
		return
	}
	for _, l := range limits {
		status := l.StatusAt(now)
		g.tell(consumer, l, levelOf(status), status)
	}
}

// tell tells of one limit, if it is news.
func (g *Gateway) tell(consumer string, l *Limit, level Level, status lease.Status) {
	if g.Notice != nil && level > 0 && l.mark.raise(level, status.ResetAt) {
		g.Notice(Notice{Level: level, Consumer: consumer, Limit: l.title(), Status: status})
	}
}
