package lease

import (
	"spillway/shared/quota"
	"spillway/tests/model/search"
)

// Config is what may happen in a search.
type Config struct {
	Name    string
	Limit   int8   // The limit, in units.
	Windows int8   // Windows that a clock may be in.
	Skip    bool   // A clock may pass two edges at once.
	Sizes   []int8 // What requests ask for.
	Settle  bool   // Requests may be settled for less than they reserved.
	Give    bool   // Units are given back.
	Surplus bool   // An instance may keep some of them.
	Ahead   bool   // Units of the next window are taken.
	Look    bool   // Rows that could not serve are asked again after a while.
	Cut     int8   // The other amount that an instance may be told.
	Since   bool   // Amounts come with the moment at which they were set.
	Faults  Faults
	// Shards are the numbers of shards of the first window, of the second and of
	// those after; all 0: no row exists yet.
	Shards [3]int8
	// Crowd says that many others have taken from shard 0 in the first window.
	Crowd bool
	// Large says that requests are large for a shard, so that instances ask for
	// fewer shards.
	Large bool
	// Lost keeps account of units that were counted as lost.
	Lost bool
}

// Model returns the model of a configuration, with a defect built in, or Sound.
// With a rule, only that one is checked; with 0, all are.
func Model(c Config, d Defect, only Rule) search.Model[State] {
	m := &machine{Config: c, defect: d, only: only}
	return search.Model[State]{
		Initial: []State{c.initial()},
		Next:    m.next,
		Check:   m.check,
	}
}

// reduced is a smaller search of the same kind.
func (c Config) reduced() Config {
	c.Limit, c.Cut = min(c.Limit, 2), min(c.Cut, 1)
	c.Windows, c.Skip = 2, false
	c.Sizes = c.Sizes[:1]
	c.Settle = c.Settle && !c.Ahead
	c.Faults.Crash, c.Faults.Request = 0, 0
	c.Faults.Late, c.Faults.Debt, c.Faults.Cut = min(c.Faults.Late, 1), min(c.Faults.Debt, 1), min(c.Faults.Cut, 1)
	if c.Ahead {
		c.Faults.Answer, c.Faults.Die, c.Faults.Timer = 0, 0, 0
	}
	return c
}

// initial is the state before anything has happened.
func (c *Config) initial() State {
	s := State{budget: c.Faults}
	for i := range s.all {
		s.all[i].amount = c.Limit
	}
	if c.Shards[0] == 0 {
		return s
	}
	for i := range c.Shards[0] {
		r := quota.New(windowOf(0), int64(c.Limit))
		r.Shards = int64(c.Shards[0])
		r.LimitSince = c.since(0)
		if i == 0 {
			r.NextShards, r.WantShards = int64(c.Shards[1]), int64(c.Shards[2])
			if c.Crowd {
				r.Holders = crowd
			}
		}
		s.rows[i] = pack(r)
	}
	return s
}

// machine makes the steps of a model. It does not change.
type machine struct {
	Config
	defect Defect
	only   Rule // 0: all rules.
}

// stepper takes a step to a state.
type stepper func(label string, s State)

// next lists everything that may happen.
func (m *machine) next(s State, step func(string, State)) {
	take := func(label string, n State) {
		n.forget()
		step(label, n)
	}
	for i := range s.all {
		m.time(s, i, take)
		m.requests(s, i, take)
		m.fly(s, i, take)
		m.wire(s, i, take)
	}
	m.timer(s, take)
	if m.Since && s.budget.Cut > 0 {
		n := s
		n.budget.Cut--
		n.changes++
		take(amountSet, n)
	}
	if s.late.kind != none {
		m.landLate(s, take)
	}
}

// time is what happens to an instance by itself.
func (m *machine) time(s State, i int, step stepper) {
	in := &s.all[i]
	if in.clock+1 < m.Windows {
		n := s
		n.all[i].clock++
		step(says[tick][i], n)
	}
	if m.Skip && in.clock+2 < m.Windows {
		n := s
		n.all[i].clock += 2
		step(says[skip][i], n)
	}
	if s.budget.Crash > 0 {
		n := s
		n.budget.Crash--
		m.crash(&n, i)
		step(says[crash][i], n)
		if w := &s.all[i].flight; w.kind != none && w.kind != visit && !w.landed && w.current && s.budget.Late > 0 && s.late.kind == none {
			n.budget.Late--
			n.late = *w
			n.late.by, n.late.lost = int8(i), w.takes()
			step(says[crashLate][i], n)
		}
	}
	if m.Look && in.exhausted > 0 && (!in.old || in.asked) {
		n := s
		n.all[i].old, n.all[i].asked = true, false
		step(says[ages][i], n)
	}
	if s.budget.Die > 0 && in.window > 0 && in.window-1 >= in.clock {
		n := s
		n.budget.Die--
		m.enter(&n, i, in.window-1)
		step(says[die][i], n)
	}
	switch n := s; {
	case m.Since && in.change < s.changes:
		m.set(&n.all[i], s.changes)
		step(says[learns][i], n)
	case !m.Since && s.budget.Cut > 0:
		n.budget.Cut--
		n.all[i].tell(m.Limit + m.Cut - in.amount)
		step(says[reconfigure][i], n)
	}
}

// timer is a run of the housekeeping, which moves a row on to a window that some
// clock has reached. To read and to write is one step: it tries again by itself.
func (m *machine) timer(s State, step stepper) {
	if s.budget.Timer == 0 {
		return
	}
	reached := max(s.all[0].clock, s.all[1].clock)
	for shard, r := range s.rows {
		for w := r.window + 1; r.exists && w <= reached; w++ {
			n := s
			n.budget.Timer--
			m.land(&n, write{kind: roll, shard: int8(shard), row: pack(r.unpack().Roll(period, windowOf(w)))}, 0)
			step(timerRolls, n)
		}
	}
}

// crash starts an instance anew. Its clock is the machine's.
func (m *machine) crash(s *State, i int) {
	in := &s.all[i]
	s.drop(i)
	if w := in.flight; w.landed && w.takes() {
		m.lose(s, w.window, w.units)
		s.stopWondering(i)
	}
	if in.pending.units > 0 {
		m.forgo(s, i)
	}
	*in = instance{clock: in.clock, amount: in.amount, change: in.change}
}

// roll starts the lease of the window that the clock is in, if it is over.
func (m *machine) roll(s *State, i int) {
	in := &s.all[i]
	if m.defect == leaseNotExpired && in.window > 0 {
		return
	}
	if in.clock >= in.window {
		m.enter(s, i, in.clock)
	}
}

// enter starts the lease of a window: empty, or what was taken ahead for it.
func (m *machine) enter(s *State, i int, w int8) {
	in := &s.all[i]
	s.drop(i)
	before := in.window - 1
	in.granted, in.remaining = 0, 0
	in.doubtful = false
	if in.window > 0 && w == before+1 {
		in.granted, in.remaining = in.next, in.next
		in.doubtful = in.doubtNext && m.defect != cutNotCheckedAhead
		if m.defect == aheadCountedTwice {
			in.granted, in.remaining = 2*in.next, 2*in.next
		}
	} else if m.defect == aheadOutlives {
		in.granted, in.remaining = in.next, in.next
	}
	if w > before {
		in.next, in.doubtNext = 0, false
	}
	in.window = w + 1
	in.open.current = false
	in.flight.generation = false
	if m.defect != exhaustedOutlives {
		in.roomy()
		if in.flight.kind != visit {
			in.left = 0
		}
	}
}

// drop forgets a debt.
func (s *State) drop(i int) {
	if in := &s.all[i]; in.remaining < 0 {
		s.dropped[in.window-1] -= in.remaining
	}
}

// requests is what users do at an instance.
func (m *machine) requests(s State, i int, step stepper) {
	for _, n := range m.Sizes {
		t := s
		if w, ok := m.reserve(&t, i, n); ok {
			step(says[spend][i], t)
			if m.Settle && t.all[i].open.units == 0 {
				t.all[i].open = reservation{units: n, window: w, current: true}
				step(says[reserve][i], t)
			}
		} else if t != s {
			step(says[refuse][i], t)
		}
	}
	in := &s.all[i]
	if in.open.units == 0 {
		return
	}
	for actual := range in.open.units {
		step(says[settle][i], m.settle(s, i, in.open.units-actual))
	}
	if s.budget.Debt > 0 {
		n := s
		n.budget.Debt--
		step(says[overrun][i], m.settle(n, i, -1))
	}
}

// reserve is Limit.Reserve, as far as it needs no store: it tells whether the
// units were taken, and of which window they are.
func (m *machine) reserve(s *State, i int, n int8) (w int8, ok bool) {
	m.roll(s, i)
	in := &s.all[i]
	if m.defect == aheadSpentEarly && n > in.remaining && n <= in.remaining+in.next {
		in.next -= n
		m.spend(s, i, in.window, n)
		return in.window, true
	}
	if m.defect == oldGrants && in.old && in.short(n) && in.used()+n <= in.amount {
		in.granted += n
		m.spend(s, i, in.window-1, n)
		return in.window - 1, true
	}
	if !m.fits(in, n) {
		if refused := m.refused(in, n) && in.used()+n <= in.amount; refused && in.exhausted != in.window {
			m.breaks(s, RuleExhausted)
		} else if refused && in.old {
			m.breaks(s, RuleOld)
		}
		return 0, false
	}
	in.remaining -= n
	m.spend(s, i, in.window-1, n)
	return in.window - 1, true
}

// spend notes that units of a window are spent now.
func (m *machine) spend(s *State, i int, w, n int8) {
	s.spent[w] += n
	reached := s.all[i].clock
	for _, r := range s.rows {
		if r.exists {
			reached = max(reached, r.window) // The rows are a clock as well.
		}
	}
	switch {
	case w < s.all[i].clock:
		m.breaks(s, RuleAfter)
	case w > reached:
		m.breaks(s, RuleBefore)
	}
	if m.Since && s.spent[w] > m.most(s.all[i].change, s.changes) {
		m.breaks(s, RuleCut)
	}
}

func (m *machine) fits(in *instance, n int8) bool {
	return n <= in.remaining && (!in.doubtful || m.defect == cutNotChecked) && in.used()+n <= in.amount
}

// refused tells whether a request that does not fit has no room for certain.
func (m *machine) refused(in *instance, n int8) bool {
	known := !in.old || m.defect == oldRefuses
	return in.used()+n > in.amount || in.short(n) && known && m.defect != asksAtOnce
}

// short tells whether the rows had no room for n units when they were last seen.
func (in *instance) short(n int8) bool {
	return in.exhausted > 0 && n-in.remaining > in.left
}

// exhaust notes that the rows, as just seen, could not serve.
func (in *instance) exhaust() {
	in.exhausted, in.old, in.asked = in.window, false, true
}

// roomy notes that the rows may be able to serve.
func (in *instance) roomy() {
	in.exhausted, in.old, in.asked = 0, false, false
}

// settle gives units of the open reservation back to its lease; fewer than zero:
// takes more.
func (m *machine) settle(s State, i int, refund int8) State {
	in := &s.all[i]
	r := in.open
	in.open = reservation{}
	s.spent[r.window] -= refund
	switch {
	case r.current || m.defect == settleIntoNewerLease && in.window > 0:
		if refund < 0 && m.defect == debtForgotten {
			refund = 0
		}
		in.remaining += refund
	case refund < 0:
		s.dropped[r.window] -= refund
	}
	return s
}

// forget drops what can make no difference any more: the accounts of windows that
// nobody can spend in. It makes states equal that differ only in history.
func (s *State) forget() {
	first := int8(most)
	for i := range s.all {
		in := &s.all[i]
		if in.window > 0 {
			first = min(first, in.window-1)
		}
		if in.window == 0 || s.budget.Crash > 0 {
			first = min(first, in.clock) // Where it starts.
		}
	}
	for w := range first {
		s.spent[w], s.past[w], s.dropped[w], s.lost[w] = 0, 0, 0, 0
	}
}
