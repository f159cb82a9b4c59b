package lease

import "spillway/shared/quota"

// setting is an amount of units per window, and when it was set: in microseconds of
// Unix time, 0 if nobody knows.
type setting struct {
	amount, since int64
}

// apply returns a row with the setting in force.
func (s setting) apply(row quota.Row, p quota.Period) quota.Row {
	if s.since == 0 && p < quota.Hour {
		return row.WithLimit(s.amount)
	}
	return row.WithLimitSince(s.amount, s.since)
}

// configure takes note of the setting that Engine.Limit was told. It takes mu.
func (l *Limit) configure(told setting) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forgotten = false
	if told.since == 0 || told.since >= l.configured.since {
		l.change(told, l.cut())
	}
}

// adopt follows a row that knows of a later setting, and tells whether it did.
func (l *Limit) adopt(row quota.Row) bool {
	if l.configured.since == 0 || row.LimitSince <= l.configured.since {
		return false
	}
	l.change(setting{amount: row.NextLimit, since: row.LimitSince}, l.cut())
	return true
}

// change sets what is in force: the configured amount, or less by a cut. A later
// setting puts the lease in doubt even if it is more: there may have been others between
// the two, by which others have taken more than that.
func (l *Limit) change(configured setting, cut int64) {
	before, since := l.amount(), l.configured.since
	if cut >= configured.amount {
		cut = 0
	}
	l.configured = configured
	if cut != l.cut() {
		l.said().cut = cut
	}
	now := l.amount()
	if now < before || configured.since != since {
		l.doubtful = true
		if l.own != nil {
			l.own.next.doubtful = true
		}
	}
	s := &l.supply
	if now > before {
		s.exhausted, s.visited = false, false // There may be room in the rows again.
	}
	l.watch()
	if s.seen {
		row := quota.Row{Granted: s.granted, Limit: s.limit, LimitSince: s.since, Shards: int64(s.shards)}
		l.saw(l.inForce().apply(row, l.period), int64(s.shard), false)
	}
}

// inForce is the setting to write to a row.
func (l *Limit) inForce() setting {
	return setting{amount: l.amount(), since: l.configured.since}
}

// amount is the units per window in force.
func (l *Limit) amount() int64 {
	if cut := l.cut(); cut > 0 {
		return cut
	}
	return l.configured.amount
}

// cut is the amount that a backend admits to, 0 if not less than configured.
func (l *Limit) cut() int64 {
	if l.backend == nil {
		return 0
	}
	return l.backend.cut
}
