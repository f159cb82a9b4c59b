package lease

import "fmt"

// Rule is something that must hold in every state.
type Rule int8

// The rules.
const (
	// RuleLimit: the units of a window that are spent, by all instances together,
	// are at most the limit (and what requests took beyond their reservation, as
	// long as it is not paid).
	RuleLimit Rule = iota + 1
	// RuleGranted: no more is spent than the rows have granted.
	RuleGranted
	// RuleHeld: no more is spent, held and lost than the rows have granted.
	RuleHeld
	// RuleAfter: a unit is not spent after its window, by the instance's clock.
	RuleAfter
	// RuleBefore: a unit is not spent before its window, by the instance's clock
	// and the rows, which are a clock as well.
	RuleBefore
	// RuleBack: a row never moves to an earlier window.
	RuleBack
	// RuleShare: a row grants nothing beyond its share of the amount that the
	// instance was told.
	RuleShare
	// RuleRaise: within a window, the limit in a row only falls, unless one was set
	// later.
	RuleRaise
	// RuleLater: a row never goes back to an amount that was set earlier.
	RuleLater
	// RuleCut: an instance spends within the amount that it knows of, all that others
	// have spent included, or within one that was set later.
	RuleCut
	// RuleExhausted: that a row could not serve says nothing of the next window.
	RuleExhausted
	// RuleOld: nobody is refused by what is old knowledge of the rows.
	RuleOld
	// RuleAsks: time passes before rows that could not serve are asked again.
	RuleAsks
)

// String names the rule.
func (r Rule) String() string {
	return [...]string{"", "spent ≤ limit", "spent ≤ granted", "spent + held ≤ granted", "not spent after its window",
		"not spent before its window", "the row never moves back", "granted ≤ share of the amount", "the limit only falls", "the later amount stays",
		"spent ≤ the amount known", "exhausted ends with its window", "old knowledge refuses nobody", "asked again after a while"}[r]
}

// Broken is a rule that a state breaks.
type Broken struct {
	Rule   Rule
	Window int8 // For a rule about a window.
}

// Error says which rule is broken, and in which window.
func (b *Broken) Error() string {
	return fmt.Sprintf("broken: %v (window %d)", b.Rule, b.Window)
}

// breaks notes that a step breaks a rule.
func (m *machine) breaks(s *State, r Rule) {
	if m.only == 0 || m.only == r {
		s.broken = r
	}
}

// check says which rule a state breaks.
func (m *machine) check(s State) error {
	if s.broken != 0 {
		return &Broken{Rule: s.broken}
	}
	limit := max(m.Limit, m.Cut)
	for w := range m.Windows {
		granted := s.granted(w)
		held, owed := s.held(w)
		switch {
		case s.spent[w] > limit+owed && m.checks(RuleLimit):
			return &Broken{RuleLimit, w}
		case s.spent[w] > granted+owed && m.checks(RuleGranted):
			return &Broken{RuleGranted, w}
		case s.spent[w]+held+s.lost[w] > granted+owed && m.checks(RuleHeld):
			return &Broken{RuleHeld, w}
		}
	}
	return nil
}

func (m *machine) checks(r Rule) bool {
	return m.only == 0 || m.only == r
}

// held is how many units of a window the instances may still spend, and how many
// were spent that are not paid.
func (s *State) held(w int8) (held, owed int8) {
	owed = s.dropped[w]
	for i := range s.all {
		in := &s.all[i]
		switch {
		case in.window == 0:
		case w == in.window-1:
			owed += max(-in.remaining, 0)
			held += max(in.remaining, 0)
		case w == in.window:
			held += in.next
		}
	}
	return held, owed
}
