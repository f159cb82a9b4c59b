package rule

import (
	"math"
	"time"
)

// maxOpens bounds the count of openings; the open time has long reached its
// maximum by then.
const maxOpens = math.MaxInt32

// Open is the transition to open, from closed or after a failed trial. Jitter
// is a factor from 0.9 to 1.1: it keeps breakers that opened together from
// coming due together.
func (f Facts) Open(now time.Time, status int, jitter float64, s *Settings) Facts {
	f.State = Open
	f.Opens = min(f.Opens+1, maxOpens)
	f.Until = Wall(now.Add(openTime(f.Opens, jitter, s)))
	f.LastStatus = int64(status)
	return f
}

// openTime is OpenFor × opens × jitter, at most MaxOpenFor.
func openTime(opens int64, jitter float64, s *Settings) time.Duration {
	exact := float64(s.OpenFor) * float64(opens) * jitter
	return time.Duration(min(exact, float64(s.MaxOpenFor)))
}

// Claimable tells whether a trial may be claimed now. An early claim does not
// wait for the end of the open time; it does respect another trial.
func (f Facts) Claimable(now time.Time, early bool) bool {
	return f.Due(now) || early && f.State == Open
}

// Claim is the transition to half-open: owner has until the Deadline to find
// out how the deployment fares.
func (f Facts) Claim(now time.Time, owner, nonce string, s *Settings) Facts {
	f.State = HalfOpen
	f.Until = Wall(now.Add(s.TrialFor))
	f.Trial++
	f.Owner = owner
	f.Nonce = nonce
	return f
}

// Recognize tells, from a row, whether a claim whose answer was lost has been
// applied, and so recently that its owner may still make the trial: at most
// slack ago.
func (f Facts) Recognize(nonce string, now time.Time, slack time.Duration, s *Settings) bool {
	return f.State == HalfOpen && f.Nonce == nonce && f.Until.Sub(now) > s.TrialFor-slack
}

// Succeed is the transition to closed after a good trial.
func (f Facts) Succeed() Facts {
	f.State = Closed
	f.Until = time.Time{}
	f.Opens = 0
	return f
}

// Fail is the transition back to open after a bad trial. If the trial was made
// early, the breaker stays open as long as it would have been, until openUntil,
// and the opening is not counted again: probes must not lengthen the open time.
func (f Facts) Fail(now, openUntil time.Time, status int, jitter float64, s *Settings) Facts {
	if !now.Before(openUntil) {
		return f.Open(now, status, jitter, s)
	}
	f.State = Open
	f.Until = openUntil
	f.LastStatus = int64(status)
	return f
}

// Abandon is the transition back to open after a trial without a verdict: the
// next one is due as soon as this one was.
func (f Facts) Abandon(now, openUntil time.Time) Facts {
	f.State = Open
	f.Until = Later(openUntil, Wall(now))
	return f
}
