package breaker

import "time"

// tolerance is what it takes to open a closed breaker: so many failures in a
// row, or half of the requests of an interval.
type tolerance struct {
	failures int
	interval time.Duration
}

// closed is what a closed breaker counts. It is this instance's own; only the
// opening that follows is shared. It is not safe for concurrent use.
type closed struct {
	consecutive int
	recent      window
}

// minRequests is how many requests of an interval it takes for their failure
// ratio to mean something.
const minRequests = 20

func (c *closed) succeed(now time.Time, t tolerance) {
	c.consecutive = 0
	c.recent.at(now, t.interval).total++
}

// fail counts a failure. It returns why the breaker must open, or "" if it
// stays closed.
func (c *closed) fail(now time.Time, limit tolerance) Reason {
	c.consecutive++
	t := c.recent.at(now, limit.interval)
	t.total++
	t.bad++
	if c.consecutive >= limit.failures {
		return ReasonConsecutive
	}
	if sum := c.recent.sum(); sum.total >= minRequests && 2*sum.bad >= sum.total {
		return ReasonRatio
	}
	return ""
}
