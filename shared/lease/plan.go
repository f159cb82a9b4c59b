package lease

import (
	"fmt"
	"time"

	"spillway/shared/clock"
	"spillway/shared/quota"
)

// plan is one write of a row and what it brings.
type plan struct {
	before stored       // The row as it is stored.
	row    quota.Row    // The row as it shall be.
	units  int64        // Units it takes; 0: nothing to write.
	window quota.Window // The window they are of.
	ahead  bool         // That window has not begun.
	guest  bool         // The row is not of the home shard.
	back   withdrawal   // Units on their way back, and nothing is taken.
	told   setting      // What was in force when the write was planned.
	known  bool         // The row need not be written to give them back or to tell of the amount.
	short  bool         // Nobody who waits can be served from the row.
}

// plan decides what to take from a row that was read for a window. No plan (ok is false)
// means that the window is over, or that the row is ahead, or knows of a later amount,
// and that was adopted: start again.
func (f *flight) plan(what task, before stored, window quota.Window, guest bool) (p plan, ok bool, err error) {
	l := f.limit
	now := l.engine.clock.Read()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ends.PassedAt(now) {
		l.roll(now)
	}
	if before.row != nil && before.row.Window > l.window {
		w := before.row.Window
		if w.Start().Sub(now.Time()) > maxAhead {
			return plan{}, false, fmt.Errorf("%w: window %d is far ahead of the clock", errUnusable, w)
		}
		l.enter(w, now)
		return plan{}, false, nil
	}
	if l.window != window || before.row != nil && l.adopt(*before.row) {
		return plan{}, false, nil
	}
	p = plan{before: before, window: window, guest: guest, ahead: what == reap, told: l.inForce()}
	p.row = f.rolled(before, window, p.told)
	switch what {
	case recheck:
		f.planRecheck(&p)
	case reap:
		p.window = l.period.Next(window)
		f.planAhead(&p, now)
	default:
		f.planRefill(&p, now)
	}
	if p.units > 0 {
		if before.shard == 0 && before.row != nil {
			p.row = p.row.Reshard(*before.row, l.largest)
		}
		p.row = l.engine.signed(p.row)
	}
	return p, true, nil
}

// rolled is a row as it stands in a window, with the limit in force and the
// numbers of shards that shard 0 settled.
func (f *flight) rolled(before stored, window quota.Window, in setting) quota.Row {
	p := f.limit.period
	row := quota.New(window, in.amount)
	if before.row != nil {
		row = before.row.Roll(p, window)
	}
	row = in.apply(row, p)
	if before.shard != 0 {
		if n, ok := f.settled.At(p, window); ok {
			row.Shards = n
		}
		if n, ok := f.settled.At(p, p.Next(window)); ok {
			row.NextShards = n
		}
	}
	return row
}

// planRefill takes what those who wait need, first come first served, plus a chunk
// for those to come. When nobody who waits can be served it takes nothing for
// them, only what pays a debt. The caller holds the limit's mu.
func (f *flight) planRefill(p *plan, now clock.Instant) {
	l := f.limit
	shard := p.before.shard
	left := p.row.Left(shard)
	l.saw(p.row, shard, p.guest)
	if !p.guest {
		l.doubtful = l.doubtful || p.row.Over(shard) > 0
	}

	var need int64
	for _, w := range f.waiters {
		if w.units <= l.remaining+left-need && w.units <= l.amount()-l.used()-need {
			need += w.units
		}
	}
	p.short = need == 0 && len(f.waiters) > 0
	debt := min(max(-l.remaining, 0), left)
	switch {
	case need > 0:
		p.units = l.chunk(p.row, max(need-l.remaining, 0), left, now)
	case l.supply.prefetch && !p.short:
		// Less than a request is not worth a write, and would strand it here.
		if p.units = l.chunk(p.row, debt, left, now); p.units < l.largest {
			p.units = debt
		}
	default:
		p.units = debt
	}
	first := l.supply.joined < p.window
	if p.guest {
		first = f.visited < p.window
	}
	l.claim(p, first, now)
}

// claim takes the units of a plan off its row, and takes note of what that tells of the
// others. first says that they are the first of this window there. The caller holds mu.
func (l *Limit) claim(p *plan, first bool, now clock.Instant) {
	s := &l.supply
	p.row, _ = p.row.Grant(p.before.shard, p.units, first)
	sharers := p.row.Sharers() * p.row.Shards
	s.sharers = int32(sharers)
	if !p.guest {
		s.peers = int32(p.row.Sharers())
	}
	if p.guest || !s.visited { // It is all that counts.
		l.looked(now)
	}
	l.engine.fleet.saw(sharers, now)
	l.watch()
}

// planAhead takes a chunk of the next window. The caller holds the limit's mu.
func (f *flight) planAhead(p *plan, now clock.Instant) {
	l, shard := f.limit, p.before.shard
	left := p.row.NextLeft(shard)
	if p.units = l.chunk(p.row, 0, left, now); p.units < l.largest {
		p.units = 0
	}
	p.row, _ = p.row.GrantNext(shard, p.units, l.supply.joined < p.window)
}

// chunk is how much to take where want is needed and left is left. The floor is what
// the instance spends in a second, at most a quarter of an even share: it keeps the
// last units of a window from being fetched one request at a time by everyone at
// once, and is spent before it could be stranded. It is no less than what nobody
// misses, so that who asks for little, now and then, does not write each time. What
// goes beyond want is a multiple of the usual request, so that equal requests leave no
// remainder behind with each instance. The caller holds mu.
func (l *Limit) chunk(row quota.Row, want, left int64, now clock.Instant) int64 {
	second := l.supply.demand.expect(time.Second, l.offered, now)
	sharers := row.Sharers()
	units := quota.Chunk(quota.Ask{
		Want:    want,
		Floor:   max(min(row.Limit/row.Shards/(4*sharers), second), left/(spareParts(l.period)*sharers)),
		Demand:  l.supply.demand.expect(horizon(l.period), l.offered, now),
		Left:    left,
		Holders: sharers,
	})
	return units - max(units-want, 0)%max(l.typical, 1)
}

// spareParts says what nobody misses: of so many parts of the units that a shard has
// left one, divided among all who share it. Together they then hold one part at most, a
// sixteenth of what idle limits may keep (see idleShares). Where what a crash strands
// stays stranded for a day or more the parts are smaller: a thousand instances that crash
// one after the other strand a hundredth of the limit, since each shares its part with
// all of those before.
func spareParts(p quota.Period) int64 {
	if p >= quota.Day {
		return 1024
	}
	return 256
}
