package lease

import (
	"errors"

	"spillway/shared/clock"
	"spillway/shared/quota"
	"spillway/shared/store"
)

// direct is a flight to a store in this process that is over before anybody could wait for
// it: one write, which takes what the request needs from a row that is as it was last seen
// and has it. That is what most requests want which come first in a window, and where there
// are many limits, a flight is as much memory to fetch as a limit. Whatever else there is
// to decide is left to a flight: then ok is false, and nothing is taken for the request.
//
// The caller holds mu, which it releases, and has again if ok is false. It holds the flight
// slot meanwhile.
func (l *Limit) direct(n int64, now clock.Instant) (r Reservation, ok bool) {
	if l.home == nil || l.doubtful || l.supply.flying {
		return Reservation{}, false
	}
	p := plan{window: l.window, told: l.inForce()}
	if !l.planDirect(&p, l.home.Row(), n, now) {
		return Reservation{}, false
	}
	l.supply.flying = true
	l.mu.Unlock()
	kept := p.row.Keep()
	err := l.engine.local.SwapRecord(l.row(0), l.home, &kept)
	l.mu.Lock()
	l.home = nil
	var kind EventKind
	switch {
	case err == nil:
		l.home, kind = &kept, l.gain(&p)
		if ok = l.fits(n, now); ok { // Else its window is over by now.
			r = l.take(n)
		}
	case errors.Is(err, store.ErrConflict):
		kind = EventConflict
		l.supply.conflicts++
	}
	l.depart()
	l.mu.Unlock()
	if kind != 0 {
		l.engine.emit(Event{Kind: kind, Key: l.key(), Units: p.units})
	}
	if !ok {
		l.mu.Lock()
	}
	return r, ok
}

// planDirect plans what direct takes from the row before, and tells whether there is
// nothing else to decide: the row is the only one of the limit, nobody shares it, and what
// it and this instance know agrees.
func (l *Limit) planDirect(p *plan, before quota.Row, n int64, now clock.Instant) bool {
	if before.Window > l.window || before.Sharers() > 1 || before.LimitSince > l.configured.since {
		return false
	}
	p.row = p.told.apply(before.Roll(l.period, l.window), l.period)
	left := p.row.Left(0)
	if max(p.row.Shards, p.row.NextShards, p.row.WantShards) > 1 || p.row.Over(0) > 0 || n-l.remaining > left {
		return false
	}
	l.saw(p.row, 0, false)
	p.units = l.chunk(p.row, n-l.remaining, left, now)
	l.claim(p, l.supply.joined < l.window, now)
	p.row = p.row.Reshard(before, l.largest)
	return true
}

// depart leaves the flight slot to a flight if there is anything to do for one.
func (l *Limit) depart() {
	if l.next() == idle {
		l.land()
		return
	}
	go l.takeOff().fly()
}
