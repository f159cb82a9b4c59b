package lease

import "spillway/shared/quota"

// Where amounts come with the moment at which they were set, that is the number of
// changes before: the limit and the other amount take turns.

// amountOf is the amount after so many changes.
func (c *Config) amountOf(changes int8) int8 {
	if changes%2 == 0 {
		return c.Limit
	}
	return c.Cut
}

// since is the moment of the amount after so many changes, as in a row.
func (c *Config) since(changes int8) int64 {
	if !c.Since {
		return 0
	}
	return int64(changes) + 1
}

// most is the largest of the amounts from one change to another.
func (c *Config) most(from, to int8) int8 {
	most := c.amountOf(from)
	if to > from {
		most = max(c.Limit, c.Cut)
	}
	return most
}

// inForce is a row with the amount in force that an instance knows of.
func (m *machine) inForce(row quota.Row, in *instance) quota.Row {
	switch {
	case !m.Since:
		return row.WithLimit(int64(in.amount))
	case m.defect == earlierAmountWins:
		row.LimitSince = 0
	}
	return row.WithLimitSince(int64(in.amount), m.since(in.change))
}

// set tells an instance the amount after so many changes.
func (m *machine) set(in *instance, changes int8) {
	in.change = changes
	in.tell(m.amountOf(changes))
	if m.defect != betweenUnseen {
		in.doubtful, in.doubtNext = true, in.next > 0
	}
}

// tell tells an instance an amount.
func (in *instance) tell(amount int8) {
	switch {
	case amount < in.amount:
		in.doubtful, in.doubtNext = true, in.next > 0
	case amount > in.amount:
		in.roomy() // There may be room in the rows again.
		if in.flight.kind != visit {
			in.left = 0
		}
	}
	in.amount = amount
}

// told is what an instance takes for in force: an amount, or where amounts come with
// their moment the number of changes before.
func (m *machine) told(in *instance) int8 {
	if m.Since {
		return in.change
	}
	return in.amount
}

// doubts tells whether the lease has to be held against its row before it is spent, or
// added to.
func (m *machine) doubts(in *instance) bool {
	return in.doubtful && in.remaining > 0
}

// recheck reads the home row after a cut, and plans to give back what of the lease the
// row has granted beyond its share, and to tell the others of the cut.
func (m *machine) recheck(s *State, i int) {
	m.roll(s, i)
	in := &s.all[i]
	if !m.doubts(in) {
		return
	}
	w := in.window - 1
	shard, _, ready := m.home(s, i, w)
	if !ready || m.adopt(s, i, shard) {
		return
	}
	row := m.rolled(s, i, shard, w)
	units := min(in.remaining, int8(row.Over(int64(shard))))
	row, _ = row.GiveBack(row.Window, int64(units))
	in.remaining -= units
	in.granted -= units
	stored := &s.rows[shard]
	known := !stored.exists || pack(row) == pack(stored.unpack().Roll(period, windowOf(w))) || units == 0 && m.defect == cutNotWritten
	in.doubtful = !known && m.defect != cutSpentMeanwhile || row.Over(int64(shard)) > 0
	if !known {
		m.send(s, i, row, write{kind: check, shard: shard, window: w, units: units, over: row.Over(int64(shard)) > 0, generation: true})
	}
}
