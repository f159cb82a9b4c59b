package breaker

import (
	"fmt"
	"strings"

	"spillway/shared/breaker/rule"
)

// String shows a state in one line.
func (s state) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "at %d row %v", s.now, s.row)
	for _, x := range s.instances {
		if x == (instance{}) {
			continue
		}
		fmt.Fprintf(&b, " | +%d %v", x.ahead, x.facts)
		if x.news {
			b.WriteString(" news")
		}
		if x.lost != 0 {
			fmt.Fprintf(&b, " lost %s", nonces[x.lost])
		}
		if x.phase != idle {
			fmt.Fprintf(&b, " phase %d %v", x.phase, x.draft.facts)
		}
		if x.request != none {
			fmt.Fprintf(&b, " request %d until %d", x.request, x.deadline)
		}
		if x.late.there {
			fmt.Fprintf(&b, " late %v", x.late.facts)
		}
	}
	return b.String()
}

// unused returns a nonce that is in use nowhere.
func (s *state) unused() nonce {
	var used [maxNonces]bool
	s.eachNonce(func(n *nonce) { used[*n] = true })
	for n := nonce(1); ; n++ {
		if !used[n] {
			return n
		}
	}
}

// eachNonce visits every nonce of the state.
func (s *state) eachNonce(visit func(*nonce)) {
	visit(&s.row.nonce)
	for i := range s.instances {
		x := &s.instances[i]
		visit(&x.facts.nonce)
		visit(&x.lost)
		visit(&x.draft.facts.nonce)
		visit(&x.late.facts.nonce)
	}
}

// canonical makes one of the states that differ in nothing that matters: in the
// names of the instances and of the nonces, in requests that are over, in what a
// write that cannot be applied would have written.
func (m trials) canonical(s state) state {
	for i := range m.instances {
		x := &s.instances[i]
		now := s.now + x.ahead
		over := now >= x.deadline && (!x.counts || x.facts.real().Late(now.time()))
		if x.request != none && over && m.defect != ignoresDeadline && m.defect != acceptsLateResult {
			x.request, x.deadline, x.counts, x.openUntil = none, 0, false, 0
		}
		if x.phase == claiming && !x.draft.current && m.defect != writesWithoutIfMatch {
			x.draft = flight{there: true}
		}
	}
	m.forget(&s)
	for i := 1; i < m.instances; i++ {
		for k := i; k > 0 && s.instances[k].order() < s.instances[k-1].order(); k-- {
			s.instances[k], s.instances[k-1] = s.instances[k-1], s.instances[k]
		}
	}
	var names [maxNonces]nonce
	last := nonce(0)
	s.eachNonce(func(n *nonce) {
		if *n != 0 && names[*n] == 0 {
			last++
			names[*n] = last
		}
		*n = names[*n]
	})
	return s
}

// forget drops what no step and no rule looks at any more: a nonce that was never
// written, the ghosts of trials that are over.
func (m trials) forget(s *state) {
	var uses [maxNonces]int8
	s.eachNonce(func(n *nonce) { uses[*n]++ })
	var expected [maxTrials + 1]bool
	for i := range m.instances {
		x := &s.instances[i]
		if uses[x.lost] == 1 {
			x.lost = 0
		}
		if x.phase == answering {
			expected[x.draft.facts.trial] = true
		}
	}
	for k := range s.row.trial + 1 {
		if k < s.row.trial || s.row.state != rule.HalfOpen {
			s.outcomes[k] = unknown
			s.owned[k] = s.owned[k] && expected[k]
		}
	}
}

// order is a number by which instances are put in order. Two that differ may
// have the same: then a state is searched more often than it must be.
func (x *instance) order() uint64 {
	n := uint64(x.ahead)
	for _, part := range [...]struct {
		value uint64
		bits  uint
	}{
		{x.facts.order(), 13}, {flag(x.news), 1}, {flag(x.fresh), 1}, {flag(x.lost != 0), 1},
		{uint64(x.phase), 2}, {x.draft.facts.order(), 13}, {uint64(x.request), 2}, {uint64(x.deadline), 5},
		{uint64(x.openUntil), 5}, {flag(x.counts), 1}, {x.late.facts.order(), 13}, {flag(x.draft.current), 1}, {flag(x.late.there), 1},
	} {
		n = n<<part.bits | part.value
	}
	return n
}

func (f facts) order() uint64 {
	return uint64(f.state)<<11 | uint64(f.until)<<6 | uint64(f.opens)<<4 | uint64(f.trial)
}

func flag(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
