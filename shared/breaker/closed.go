package breaker

import "time"

// closed is what a closed breaker counts. It is this instance's own; only the
// opening that follows is shared. It is not safe for concurrent use.
type closed struct {
	consecutive int
	recent      window
}

// minRequests is how many requests of an interval it takes for their failure
// ratio to mean something.
const minRequests = 20

func (c *closed) succeed(now time.Time, r *rules) {
	c.consecutive = 0
	c.recent.at(now, r.interval).total++
}

// fail counts a failure. It returns why the breaker must open, or "" if it
// stays closed.
func (c *closed) fail(now time.Time, r *rules) Reason {
	c.consecutive++
	t := c.recent.at(now, r.interval)
	t.total++
	t.bad++
	if c.consecutive >= r.failures {
		return ReasonConsecutive
	}
	if sum := c.recent.sum(); sum.total >= minRequests && 2*sum.bad >= sum.total {
		return ReasonRatio
	}
	return ""
}
