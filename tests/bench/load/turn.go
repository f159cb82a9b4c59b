// Package load holds what a contender did under a load, and the rules that say when
// that is no measurement.
package load

import (
	"fmt"
	"time"
)

// Turn is one contender under one load for a while.
type Turn struct {
	// Requests were answered, Errors are those among them that failed, and others that
	// were not answered.
	Requests, Errors int64
	// Reached are the requests that the upstream got meanwhile.
	Reached int64
	// Connections is how many requests were under way at a time, at most.
	Connections int
	Seconds     float64
	// Median and P99 are times to the end of an answer, in seconds.
	Median, P99 float64
	// P90, P999 and Lag are of an open-loop generator only: further times, and how late
	// it turned to all requests but one of a hundred at most, in seconds. Its times count
	// from when a request was due.
	P90, P999, Lag float64
	// Contender, Generator and Upstream are the processor time that each has used. For
	// the upstream alone, without anybody before it, the first is the last.
	Contender, Generator, Upstream time.Duration
	// Foreign is the processor time of all other processes of the machine.
	Foreign time.Duration
	// Stolen is what this machine wanted and its host gave to others, of all processors.
	Stolen time.Duration
}

// Rate is requests per second.
func (t Turn) Rate() float64 { return float64(t.Requests) / t.Seconds }

// PerRequest is the contender's processor time per request, in seconds.
func (t Turn) PerRequest() float64 { return t.Contender.Seconds() / float64(t.Requests) }

// Unlucky says that a turn does not keep to the rules for a reason that says nothing about
// who took it: chance decides whether the next one does.
func (t Turn) Unlucky(r Rules) bool { return t.broken(r) || t.robbed(r) }

// Luckier says that a turn is worth more than another one under the same rules, both being
// unlucky or not: that it breaks none by chance, or else that less was stolen from it.
func (t Turn) Luckier(than Turn, r Rules) bool {
	if broken := t.broken(r); broken != than.broken(r) {
		return !broken
	}
	return t.Stolen < than.Stolen
}

// broken says that a turn is no measurement by chance.
func (t Turn) broken(r Rules) bool { return t.outpaced() || t.late(r) || t.disturbed(r) }

// robbed says that the host took more than may be if a better turn can be had.
func (t Turn) robbed(r Rules) bool { return r.Stolen > 0 && t.Stolen.Seconds() > r.Stolen*t.Seconds }

// outpaced says that the generator was at its limit, and what it drives was not.
func (t Turn) outpaced() bool {
	return t.Generator.Seconds() >= busy*t.Seconds && t.Contender.Seconds() < busy*t.Seconds
}

// late says that the generator was later than it may be.
func (t Turn) late(r Rules) bool { return r.Lag > 0 && t.Lag > r.Lag }

// disturbed says that other processes used more of the machine than measured times can bear.
func (t Turn) disturbed(r Rules) bool { return r.Quiet && t.Foreign.Seconds() > foreign*t.Seconds }

// Rules are what a turn must keep to. The zero value holds what each must.
type Rules struct {
	// Rate, if positive, is the rate that was to be reached, within a sixth.
	Rate float64
	// Quiet says that times are measured rather than processor time, and that other
	// processes must not have disturbed them.
	Quiet bool
	// Lag, if positive, is the most that Lag may be, in seconds.
	Lag float64
	// Stolen, if positive, is the part of one processor that the host should take at most.
	// A turn from which it took more is unlucky, and yet a measurement: there may be hosts
	// that always do.
	Stolen float64
	// Attempts are the requests that the upstream gets per request; 0 is 1.
	Attempts float64
	// Slack is the part of the requests by which those that reach the upstream may
	// differ; 0 is 2 %.
	Slack float64
}

const (
	// busy is the part of one processor from which on a process with one thread, or a
	// contender, is taken to be at its limit.
	busy = 0.9
	// leastTime is what a contender must have used for the figure to be finer than 5 %:
	// the system tells it in steps of 10 ms.
	leastTime = 200 * time.Millisecond
	// perConnection is how many requests there must be for each connection, or those
	// that were cut off at the end count too much.
	perConnection = 5
	// foreign is the part of one processor that others may have where times are measured.
	foreign = 0.4
)

// Voids says why a turn is no measurement. There is one line for each reason.
func (t Turn) Voids(r Rules) (voids []string) {
	void := func(format string, args ...any) { voids = append(voids, fmt.Sprintf(format, args...)) }
	if t.Errors > 0 {
		void("%d errors in %d requests", t.Errors, t.Requests)
	}
	if t.Requests < int64(perConnection*t.Connections) || t.Requests == 0 || t.Seconds <= 0 {
		void("%d requests on %d connections are too few", t.Requests, t.Connections)
		return voids
	}
	if t.Contender < leastTime && !r.Quiet {
		void("%v of processor time are too little to be told", t.Contender)
	}
	if t.outpaced() {
		void("the generator was the bottleneck: it used %.0f %% of a processor, what it drives %.0f %%", 100*t.Generator.Seconds()/t.Seconds, 100*t.Contender.Seconds()/t.Seconds)
	}
	if t.late(r) {
		void("the generator was the bottleneck: one request of a hundred was sent %.2f ms late or more, of %.2f that are allowed", 1e3*t.Lag, 1e3*r.Lag)
	}
	if t.disturbed(r) {
		void("other processes used %.0f %% of a processor", 100*t.Foreign.Seconds()/t.Seconds)
	}
	if got := t.Rate(); r.Rate > 0 && (got < r.Rate*5/6 || got > r.Rate*7/6) {
		void("%.0f requests a second instead of %.0f", got, r.Rate)
	}
	return append(voids, t.strays(r)...)
}

// strays says whether the upstream got other requests than were made: somebody answered
// by himself, or asked more than once.
func (t Turn) strays(r Rules) []string {
	attempts, slack := r.Attempts, r.Slack
	if attempts == 0 {
		attempts = 1
	}
	if slack == 0 {
		slack = 0.02
	}
	want := attempts * float64(t.Requests)
	under := float64(t.Connections) // those that were cut off at the end
	if got := float64(t.Reached); got < want*(1-slack) || got > want*(1+slack)+attempts*under {
		return []string{fmt.Sprintf("%d requests reached the upstream for %d that were answered", t.Reached, t.Requests)}
	}
	return nil
}
