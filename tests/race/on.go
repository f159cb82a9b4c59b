//go:build race

// Package race tells tests whether they run under the race detector.
package race

// Enabled is true under the race detector, which makes a simulation or a search
// about ten times slower.
const Enabled = true
