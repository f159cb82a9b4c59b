//go:build !race

package sim

// defaultSeeds is how many schedules a test run plays.
const defaultSeeds = 10_000
