// Package verdict holds what the judges of simulations find.
package verdict

import (
	"fmt"
	"time"
)

// Violation is something that was done and must not be.
type Violation struct {
	Rule string        // the rule that was broken, as a judge names it
	At   time.Duration // when, from the beginning of the run
	What string        // what was done, for a person
}

// String is the violation in one line.
func (v Violation) String() string { return fmt.Sprintf("at %v: %s: %s", v.At, v.Rule, v.What) }
