// Package breaker keeps two facts about every deployment, never mixed: until
// when it is throttled (it said so itself, with a 429), and whether it is
// healthy (a circuit breaker: closed, open, half-open). Both are shared by all
// instances through one row per deployment, and neither ever makes a request
// wait for the store.
//
// A breaker opens in this instance at once and is then published; on a
// conflict the later end of the open time wins. When that time is over, one
// request is the trial. It is claimed with a conditional write that carries a
// fresh nonce and a deadline, so at most one trial runs across all instances;
// its result is fenced by the nonce, and a claim whose owner died can be taken
// over after its deadline. While the store is down each instance is alone: it
// runs at most one trial of its own.
//
// A throttle ends by itself. A probe that succeeds lifts it early, for all
// instances: the lift is a moment in the row, so that it takes away the 429s
// from before it and none that came later (package rule).
//
// The rules are pure functions of the facts and the time, in package rule and in
// closed.go. Deployment and Board are the shell around them that holds the locks
// and talks to the store.
package breaker

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
	"unicode/utf8"

	"spillway/shared/breaker/rule"
	"spillway/shared/clock"
	"spillway/shared/store"
)

// State is the health of a deployment.
type State = rule.State

// The states of a breaker.
const (
	// Closed: requests pass.
	Closed = rule.Closed
	// Open: requests go elsewhere until the open time is over.
	Open = rule.Open
	// HalfOpen: one request, the trial, finds out whether the deployment has
	// recovered; all others go elsewhere.
	HalfOpen = rule.HalfOpen
)

// View is what is known about a deployment at one moment. It is a value.
type View struct {
	State State
	// OpenUntil is when an open breaker is due for a trial, or the deadline of a
	// half-open one's trial. Zero when closed.
	OpenUntil time.Time
	// ThrottledUntil is when the deployment said it would have room again. It
	// may lie in the past; zero if it never said so, or if a probe has found out
	// that it has room already.
	ThrottledUntil time.Time
	// Opens is how often in a row the breaker opened without a success between.
	Opens int
	// LastStatus is the HTTP status of the last failure or throttle, 0 if there
	// was no answer.
	LastStatus int
}

// Throttled tells whether the deployment has asked to be left alone.
func (v View) Throttled(now time.Time) bool {
	return now.Before(v.ThrottledUntil)
}

// Usable tells whether a request may try the deployment: it is not throttled,
// and its breaker is closed or due for a trial.
func (v View) Usable(now time.Time) bool {
	return !v.Throttled(now) && (v.State == Closed || !now.Before(v.OpenUntil))
}

// ReadyAt returns the soonest moment at which Usable may become true; now if it
// is.
func (v View) ReadyAt(now time.Time) time.Time {
	ready := now
	if v.ThrottledUntil.After(ready) {
		ready = v.ThrottledUntil
	}
	if v.State != Closed && v.OpenUntil.After(ready) {
		ready = v.OpenUntil
	}
	return ready
}

// Options are the settings of a Board. Zero durations and counts take the
// default named with the field.
type Options struct {
	// Store holds the shared rows.
	Store store.Store
	// Clock is the store-corrected time. Nil: local time.
	Clock *clock.Clock
	// Instance names this instance, for people who read the rows. At most 200
	// bytes.
	Instance string
	// Failures in a row open the breaker. Default 5.
	Failures int
	// Interval is the span within which at least half of at least 20 requests
	// failing opens the breaker as well. Default 10 s.
	Interval time.Duration
	// OpenFor is the open time; it is multiplied by the number of openings in a
	// row. Default 10 s.
	OpenFor time.Duration
	// MaxOpenFor bounds the open time. Default 300 s.
	MaxOpenFor time.Duration
	// MaxRetryAfter bounds how long a throttle is believed. Default 60 s.
	MaxRetryAfter time.Duration
	// RefreshEvery is how old the view of the store may get before a request
	// starts a refresh in the background; it varies by ±20 %. Throttles that
	// end sooner are not worth sharing and stay local. It is the least: many
	// instances and many rows make it longer, up to 15 s. Default 2 s.
	RefreshEvery time.Duration
	// Instances returns how many instances are believed to share the store. It is
	// asked once per refresh, must return at once and must not call the Board.
	// Nil: one.
	Instances func() int64
	// Events is told what happens; nil: nobody. It is called from many
	// goroutines, without any lock held, and must return soon.
	Events func(Event)
	// Random returns a uniform number in [0, n) and is safe for concurrent use.
	// Nil: the generator of the runtime.
	Random func(n uint64) uint64
}

// EventKind tells what happened.
type EventKind uint8

// The kinds of events.
const (
	// EventOpened: a breaker opened.
	EventOpened EventKind = iota + 1
	// EventHalfOpen: a trial of the deployment was claimed.
	EventHalfOpen
	// EventClosed: a breaker closed.
	EventClosed
	// EventThrottled: a deployment that was free is throttled.
	EventThrottled
	// EventLifted: a throttle ended before its time.
	EventLifted
	// EventUnusable: the row of a deployment cannot be used as it is, see the
	// reason. It is raised once, when that begins.
	EventUnusable
	// EventDegraded: the store is down; this instance decides alone. It concerns
	// no single deployment.
	EventDegraded
	// EventRecovered: the store answers again.
	EventRecovered
)

// String returns the kind as one lower-case word, for logs and metrics.
func (k EventKind) String() string {
	switch k {
	case EventOpened:
		return "opened"
	case EventHalfOpen:
		return "half_open"
	case EventClosed:
		return "closed"
	case EventThrottled:
		return "throttled"
	case EventLifted:
		return "lifted"
	case EventUnusable:
		return "unusable"
	case EventDegraded:
		return "degraded"
	case EventRecovered:
		return "recovered"
	}
	return "unknown"
}

// Reason tells why it happened.
type Reason string

// The reasons of events.
const (
	// ReasonConsecutive: Options.Failures failures in a row.
	ReasonConsecutive Reason = "consecutive_failures"
	// ReasonRatio: at least half of the requests of the interval failed.
	ReasonRatio Reason = "failure_ratio"
	// ReasonTrialClaimed: this instance runs the trial.
	ReasonTrialClaimed Reason = "trial_claimed"
	// ReasonTrialFailed: the trial failed.
	ReasonTrialFailed Reason = "trial_failed"
	// ReasonTrialSucceeded: the trial succeeded.
	ReasonTrialSucceeded Reason = "trial_succeeded"
	// ReasonTrialThrottled: the trial was answered by a 429, so the deployment
	// is healthy, and throttled.
	ReasonTrialThrottled Reason = "trial_throttled"
	// ReasonTrialAbandoned: the trial ended without a verdict; the next one is
	// due.
	ReasonTrialAbandoned Reason = "trial_abandoned"
	// ReasonAnswer: the deployment answered with a 429.
	ReasonAnswer Reason = "answer"
	// ReasonProbeSucceeded: a probe found out that there is room.
	ReasonProbeSucceeded Reason = "probe_succeeded"
	// ReasonFormat: another version wrote the row. It is left alone; this
	// instance decides alone about the deployment.
	ReasonFormat Reason = "another_format"
	// ReasonBroken: the row makes no sense. It is taken for a closed breaker, and
	// the next write mends it.
	ReasonBroken Reason = "broken_row"
	// ReasonShared: another instance published it.
	ReasonShared Reason = "shared"
	// ReasonTimeout: the store did not answer in time.
	ReasonTimeout Reason = "timeout"
	// ReasonUnavailable: the store could not be asked several times in a row.
	ReasonUnavailable Reason = "unavailable"
	// ReasonAnswered: the store answered.
	ReasonAnswered Reason = "answered"
)

// Event is something that happened to a deployment, or to the board as a whole.
type Event struct {
	Kind       EventKind
	Reason     Reason
	Deployment string    // Empty for EventDegraded and EventRecovered.
	Until      time.Time // End of the open time, of the trial, or of the throttle.
	Opens      int       // As in View.
	Status     int       // As View.LastStatus.
}

// maxInstance is the longest name of an instance in bytes.
const maxInstance = 200

// validate fills in the defaults.
func (o *Options) validate() error {
	if o.Store == nil {
		return errors.New("breaker: no store")
	}
	if o.Instance == "" || len(o.Instance) > maxInstance || !utf8.ValidString(o.Instance) {
		return fmt.Errorf("breaker: the name of the instance must be UTF-8 of 1 to %d bytes", maxInstance)
	}
	if o.Failures < 0 {
		return fmt.Errorf("breaker: %d failures", o.Failures)
	}
	if o.Failures == 0 {
		o.Failures = 5
	}
	for _, d := range []struct {
		name  string
		value *time.Duration
		usual time.Duration
	}{
		{"interval", &o.Interval, 10 * time.Second},
		{"open time", &o.OpenFor, 10 * time.Second},
		{"longest open time", &o.MaxOpenFor, 300 * time.Second},
		{"longest throttle", &o.MaxRetryAfter, 60 * time.Second},
		{"refresh interval", &o.RefreshEvery, 2 * time.Second},
	} {
		if *d.value < 0 {
			return fmt.Errorf("breaker: negative %s", d.name)
		}
		if *d.value == 0 {
			*d.value = d.usual
		}
	}
	if o.MaxOpenFor < o.OpenFor {
		return errors.New("breaker: the longest open time is shorter than the open time")
	}
	if o.Clock == nil {
		o.Clock = new(clock.Clock)
	}
	if o.Instances == nil {
		o.Instances = func() int64 { return 1 }
	}
	if o.Random == nil {
		o.Random = rand.Uint64N
	}
	if o.Events == nil {
		o.Events = func(Event) {}
	}
	return nil
}
