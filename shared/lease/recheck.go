package lease

import (
	"errors"

	"spillway/shared/quota"
	"spillway/shared/store"
)

// recheck holds a lease in doubt against its row. After a cut the row may have granted
// more than is in force, to this instance and to others: as much of the lease goes back
// to the row, in one write, and only the rest may be spent. The write tells the others
// of the cut as well, so that none of them takes what this instance counts on; there is
// none if the row knows of it and has granted no more.
//
// Of a limit that is split over shards each is held to its own share: together they
// may grant more than the amount in force, by what others of them had granted beyond
// their share before the cut.
func (f *flight) recheck(window quota.Window, in setting) error {
	f.cached = stored{} // What others have taken since counts as well.
	home, _, err := f.homeRow(window, window, in)
	if err != nil {
		return err
	}
	p, ok, err := f.plan(recheck, home, window, false)
	if err != nil || !ok || p.known {
		return err
	}
	p.row = f.limit.engine.signed(p.row)
	err = f.write(home, p.row)
	if errors.Is(err, store.ErrConflict) {
		err = f.doubt(home, p.row, err)
	}
	f.limit.rechecked(&p, err)
	return err
}

// planRecheck stops what goes back from being spent, and takes it off the row. The
// caller holds the limit's mu.
func (f *flight) planRecheck(p *plan) {
	l, shard := f.limit, p.before.shard
	p.back = withdrawal{generation: l.generation, units: min(max(l.remaining, 0), p.row.Over(shard))}
	p.row, _ = p.row.GiveBack(p.window, p.back.units)
	l.remaining -= p.back.units
	l.granted -= p.back.units
	l.saw(p.row, shard, false)
	p.known = p.before.row == nil || p.row == p.before.row.Roll(l.period, p.window)
	l.doubtful = !p.known || p.row.Over(shard) > 0
}

// rechecked ends a recheck by what became of its write. Until that happened for certain
// the lease is in doubt; and so it is, for what comes back to it, if the row has still
// granted too much, or the amount was changed again meanwhile. It takes mu.
func (l *Limit) rechecked(p *plan, err error) {
	kind, w := EventGiveBack, p.back
	l.mu.Lock()
	current := l.generation == w.generation
	switch {
	case err == nil:
		l.doubtful = l.doubtful && (!current || l.inForce() != p.told || p.row.Over(p.before.shard) > 0)
	case errors.Is(err, store.ErrAmbiguous):
		kind = EventLost
		l.supply.seen = false
	default:
		kind = 0
		l.supply.seen = false
		if current {
			l.remaining += w.units
			l.granted += w.units
		}
	}
	l.sighted()
	l.watch()
	l.mu.Unlock()
	if kind != 0 && w.units > 0 {
		l.engine.emit(Event{Kind: kind, Key: l.key(), Units: w.units})
	}
}
