package breaker

import (
	"time"

	"spillway/shared/store"
)

// Partition is the partition of the store that holds the rows of all
// deployments; the row key is the id of the deployment.
const Partition = "breaker"

// The columns of a row.
const (
	columnState          = "State"
	columnUntil          = "Until"
	columnOpens          = "Opens"
	columnTrial          = "Trial"
	columnOwner          = "Owner"
	columnNonce          = "Nonce"
	columnThrottledUntil = "ThrottledUntil"
	columnLastStatus     = "LastStatus"
)

const (
	// maxTrial leaves room to count on.
	maxTrial = 1 << 53
	// maxText is the longest owner or nonce in bytes.
	maxText = 512
	// maxStatus is the largest number that an HTTP status line can hold.
	maxStatus = 999
)

// encode returns the columns of the row. A zero time has no column: a table
// cannot hold it.
func (f facts) encode() store.Columns {
	columns := store.Columns{
		columnState:      f.state.String(),
		columnOpens:      f.opens,
		columnTrial:      f.trial,
		columnOwner:      f.owner,
		columnNonce:      f.nonce,
		columnLastStatus: f.lastStatus,
	}
	if !f.until.IsZero() {
		columns[columnUntil] = f.until
	}
	if !f.throttledUntil.IsZero() {
		columns[columnThrottledUntil] = f.throttledUntil
	}
	return columns
}

// decode reads the columns of a row as foreign input. A row that makes no sense
// is a closed breaker, so that the next write mends it. No row can take a
// deployment out for longer than this instance's own settings allow.
func decode(columns store.Columns, now time.Time, r *rules) facts {
	var f facts
	state, _ := columns[columnState].(string)
	f.opens, _ = columns[columnOpens].(int64)
	f.trial, _ = columns[columnTrial].(int64)
	f.owner, _ = columns[columnOwner].(string)
	f.nonce, _ = columns[columnNonce].(string)
	f.lastStatus, _ = columns[columnLastStatus].(int64)
	f.until = readTime(columns[columnUntil])
	f.throttledUntil = sooner(readTime(columns[columnThrottledUntil]), wall(now.Add(r.maxRetryAfter)))
	f.opens = min(max(f.opens, 0), maxOpens)
	f.lastStatus = min(max(f.lastStatus, 0), maxStatus)
	if f.trial < 0 || f.trial > maxTrial || len(f.owner) > maxText || len(f.nonce) > maxText {
		return facts{throttledUntil: f.throttledUntil, lastStatus: f.lastStatus}
	}
	switch state {
	case Open.String():
		f.state = Open
		f.until = sooner(f.until, wall(now.Add(r.maxOpenFor)))
	case HalfOpen.String():
		f.state = HalfOpen
		f.until = sooner(f.until, wall(now.Add(trialTime+trialMargin)))
	default:
		f.state, f.until, f.opens = Closed, time.Time{}, 0
	}
	return f
}

func readTime(value any) time.Time {
	t, _ := value.(time.Time)
	return wall(t)
}
