//go:build race

package breaker

// reduced: the race detector makes a search about ten times slower.
const reduced = true
