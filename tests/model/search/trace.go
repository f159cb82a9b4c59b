package search

import (
	"fmt"
	"strings"
)

// Violation is a rule that was broken, and a shortest way there.
type Violation struct {
	// Err is what Check or CheckStep said.
	Err error
	// Trace are the steps from an initial state, the last one breaks the rule.
	Trace []Step
}

// Step is one step of a trace.
type Step struct {
	// Label is the name that the model gave the step, "initial" for the first.
	Label string
	// State is the state after it, as fmt prints it with %+v.
	State string
}

// String is the rule that was broken and the trace, a line for each step.
func (v *Violation) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v\n", v.Err)
	for i, s := range v.Trace {
		fmt.Fprintf(&b, "%3d. %-40s %s\n", i, s.Label, s.State)
	}
	return b.String()
}

// trace finds the way to a finding: the chain of predecessors is known by
// fingerprint, and the states are found again by walking it forward.
func (e *explorer[S]) trace(f *finding[S]) []Step {
	last := f.state
	if f.step {
		last = f.before
	}
	chain := e.visited.chain(last)
	var steps []Step
	var at S
	for _, s := range e.model.Initial {
		if e.visited.same(s, chain[0]) {
			at = s
			break
		}
	}
	steps = append(steps, describe("initial", at))
	for _, id := range chain[1:] {
		var label string
		var to S
		found := false
		e.model.Next(at, func(l string, next S) {
			if !found && e.visited.same(next, id) {
				label, to, found = l, next, true
			}
		})
		at = to
		steps = append(steps, describe(label, at))
	}
	if f.step {
		found := false
		e.model.Next(at, func(l string, next S) {
			if !found && next == f.state {
				found = true
				steps = append(steps, describe(l, next))
			}
		})
	}
	return steps
}

func describe[S comparable](label string, s S) Step {
	return Step{Label: label, State: fmt.Sprintf("%+v", s)}
}
