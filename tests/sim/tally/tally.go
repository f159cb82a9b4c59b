// Package tally counts what simulations have exercised.
package tally

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Counts is how often each thing has happened, by its name. It is not safe for
// concurrent use.
type Counts map[string]int64

// Most begins the names of figures of which the greatest counts, not the sum.
const Most = "most "

// Merge adds what others have counted.
func (c Counts) Merge(others Counts) {
	for name, n := range others {
		if strings.HasPrefix(name, Most) {
			c[name] = max(c[name], n)
			continue
		}
		c[name] += n
	}
}

// Missing returns what has happened less often than wanted, in the order of the
// names: a run that did not exercise it proves nothing.
func (c Counts) Missing(wanted Counts) []string {
	var missing []string
	for name, n := range wanted {
		if c[name] < n {
			missing = append(missing, fmt.Sprintf("%s: %d of at least %d", name, c[name], n))
		}
	}
	slices.Sort(missing)
	return missing
}

// String is a table, one line each, in the order of the names.
func (c Counts) String() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(c)) {
		fmt.Fprintf(&b, "%12d  %s\n", c[name], name)
	}
	return b.String()
}
