//go:build race

package sim

// defaultSeeds is how many schedules a test run plays. The race detector makes
// each about ten times slower.
const defaultSeeds = 300
