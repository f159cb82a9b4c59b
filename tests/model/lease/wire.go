package lease

// wire is what happens to a write between an instance and the store.
func (m *machine) wire(s State, i int, step stepper) {
	f := s.all[i].flight
	if f.kind == none || f.kind == visit {
		return
	}
	if f.doubted {
		m.looksFor(&s, i)
		step(says[looksForIt][i], s)
		return
	}
	if f.landed {
		m.answered(&s, i)
		step(says[answers][i], s)
		return
	}
	if f.current || m.defect == writeWithoutCondition {
		m.lands(s, i, step)
	} else {
		n := s
		if m.defect == conflictIsSuccess {
			m.answered(&n, i)
		} else {
			m.conflict(&n, i)
		}
		step(says[conflicts][i], n)
	}
	if s.budget.Request > 0 {
		n := s
		n.budget.Request--
		m.doubt(&n, i)
		step(says[requestLost][i], n)
		n = s
		n.budget.Request--
		m.refusedWrite(&n, i)
		step(says[unavailable][i], n)
	}
	if f.current && s.budget.Late > 0 && s.late.kind == none {
		n := s
		n.budget.Late--
		n.late = f
		n.late.by = int8(i)
		m.doubt(&n, i)
		if f.takes() {
			n.late.owner = int8(i) + 1
		}
		n.late.lost = f.takes() && n.all[i].pending.units == 0
		step(says[gaveUp][i], n)
	}
}

// lands makes a write happen. Its answer comes at once, or is lost, or comes when
// the lease may be another one: between these, nothing that the instance does
// depends on it.
func (m *machine) lands(s State, i int, step stepper) {
	f := s.all[i].flight
	s.all[i].flight.landed = true
	s.all[i].flight.row = row{}
	if f.kind == touch {
		s.all[i].flight.row = f.row
	}
	m.land(&s, f, int8(i)+1)
	n := s
	m.answered(&n, i)
	step(says[lands][i], n)
	if s.budget.Answer > 0 {
		n = s
		n.budget.Answer--
		m.doubt(&n, i)
		step(says[answerLost][i], n)
	}
	if s.budget.Twice > 0 {
		n = s
		n.budget.Twice--
		m.conflict(&n, i)
		step(says[sentTwice][i], n)
	}
	if in := &s.all[i]; in.clock+1 < m.Windows || s.budget.Die > 0 {
		step(says[answersLate][i], s)
	}
}

// land makes a write happen. Everyone else's write of that row will find that the
// row has changed. nonce is who may wonder about it.
func (m *machine) land(s *State, f write, nonce int8) {
	r := &s.rows[f.shard]
	if r.exists {
		if f.row.window < r.window {
			m.breaks(s, RuleBack)
		}
		if f.row.window == r.window && f.row.limit > r.limit && f.row.since == r.since {
			m.breaks(s, RuleRaise)
		}
		if f.row.since < r.since {
			m.breaks(s, RuleLater)
		}
		if f.row.window > r.window {
			s.past[r.window] += r.granted
		}
		if f.row.window > r.window+1 {
			s.past[r.window+1] += r.nextGranted
		}
	}
	last, before := r.nonce, r.before
	*r = f.row
	switch {
	case f.kind == roll:
		r.nonce, r.before = last, before
	case f.takes():
		r.nonce, r.before = nonce, last
	default:
		r.nonce, r.before = 0, last
	}
	for j := range s.all {
		in := &s.all[j]
		if w := &in.flight; w.kind != none && w.kind != visit && w.shard == f.shard {
			w.current = w.current && w.landed
			if m.Faults.Twice > 0 && w.gives() && f.kind != roll {
				w.since = min(w.since+1, remembered+1)
			}
		}
		if m.defect == recallAnyNonce && in.pending.units > 0 && in.pending.shard == f.shard {
			in.pending.changed = true
		}
	}
	if s.late.kind != none && s.late.shard == f.shard {
		s.late = write{} // It will not happen.
	}
}

// landLate makes the write happen whose client has given up.
func (m *machine) landLate(s State, step stepper) {
	f := s.late
	m.land(&s, f, f.owner)
	in := &s.all[f.by]
	switch {
	case f.owner > 0:
		in.pending.landed = true
	case f.lost:
		m.lose(&s, f.window, f.units)
		if m.defect == lateAnswerTaken && in.window == f.window+1 {
			in.granted += f.units
			in.remaining += f.units
		}
	}
	step(landsLate, s)
}

// answered is a write that succeeded.
func (m *machine) answered(s *State, i int) {
	in := &s.all[i]
	f := in.flight
	in.flight = write{}
	switch f.kind {
	case refill, reap:
		s.stopWondering(i)
		m.apply(s, i, f.window, f.units, f.told, f.guest, f.kind == reap)
		switch {
		case f.guest && in.window-1 == f.window:
			in.exhaust()
		case f.guest:
			in.left = 0
		case f.look && in.window-1 == f.window:
			in.roomy() // As it has turned out.
			in.left = 0
		}
	case give:
		if m.defect == refundWhileSpending {
			in.remaining -= min(f.units, in.remaining)
			in.next -= min(f.next, in.next)
		}
		if f.generation {
			in.roomy() // There is room in the row again.
			in.left = 0
		}
	case check:
		in.doubtful = in.doubtful && (!f.generation || f.told != m.told(in) || f.over)
	case touch:
		in.settled.window, in.settled.shards, in.settled.next = f.row.window+1, f.row.shards, f.row.nextShards
	}
}

// refusedWrite is a write that certainly did not happen.
func (m *machine) refusedWrite(s *State, i int) {
	in := &s.all[i]
	f := in.flight
	in.flight = write{}
	in.unvisit(f)
	if f.kind == check && m.defect == cutForgotten {
		in.doubtful = false
	}
	if f.kind != give && f.kind != check || m.defect == refundWhileSpending {
		return
	}
	if f.generation || m.defect == conflictIntoNewerLease {
		in.remaining += f.units
		in.granted += f.units
	}
	if in.window-1 == f.window {
		in.next += f.next
	}
}

// conflict is the answer that the row had changed. What takes units believes it: if it is
// wrong they are lost. What gives units back looks first, where answers may be wrong.
func (m *machine) conflict(s *State, i int) {
	f := &s.all[i].flight
	switch {
	case f.gives() && m.Faults.Twice > 0 && m.defect != conflictBelieved:
		f.doubted, f.row = true, row{}
	case f.landed && f.takes():
		m.lose(s, f.window, f.units)
		s.stopWondering(i)
		m.refusedWrite(s, i)
	default:
		m.refusedWrite(s, i)
	}
}

// looksFor reads whether a write happened whose answer was a conflict: the row says so as
// long as it remembers the write, or the one before.
func (m *machine) looksFor(s *State, i int) {
	f := s.all[i].flight
	switch {
	case f.landed && f.since <= remembered:
		m.answered(s, i)
	case !f.landed && f.since < remembered, m.defect == forgottenIsNone:
		m.refusedWrite(s, i)
	default:
		m.doubt(s, i)
	}
}

// unvisit forgets what a visit has seen that came to nothing.
func (in *instance) unvisit(f write) {
	if f.guest && in.exhausted == 0 {
		in.left = 0
	}
}

// doubt is a write whose answer does not come: what it takes is pending, what it
// gives back counts as given back.
func (m *machine) doubt(s *State, i int) {
	in := &s.all[i]
	f := in.flight
	switch {
	case f.takes() && m.defect == doubtIsSuccess, f.kind == give && m.defect == refundWhileSpending:
		m.answered(s, i)
		return
	case f.kind == give && m.defect == refundAgain:
		m.refusedWrite(s, i)
		return
	}
	in.flight = write{}
	in.unvisit(f)
	if f.takes() {
		in.pending = pending{units: f.units, window: f.window, shard: f.shard, told: f.told, guest: f.guest, ahead: f.kind == reap, landed: f.landed}
		if m.defect == recallAnyNonce {
			in.pending.changed = f.landed || !f.current
		}
	}
}

// recall reads whether the pending write happened.
func (m *machine) recall(s *State, i int) {
	m.roll(s, i)
	in := &s.all[i]
	p := in.pending
	r := &s.rows[p.shard]
	mine := p.window >= in.window-1 && (r.nonce == int8(i)+1 || r.before == int8(i)+1)
	if m.defect == recallAnyNonce {
		mine = p.window >= in.window-1 && p.changed
	}
	if !mine {
		m.forgo(s, i)
		return
	}
	in.pending = pending{}
	s.stopWondering(i)
	m.apply(s, i, p.window, p.units, p.told, p.guest, p.ahead)
}

// forgo counts the units of the pending write as lost.
func (m *machine) forgo(s *State, i int) {
	in := &s.all[i]
	p := in.pending
	in.pending = pending{}
	s.stopWondering(i)
	if p.landed {
		m.lose(s, p.window, p.units)
	}
	if s.late.owner == int8(i)+1 {
		s.late.owner, s.late.lost = 0, true
	}
}

// stopWondering drops an instance's nonce: nobody will look for it again.
func (s *State) stopWondering(i int) {
	for k := range s.rows {
		for _, nonce := range []*int8{&s.rows[k].nonce, &s.rows[k].before} {
			if *nonce == int8(i)+1 {
				*nonce = 0
			}
		}
	}
}

// lose notes units that a row granted and that nobody will spend.
func (m *machine) lose(s *State, w, units int8) {
	if m.Lost {
		s.lost[w] += units
	}
}

// apply adds granted units to the lease they are for.
func (m *machine) apply(s *State, i int, w, units, told int8, guest, ahead bool) {
	m.roll(s, i)
	in := &s.all[i]
	switch now := in.window - 1; {
	case w == now || m.defect == aheadIntoAnyLease:
		in.granted += units
		in.remaining += units
		switch current := told == m.told(in); {
		case !current:
			in.doubtful = m.defect != cutNotCheckedLate
		case !ahead && !guest:
			in.doubtful = false
		}
		if in.exhausted > 0 && !guest {
			in.left = max(in.left-units, 0)
		}
	case w > now:
		in.next, in.doubtNext = units, told != m.told(in)
	default:
		m.lose(s, w, units)
	}
}
