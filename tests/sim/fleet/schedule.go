// Package fleet runs ten whole gateways on one table, with a load balancer in
// front of them and simulated backends behind them, in virtual time. Schedules
// of users and of faults are drawn from seeds; each is judged from outside, by
// what backends counted, what clients saw, the usage records, the log lines and
// the rows of the table. The judge shares no code with the product.
//
//   - schedule.go and draw.go: a schedule (values only) from a seed;
//   - kinds.go: the kinds of faults that runs must have had;
//   - stage.go builds the backends and the configuration of a schedule;
//   - play.go, instance.go, link.go, door.go, client.go: the run;
//   - history.go, collect.go, tell.go: what was seen from outside;
//   - judge.go, judge_rest.go, judge_strand.go: what was wrong with it;
//   - pair.go compares two runs of one schedule;
//   - tamper.go, worlds.go: worlds that are wrong on purpose, for the judge's own
//     test.
package fleet

import (
	"time"

	"spillway/tests/fakes/azureopenai"
	"spillway/tests/fakes/faultstore"
)

// World says which kinds of faults a schedule has.
type World uint8

// The worlds.
const (
	// Mixed: anything goes wrong, and limits are tight.
	Mixed World = iota
	// TableOnly: nothing but the table goes wrong, and limits are never short. No
	// client may notice.
	TableOnly
	// Calm: nothing goes wrong but timer runs. Who is refused follows from the
	// schedule alone, so that two runs can be compared: the only limit that is short
	// counts requests, and all of its requests come to one instance.
	Calm
)

// Schedule is one run as it was drawn from its seed. Times are offsets from the
// beginning of the bubble, which is the beginning of a minute.
type Schedule struct {
	Seed  uint64
	World World
	// Policy is what limits do while the table is down.
	Policy string
	// Failures in a row open a breaker.
	Failures int
	// Tended: instances have time of their own beside requests. They run the timer
	// themselves, and give back what they do not use.
	Tended bool
	// Start is when users begin; Stop when all faults have ended; Audit the edge of
	// the second window after that, from which on everything must be well again.
	Start, Stop, Audit time.Duration

	Backends  []Backend
	Consumers []Consumer
	Instances []Instance
	Requests  []Request // in the order of their time

	Table []TableFault
	// Delay is the least and the greatest delay of a delayed call to the table.
	Delay    [2]time.Duration
	Troubles []Trouble
	// Ticks are the moments of the timer. Each runs once on one instance, unless
	// something is wrong with it.
	Ticks []Tick
}

// Backend is a resource with one deployment, and its place in the pool.
type Backend struct {
	Priority, Weight int
	Settled          bool  // accounting: actual; else as Azure charges
	Tokens           int64 // per minute, 0: no limit
	Requests         int64 // per minute, 0: no limit
	// Enforced: the backend has the limits itself. Else it takes what comes, so
	// that too much is counted rather than refused.
	Enforced  bool
	FirstByte time.Duration
	PerToken  time.Duration
	Retry     azureopenai.RetryForm
	MinusOne  bool // the remaining counts in its headers are -1
}

// Consumer is a calling application.
type Consumer struct {
	Tokens, Requests int64 // per minute, 0: no limit
}

// Instance is one gateway process.
type Instance struct {
	Born time.Duration
	// Storm: it is one of several that start at the same moment.
	Storm bool
	// Skew is how far its wall clock is ahead of the truth.
	Skew time.Duration
	Fate Fate
	// At is when its fate comes; For is how long it lasts, where it ends.
	At, For time.Duration
}

// Fate is what befalls an instance.
type Fate uint8

// The fates.
const (
	Lives      Fate = iota
	Crashes         // it is gone from one instant to the next
	Freezes         // it stops, and so does its monotonic clock; its wall clock goes on
	Terminates      // SIGTERM: open requests may finish, then it gives back
)

// Request is one call of a client.
type Request struct {
	At       time.Duration
	Consumer int
	Prompt   int   // index into prompts
	Max      int64 // max_tokens
	Stream   bool
	Pick     uint64 // what the load balancer makes its choice with
	// LeaveAfter: the client gives up after that time, if it has no byte by then.
	LeaveAfter time.Duration
	// LeaveAtByte: it gives up once it has so many bytes, 0: never.
	LeaveAtByte int
	// Slow is how long the client takes for each piece of the answer.
	Slow time.Duration
	// Audit: everything is well again; it must be answered as the schedule says.
	Audit Audit
}

// Audit is what must become of a request after everything is well again.
type Audit uint8

// The audits.
const (
	NotAudited Audit = iota
	MustServe        // it must be answered with 200
	MayRefuse        // it may run into the consumer's own limit
	MustRefuse       // it is larger than the consumer's whole limit
)

// TableFault is a span in which the table goes wrong.
type TableFault struct {
	From, To time.Duration
	Kind     faultstore.Fault
	Rate     float64       // of operations; unused by an outage and by refused writes
	Date     time.Duration // if not 0, the only fault: the table's Date is off by that
}

// Trouble is a fault of a backend.
type Trouble struct {
	At      time.Duration
	Backend int
	Fault   azureopenai.Fault
}

// Tick is one moment of the timer.
type Tick struct {
	At   time.Duration
	Pick uint64
	Kind TickKind
}

// TickKind is how often the timer runs at its moment.
type TickKind uint8

// The kinds of ticks.
const (
	Once        TickKind = iota
	Skipped              // it does not run
	Doubled              // it runs twice, one after the other
	Overlapping          // it runs on several instances at once
)
