//go:build !race

package fleet

// Seeds is how many schedules a run plays.
const Seeds = 1000
