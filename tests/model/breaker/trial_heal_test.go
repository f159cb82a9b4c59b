package breaker

import (
	"errors"
	"slices"

	"spillway/shared/breaker/rule"
	"spillway/tests/model/search"
)

// healing is the model with the rule that from every state, once the store is
// well and the deployment too, all come to agree that the breaker is closed: no
// trial is forgotten, and no state is a trap.
func (m trials) healing() search.Model[state] {
	model := m.model()
	model.Check = func(s state) error {
		if err := m.check(s); err != nil {
			return err
		}
		return m.heals(s)
	}
	return model
}

// goodSteps are what happens when all is well.
var goodSteps = []string{
	"claim written", "claim: conflict", "answer of the claim", "recognize the claim", "success", "success, though taken over",
	"outcome that counts no more", "read", "publication written", "read to claim",
}

func (m trials) heals(s state) error {
	m.last = maxTrials
	for i := range m.instances {
		s.instances[i].late = flight{}
	}
	s.faults, s.crashes, s.openings = 0, 0, 0
	// Until every open time and every trial is over.
	s.now += 1 + moment(settings.TrialFor/tick)
	for range 50 {
		next, ok := m.good(s)
		if !ok {
			break
		}
		s = next
	}
	closed := s.row.state == rule.Closed
	for i := range m.instances {
		x := &s.instances[i]
		closed = closed && x.facts == s.row && !x.news && x.phase == idle
	}
	if !closed {
		return errors.New("it does not close again: " + s.String())
	}
	return nil
}

// good takes the first good step that changes something.
func (m trials) good(s state) (next state, ok bool) {
	for i := range m.instances {
		m.happen(s, i, func(label string, after state) {
			if after = m.canonical(after); !ok && after != s && slices.Contains(goodSteps, label) {
				next, ok = after, true
			}
		})
	}
	return next, ok
}
