//go:build !race

package breaker

const reduced = false
