package breaker

import (
	"math"
	"time"
)

// trialTime is how long the owner of a trial has for it. Headers of a reasoning
// model come late, and a dead owner blocks the next trial for this long.
const trialTime = 30 * time.Second

// trialMargin is how much sooner the owner stops. It covers the difference
// between the corrected clocks of two instances, so that two trials do not
// overlap.
const trialMargin = time.Second

// maxOpens bounds the count of openings; the open time has long reached its
// maximum by then.
const maxOpens = math.MaxInt32

// open is the transition to open, from closed or after a failed trial. Jitter
// is a factor from 0.9 to 1.1: it keeps breakers that opened together from
// coming due together.
func (f facts) open(now time.Time, status int, jitter float64, r *rules) facts {
	f.state = Open
	f.opens = min(f.opens+1, maxOpens)
	f.until = wall(now.Add(openTime(f.opens, jitter, r)))
	f.lastStatus = int64(status)
	return f
}

// openTime is openFor × opens × jitter, at most maxOpenFor.
func openTime(opens int64, jitter float64, r *rules) time.Duration {
	exact := float64(r.openFor) * float64(opens) * jitter
	return time.Duration(min(exact, float64(r.maxOpenFor)))
}

// claimable tells whether a trial may be claimed now. An early claim does not
// wait for the end of the open time; it does respect another trial.
func (f facts) claimable(now time.Time, early bool) bool {
	return f.due(now) || early && f.state == Open
}

// claim is the transition to half-open: owner has until the deadline to say how
// the deployment fares.
func (f facts) claim(now time.Time, owner, nonce string) facts {
	f.state = HalfOpen
	f.until = wall(now.Add(trialTime))
	f.trial++
	f.owner = owner
	f.nonce = nonce
	return f
}
