// Package tally writes down what simulations have counted.
package tally

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Table returns the counts as a table, one line each, in the order of their names.
func Table(counts map[string]int64) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(&b, "%12d  %s\n", counts[name], name)
	}
	return b.String()
}
