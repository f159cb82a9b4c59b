package lease

import (
	"time"

	"spillway/shared/clock"
)

// What the rows had left is knowledge of one moment: others may give back what they took.
// So who was refused by it asks again after a while, and how long that is bounds the calls
// that refused requests cost, however many they are.
const (
	// looks is how often a limit looks again in a window, at the most: every five
	// seconds of a minute, which is how long a lease is idle before it goes back.
	looks = 12
	// minLook and maxLook bound the time between two looks: nothing comes back sooner in
	// a window of seconds, and a quota of a month is not asked for all month long.
	minLook = 2 * time.Second
	maxLook = time.Minute
	// lookRate is how many looks a second all who share a limit may cost together.
	lookRate = 50
	// lookSpread is the part of the time between two looks that is added to it, less or
	// more of it by the name of the instance: who were refused at the same edge come back
	// one after another.
	lookSpread = 5
)

// looked notes that the rows are asked now, so that nobody asks again for a while.
func (l *Limit) looked(now clock.Instant) {
	window := l.period.End(l.window).Sub(l.window.Start())
	pause := max(min(max(window/looks, minLook), maxLook), time.Duration(l.supply.sharers)*time.Second/lookRate)
	const phases = 1024
	pause += pause / lookSpread * time.Duration(l.engine.home%phases) / phases
	l.supply.current = now.Until(now.Time().Add(pause))
}

// outdated tells whether the rows may have more room by now than when they were last
// seen. They have not if nobody else held anything of them.
func (l *Limit) outdated(now clock.Instant) bool {
	s := &l.supply
	return s.asking || s.current.PassedAt(now) && (s.shards > 1 || s.granted > l.granted)
}

// look has the flight of a request ask the rows again, if it is time to, although they
// had no room. That counts from now on, whatever comes of it. It tells whether it is so.
func (l *Limit) look(now clock.Instant) bool {
	s := &l.supply
	if s.asking || !l.outdated(now) {
		return false
	}
	s.asking = true
	l.looked(now)
	return true
}

// short tells whether the rows had no room for n units when they were last seen.
func (l *Limit) short(n int64) bool {
	s := &l.supply
	return s.exhausted && n-l.remaining > s.left()
}
