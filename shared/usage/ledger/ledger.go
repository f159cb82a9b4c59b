// Package ledger keeps what was used: counters that only grow, in the shared
// store, written without a storage call per request, whose sum is what was really
// used however many instances are killed, frozen or lose answers.
//
// An instance packs its counters of one hour into pages, rows that it alone owns
// and replaces as a whole with absolute values, so a write that is repeated changes
// nothing and one whose answer was lost is cleared up by reading. Hours that are
// over are folded into one row per day and consumer by whoever runs Fold. Who
// reads takes each hour from one of the two.
//
// # Why nothing is counted twice or lost
//
// The state row has two marks that only move forward: hours before Closed take no
// new pages, and hours before Folded are read from the rows of their day.
//
//  1. A fold first moves Closed beyond the hour, then lists the hour's pages and
//     seals each of them: from then on its owner's writes meet another ETag and
//     fail. Only then it adds them up. So what an owner finds in its sealed page is
//     what is counted, and it carries the rest over to an hour that is open.
//  2. A page might be inserted after the listing, by an instance that slept in the
//     middle of a request or whose clock is wrong. Its owner therefore reads the
//     state row once after the page is there. If the hour was not closed then, every
//     listing of it begins later and has the page: it is proven. If it was, the owner
//     takes the page back by emptying it, which fails only if a fold sealed it first;
//     then it waits for the hour to be folded and learns whether that seal counts.
//     No clock takes part in this.
//  3. Two folds at once: each has a generation, which it seals pages and marks day
//     rows with, and which replaces only lower ones. Each write of the state row
//     needs the ETag of the one before, so only the last to claim the work finishes
//     the hour, and names its generation in the row of generations before Folded
//     passes the hour. What lower generations left behind is read by nobody.
//  4. A reader reads the state row first, then pages of the hours not before Folded,
//     the newest first, then the day rows of the others, which do not change any
//     more. Counters move from one hour to a later one only after they were removed
//     from the earlier one, so it meets them at most once. Pages are deleted a day
//     after their hour, and only after the state row says so (Gone), which a reader
//     looks at again in the end.
//
// An owner that slept so long that its pages are deleted knows what it wrote last.
// Only if the answer to that very write was lost, too, or if it fell asleep before it
// had proven the page, it cannot know whether that counted: then it is held to have,
// and EventUncertain tells how many requests that may have cost the ledger.
package ledger

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"spillway/shared/clock"
	"spillway/shared/store"
	"spillway/shared/usage"
)

// DefaultMaxCounters is the default of Options.MaxCounters: a counter takes about 170
// bytes, and its tags beside. A hundred thousand consumers that ask for
// one model each are told apart; beyond, a request takes three times as long to count.
const DefaultMaxCounters = 100_000

// maxTags is how many sets of tags an instance tells apart of one consumer in one
// hour.
const maxTags = 1000

// Options are the parts of a Ledger.
type Options struct {
	// Store holds the rows. Required. Its calls must end when their context does.
	Store store.Store
	// Clock is the time that the store's answers correct; nil is the local clock.
	Clock *clock.Clock
	// Instance names this process in the rows it writes. Required.
	Instance string
	// Random returns a uniform number in [0, n) and is safe for concurrent use.
	// Nil: the generator of the runtime.
	Random func(n uint64) uint64
	// Events is told what an operator may want to know. It is called by several
	// goroutines, and must neither block nor call the Ledger. Nil: nobody.
	Events func(Event)
	// MaxCounters bounds the counters of one hour. Beyond it requests are counted
	// for their consumer under the model and deployment "(other)" and without tags, and
	// beyond twice as many for the consumer "(other)". 0: DefaultMaxCounters.
	MaxCounters int
}

func (o *Options) validate() error {
	var errs []error
	if o.Store == nil {
		errs = append(errs, errors.New("ledger: no store"))
	}
	if o.Instance == "" {
		errs = append(errs, errors.New("ledger: the instance needs a name"))
	}
	if o.MaxCounters < 0 {
		errs = append(errs, errors.New("ledger: a negative number of counters"))
	}
	if o.Clock == nil {
		o.Clock = new(clock.Clock)
	}
	if o.Random == nil {
		o.Random = rand.Uint64N
	}
	if o.Events == nil {
		o.Events = func(Event) {}
	}
	if o.MaxCounters == 0 {
		o.MaxCounters = DefaultMaxCounters
	}
	return errors.Join(errs...)
}

// Event is something that an operator may want to know.
type Event struct {
	Kind EventKind
	// Requests is how many requests it is about; 0 where that has no meaning.
	Requests int64
	// Consumer is whom it is about; empty where it is not about one.
	Consumer string
	// Err is the cause, if there is one. It holds no secret.
	Err error
}

// EventKind is a kind of Event.
type EventKind uint8

const (
	// EventDelayed: the store does not take the counters. They are kept, and written
	// when it does again; a process that is killed before loses them.
	EventDelayed EventKind = iota
	// EventRecovered: the store takes the counters again.
	EventRecovered
	// EventUncertain: what a page held is not known, because an answer was lost, and the
	// page is deleted by now. What was sent is held to be counted.
	EventUncertain
	// EventRefused: the store will never take a page. Its requests are lost.
	EventRefused
	// EventBounded: MaxCounters is reached in this hour.
	EventBounded
	// EventTagsBounded: a consumer has used 1,000 sets of tags in this hour. Requests
	// with others are counted under the tags "(other)".
	EventTagsBounded
	// EventUnreadable: a fold met a row, or a part of one, that makes no sense. It is
	// not counted.
	EventUnreadable
)

// String is the event's name as a log has it.
func (k EventKind) String() string {
	switch k {
	case EventDelayed:
		return "usage_delayed"
	case EventRecovered:
		return "usage_recovered"
	case EventUncertain:
		return "usage_uncertain"
	case EventRefused:
		return "usage_refused"
	case EventBounded:
		return "usage_bounded"
	case EventTagsBounded:
		return "usage_tags_bounded"
	case EventUnreadable:
		return "usage_unreadable"
	default:
		return "usage_event_" + strconv.Itoa(int(k))
	}
}

// Ledger counts the requests of this instance and writes the counters. It is safe
// for concurrent use.
type Ledger struct {
	o     Options
	wake  chan struct{} // Tells Run that there is something to write.
	share share         // Of the work in one run of Fold.

	mu       sync.Mutex
	boot     string                                 // Tells the pages of this Ledger from those of any other. Guarded by mu.
	hour     time.Time                              // The hour that is counted for. Guarded by mu.
	hourEnd  int64                                  // Its end, in Unix seconds. Guarded by mu.
	counters counters                               // Of this hour. Guarded by mu.
	kinds    map[usage.Dimensions]*usage.Dimensions // Of this hour: what counters have in common, once. Guarded by mu.
	latest   map[string]*usage.Dimensions           // Of kinds, by the backend: that of its latest request, and mostly of its next. Guarded by mu.
	tags     map[string]map[string]bool             // Of this hour: those of each consumer that are told apart. Guarded by mu.
	names    map[string]string                      // Of this hour: what kinds have in common, once. Guarded by mu.
	open     *page                                  // The page that takes new counters. Guarded by mu.
	pages    []*page                                // All that are not done with, oldest first. Guarded by mu.
	named    int                                    // Pages so far. Guarded by mu.
	bounded  bool                                   // EventBounded was told in this hour. Guarded by mu.
	flushed  time.Time                              // When the last flush began. Guarded by mu.
	failures int                                    // Flushes that have failed in a row. Guarded by mu.
	retryAt  time.Time                              // Before it no flush is due. Guarded by mu.
	wrote    int                                    // Pages that the last flush wrote. Guarded by mu.
	moved    bool                                   // Counters went to a page that the flush may have passed. Guarded by mu.

	flushing chan struct{} // Holds a token while a flush runs.
}

// New returns a Ledger. It asks the store nothing.
func New(o Options) (*Ledger, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	l := &Ledger{
		o: o, share: foldShare, wake: make(chan struct{}, 1), flushing: make(chan struct{}, 1),
		counters: newCounters(), kinds: make(map[usage.Dimensions]*usage.Dimensions), latest: make(map[string]*usage.Dimensions),
		tags: make(map[string]map[string]bool), names: make(map[string]string),
	}
	l.boot = l.newBoot()
	l.roll(hourOf(o.Clock.Now()))
	return l, nil
}

// maxInstance is the most that a row's key holds of an instance's name, in bytes.
const maxInstance = 60

// newBoot draws a name that no other Ledger has, also none of an earlier process of
// the same name.
func (l *Ledger) newBoot() string {
	const half = 1 << 32
	name := clean(l.o.Instance, maxInstance)
	return fmt.Sprintf("%s-%08x%08x", name, l.o.Random(half), l.o.Random(half))
}

// acquire waits for the flush that runs, at most until ctx ends.
func (l *Ledger) acquire(ctx context.Context) error {
	select {
	case l.flushing <- struct{}{}:
		return nil
	default:
	}
	select {
	case l.flushing <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("ledger: %w: %w", store.ErrUnavailable, ctx.Err())
	}
}

func (l *Ledger) release() { <-l.flushing }
