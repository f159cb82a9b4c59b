//go:build race

package fleet

// Seeds is how many schedules a run plays. The race detector makes each about
// ten times slower.
const Seeds = 30
