package browser

import (
	"fmt"
	"os"
	"path/filepath"
)

// Violation is a rule of accessibility that a page breaks.
type Violation struct {
	ID, Impact, Help string // impact: minor, moderate, serious or critical
	Nodes            []struct{ HTML, FailureSummary string }
}

// String tells the rule, and the first place that breaks it.
func (v Violation) String() string {
	return fmt.Sprintf("%s (%s): %s, at %d places\n%s\n%s", v.ID, v.Impact, v.Help, len(v.Nodes), v.Nodes[0].HTML, v.Nodes[0].FailureSummary)
}

// Violations holds what the page shows to the rules of axe-core.
func (p *Page) Violations() []Violation {
	p.t.Helper()
	axe, err := os.ReadFile(filepath.Join(p.browser.installed.folder, "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		p.t.Fatalf("browser: %v", err)
	}
	p.Evaluate("window.axe ? 1 : ("+fmt.Sprintf("(() => {%s})()", axe)+", 1)", nil)
	var violations []Violation
	p.Evaluate("axe.run(document).then((results) => results.violations)", &violations)
	return violations
}
