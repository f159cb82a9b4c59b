package breaker

import "time"

const (
	// partitionTarget is how many rows per second one partition of a table gives:
	// "Scalability and performance targets for Table storage", Target throughput
	// for a single table partition (1 KiB-entities).
	partitionTarget = 2000
	// leastRows is what a query costs at least, counted in rows.
	leastRows = 8
	// longestInterval keeps a view well below outdatedAfter. Beyond it, from 30,000
	// instances × rows on, the target is exceeded, and the store may throttle:
	// then this instance rests as after any failure of the store.
	longestInterval = outdatedAfter / 2
)

// pace sets the time between two queries such that all instances together stay
// within what the partition gives: instances × rows ÷ 2,000 per second. All rows
// count that a query returns, also those of deployments unknown here.
func (b *Board) pace(rows int) {
	instances := float64(max(b.instances(), 1))
	seconds := instances * float64(max(rows, leastRows)) / partitionTarget
	fleet := time.Duration(min(seconds, longestInterval.Seconds()) * float64(time.Second))
	b.interval.Store(int64(max(b.refreshEvery, fleet)))
}

// every is the time between two queries, before it is varied.
func (b *Board) every() time.Duration { return time.Duration(b.interval.Load()) }
