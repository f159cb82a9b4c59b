package lease

import "spillway/shared/quota"

// demands are what an instance may expect to need soon: nothing, or more than there
// is.
var demands = [...]int8{0, 40}

// fly is what an instance does on its own flight slot: one conversation with the
// store at a time.
func (m *machine) fly(s State, i int, step stepper) {
	switch in := &s.all[i]; in.flight.kind {
	case visit:
		for _, want := range m.Sizes {
			for _, demand := range demands {
				n := s
				m.visit(&n, i, want, demand)
				step(says[visits][i], n)
			}
		}
		return
	case none:
	default:
		return
	}
	if m.Give {
		for _, keep := range m.keeps() {
			n := s
			if m.giveBack(&n, i, keep) {
				step(says[givesBack][i], n)
			}
		}
	}
	if s.all[i].pending.units > 0 {
		n := s
		m.recall(&n, i)
		step(says[recalls][i], n)
		return // The doubt is settled first.
	}
	if m.doubts(&s.all[i]) {
		n := s
		m.recheck(&n, i)
		step(says[rechecks][i], n)
	}
	for _, demand := range demands {
		for _, want := range m.Sizes {
			n := s
			label := refills
			if s.all[i].short(want) {
				label = looks
			}
			if m.refill(&n, i, want, demand) {
				step(says[label][i], n)
			}
		}
		if demand == 0 {
			continue
		}
		n := s
		if m.refill(&n, i, 0, demand) {
			step(says[prefetches][i], n)
		}
		n = s
		if m.Ahead && m.ahead(&n, i, demand) {
			step(says[reaps][i], n)
		}
	}
	n := s
	if m.trim(&n, i) {
		step(says[trims][i], n)
	}
}

// refill reads the home row and plans to take units of this window: want for a
// request that waits, or with want 0 a chunk for those to come. It tells whether
// there was anything to do.
func (m *machine) refill(s *State, i int, want, demand int8) bool {
	m.roll(s, i)
	in := &s.all[i]
	if m.doubts(in) || want > 0 && (m.fits(in, want) || m.refused(in, want)) || want == 0 && in.exhausted > 0 {
		return false
	}
	look := want > 0 && in.short(want)
	if look {
		m.look(s, in)
	}
	shard, shards, ready := m.home(s, i, in.window-1)
	if !ready || m.adopt(s, i, shard) {
		return true
	}
	left, units, short := m.planRefill(s, i, shard, false, want, demand)
	in.flight.look = look && units > 0
	switch {
	case units > 0:
	case short && (shards > 1 || m.defect == guestOfNoShard):
		in.left = left
		in.flight = write{kind: visit, window: in.window - 1, shard: 1 - shard, guest: true}
	case short:
		in.exhaust()
		in.left = left
		in.old = look && m.defect == failedLookIsNone
	}
	return true
}

// look has the rows asked again that could not serve. It counts from now on, whatever
// comes of it.
func (m *machine) look(s *State, in *instance) {
	if in.asked {
		m.breaks(s, RuleAsks)
	}
	in.asked = true
	in.old = in.old && m.defect == failedLookIsNone
}

// planRefill plans what to take of a row that is not ahead. Units taken are sent.
func (m *machine) planRefill(s *State, i int, shard int8, guest bool, want, demand int8) (left, units int8, short bool) {
	in := &s.all[i]
	w := in.window - 1
	row := m.rolled(s, i, shard, w)
	left = m.leftOf(row, shard)
	if in.exhausted > 0 {
		in.left = left
	}
	if !guest {
		in.doubtful = m.defect != cutRefundSpent && (in.doubtful || row.Over(int64(shard)) > 0)
	}
	var need int8
	if want > 0 && want <= in.remaining+left && want <= in.amount-in.used() {
		need = want
	}
	short = need == 0 && want > 0
	debt := min(max(-in.remaining, 0), left)
	switch {
	case need > 0:
		units = m.chunk(row, max(need-in.remaining, 0), left, demand)
	case want == 0:
		if units = m.chunk(row, debt, left, demand); units < 1 {
			units = debt
		}
	default:
		units = debt
	}
	if units == 0 {
		return left, 0, short
	}
	if m.defect == shareNotDivided || m.defect == guestOfNoShard {
		row.Granted += int64(units)
	} else {
		row, _ = row.Grant(int64(shard), int64(units), true)
	}
	m.send(s, i, row, write{kind: refill, shard: shard, guest: guest, window: w, units: units})
	return left, units, short
}

// leftOf is what a shard may still grant.
func (m *machine) leftOf(row quota.Row, shard int8) int8 {
	switch {
	case m.defect == shareNotDivided:
		return int8(max(row.Limit-row.Granted, 0))
	case m.defect == guestOfNoShard && int64(shard) >= row.Shards:
		row.Shards = int64(shard) + 1
	}
	return int8(row.Left(int64(shard)))
}

// chunk is how much to take where want is needed. Every request is taken for as
// small as the smallest.
func (m *machine) chunk(row quota.Row, want, left, demand int8) int8 {
	sharers := row.Sharers()
	return int8(quota.Chunk(quota.Ask{
		Want: int64(want), Floor: min(row.Limit/row.Shards/(4*sharers), int64(demand)/10),
		Demand: int64(demand), Left: int64(left), Holders: sharers,
	}))
}

// visit reads a shard that is not the home shard, for those whom that cannot
// serve.
func (m *machine) visit(s *State, i int, want, demand int8) {
	in := &s.all[i]
	f := in.flight
	in.flight = write{}
	m.roll(s, i)
	elsewhere := in.left
	if m.adopt(s, i, f.shard) || in.window-1 != f.window {
		in.left = 0
		return
	}
	left, units, _ := m.planRefill(s, i, f.shard, true, want, demand)
	in.left = max(left-units, elsewhere)
	if units == 0 {
		in.exhaust()
	}
}

// ahead reads the home row and plans to take a chunk of the next window.
func (m *machine) ahead(s *State, i int, demand int8) bool {
	m.roll(s, i)
	in := &s.all[i]
	w := in.window - 1
	if in.next > 0 || w+1 >= m.Windows {
		return false // Nobody could spend them.
	}
	shard, _, ready := m.home(s, i, w+1)
	if !ready || m.adopt(s, i, shard) {
		return true
	}
	row := m.rolled(s, i, shard, w)
	units := m.chunk(row, 0, int8(row.NextLeft(int64(shard))), demand)
	if units < 1 {
		return true
	}
	row, _ = row.GrantNext(int64(shard), int64(units), true)
	if m.defect == aheadNotCounted {
		row.NextGranted -= int64(units)
	}
	m.send(s, i, row, write{kind: reap, shard: shard, window: w + 1, units: units})
	return true
}

// trim asks for fewer shards if a request is too large for one.
func (m *machine) trim(s *State, i int) bool {
	in := &s.all[i]
	w := in.window - 1
	zero := &s.rows[0]
	if in.window == 0 || !zero.exists || zero.window > w || m.Shards[0] == 0 {
		return false
	}
	row := m.rolled(s, i, 0, w)
	if row.Shards < 2 || int64(in.amount)/row.Shards/quota.RequestsPerShard >= m.largest() {
		return false
	}
	smaller := row.Reshard(zero.unpack(), m.largest())
	if smaller.WantShards == row.WantShards {
		return false
	}
	m.send(s, i, smaller, write{kind: touch, window: w})
	return true
}

// largest is the request that the number of shards goes by. With so small limits
// even a request for one unit is too large for two shards; where that is not what
// is searched, requests count as smaller than that.
func (m *machine) largest() int64 {
	if m.Large {
		return 1
	}
	return 0
}

// home finds the shard to take from in a target window, and how many shards that
// has. It is not ready if shard 0 had to be read, or written, to know.
func (m *machine) home(s *State, i int, target int8) (shard int8, shards int64, ready bool) {
	in := &s.all[i]
	w := in.window - 1
	if n, ok := in.shardsAt(target); ok && n > 0 {
		if home := int8(int64(i) % n); home != 0 {
			return home, n, true
		}
	}
	zero := s.rows[0]
	if zero.exists && zero.window > w {
		return 0, 1, true
	}
	row := m.rolled(s, i, 0, w)
	shards = row.Shards
	if target != w {
		shards = row.NextShards
	}
	if int64(i)%shards == 0 {
		return 0, shards, true
	}
	in.settled.window, in.settled.shards, in.settled.next = zero.window+1, zero.shards, zero.nextShards
	if _, ok := in.shardsAt(target); !ok {
		if m.defect == shardsNotSettled {
			in.settled.window, in.settled.shards, in.settled.next = w+1, int8(row.Shards), int8(row.NextShards)
			return 0, 0, false
		}
		m.send(s, i, row, write{kind: touch, window: w})
	}
	return 0, 0, false
}

// adopt follows a row that is ahead, or knows of a later amount, and tells whether it
// was so.
func (m *machine) adopt(s *State, i int, shard int8) bool {
	r, in := &s.rows[shard], &s.all[i]
	switch {
	case !r.exists:
		return false
	case r.window > in.window-1 && m.defect != rowRolledBack:
		m.enter(s, i, r.window)
		return true
	case m.Since && r.since-1 > in.change && m.defect != earlierAmountWins:
		m.set(in, r.since-1)
		return true
	default:
		return false
	}
}

// rolled is a row as it stands in a window, with the amount in force and the
// numbers of shards that shard 0 settled.
func (m *machine) rolled(s *State, i int, shard, w int8) quota.Row {
	in := &s.all[i]
	stored := &s.rows[shard]
	row := m.inForce(quota.New(windowOf(w), int64(in.amount)), in)
	if stored.exists {
		row = m.inForce(stored.unpack().Roll(period, windowOf(w)), in)
		if m.defect == rowRolledBack && stored.window > w {
			row.Window, row.Granted, row.NextGranted = windowOf(w), 0, 0
		}
		switch m.defect {
		case cutIgnored:
			row.Limit = max(row.Limit, int64(m.Limit))
		case raiseAtOnce:
			row.Limit = int64(in.amount)
		}
	}
	if shard != 0 {
		if n, ok := in.shardsAt(w); ok {
			row.Shards = n
		}
		if n, ok := in.shardsAt(w + 1); ok {
			row.NextShards = n
		}
	}
	return row
}

// send puts a write on its way.
func (m *machine) send(s *State, i int, row quota.Row, f write) {
	if stored := &s.rows[f.shard]; f.shard == 0 && f.takes() && stored.exists {
		row = row.Reshard(stored.unpack(), m.largest())
		if m.defect == shardsChangeAtOnce {
			row.Shards = row.WantShards
		}
	}
	if amount := int64(s.all[i].amount); f.kind == refill && row.Granted > quota.Share(amount, row.Shards, int64(f.shard)) ||
		f.kind == reap && row.NextGranted > quota.Share(amount, row.NextShards, int64(f.shard)) {
		m.breaks(s, RuleShare)
	}
	if f.takes() || f.kind == check {
		f.told = m.told(&s.all[i])
	}
	f.current = true
	f.row = pack(row)
	s.all[i].flight = f
}

// takes tells whether a write takes units.
func (w *write) takes() bool {
	return w.kind == refill || w.kind == reap
}

// gives tells whether a write gives units back that must not be given back again.
func (w *write) gives() bool {
	return w.kind == give || w.kind == check
}
