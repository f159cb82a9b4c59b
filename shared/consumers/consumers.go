// Package consumers keeps consumers in the table, beside those of the
// configuration file: they are added, changed and removed without a deployment,
// and every instance knows within 5 seconds. A request costs no read.
//
// # Rows
//
// A consumer is one row, which holds its definition. For each of its keys,
// applications and roles there is an index row that names it, so that two point
// reads find whose a credential is. An index row counts only if the consumer's
// row lists the credential too; a stale one is harmless, and stays until somebody
// claims the credential. One index row names one consumer, so no credential ever
// belongs to two.
//
// Every change is a row of the log, which is the audit trail and what instances
// learn from at once. It is written before the change and says afterwards what
// became of it. A row that begins the log says that there may be consumers in the
// table at all; without it nothing is ever looked up.
//
// # Writing
//
// A change goes through these steps, and may die after any of them: log row
// (begun); claim the index rows of new credentials; write the consumer's row, by
// its ETag; confirm the claims; delete the index rows of dropped credentials; log
// row (outcome). Until the consumer's row is written nothing has changed for
// anybody.
//
// A claim that names a consumer which does not list the credential is either
// stale or on its way, and nobody can tell which; another writer may therefore
// take it over. That is what confirming is for: it replaces the claim by its ETag
// after the consumer's row lists the credential. If it succeeds, whoever looks
// afterwards finds the consumer alive, and whoever looked before holds an old
// ETag. If it fails, the credential was given to two consumers at the same moment
// and works for the other one; who made this change is told. No step depends on a
// clock.
//
// # Reading
//
// Definitions are cached by credential. A poll reads the end of the log, from 15
// seconds before the last poll (the corrected clocks of writers and readers differ
// by 2 at most, and a log row takes 3 at most to be written). Each consumer named
// there is doubted: its credentials are read again before they are next used. It
// is doubted again with every poll of the next 60 seconds, because the change
// follows its log row: within the 10 seconds after which a writer gives up, plus 2
// for its last request and however long the service may still carry that out. A
// writer that was frozen on the way, and finds out that it is late, logs again. What
// none of this catches (such a writer that dies at once, an operator who edits
// rows by hand) is caught by reading everything in use again once an hour.
//
// A poll is due after 3 seconds; whoever finds the last one older than 4.5 waits
// for the next, for 150 ms at most. So what is served is never older than 5
// seconds while the store answers, also by an instance that was idle or frozen.
// While it does not, what is cached goes on for as long as that takes; credentials
// that are not cached are an error.
//
// # Cost
//
// An instance that serves requests reads one row in 3 s while there are no
// consumers in the table. With them it makes one query in 3 s, which returns the
// changes of the last 18 s: 1,000 instances read 333 times a second and stay below
// the 2,000 rows per second of one partition with up to 20 changes a minute.
// Beyond, polls are further apart, up to 15 s, and a change is known as much later
// (see pace).
package consumers

import (
	"errors"
	"math/rand/v2"

	"spillway/shared/clock"
	"spillway/shared/config"
	"spillway/shared/store"
)

// Options are the settings of a Directory.
type Options struct {
	// Store holds the rows. Required. Its calls must end when their context does.
	Store store.Store
	// Clock is the time that the store's answers correct. Nil: local time.
	Clock *clock.Clock
	// Random returns a uniform number in [0, n), to vary times, and is safe for
	// concurrent use. Nil: the generator of the runtime.
	Random func(n uint64) uint64
	// Events is told what happens; nil: nobody. It is called from many goroutines,
	// without any lock held, and must return soon.
	Events func(Event)
	// Limit is how many keys, how many applications and how many roles are
	// remembered, each. Default 100,000.
	Limit int
	// Instances returns how many instances are believed to share the store. It is
	// asked once per poll, must return at once and must not call the Directory.
	// Nil: one.
	Instances func() int64
	// InFile tells whether the configuration file defines a consumer of that name:
	// it is the file's then, whatever the table says. Nil: none.
	InFile func(name string) bool
	// Gone is told of a consumer that was in use and is not there any more. It must
	// not call the Directory. Nil: nobody is told.
	Gone func(name string)
	// Check tells what keeps a consumer from working with the configuration. A
	// change is refused because of it; a consumer that has come not to fit, because
	// a model was retired, is an event and stays in use. Nil: everything fits.
	Check func(config.Consumer) error
}

// defaultLimit is Options.Limit where none is given.
const defaultLimit = 100_000

func (o *Options) validate() error {
	if o.Store == nil {
		return errors.New("consumers: no store")
	}
	if o.Limit < 0 {
		return errors.New("consumers: negative limit")
	}
	if o.Limit == 0 {
		o.Limit = defaultLimit
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
	if o.Instances == nil {
		o.Instances = func() int64 { return 1 }
	}
	if o.InFile == nil {
		o.InFile = func(string) bool { return false }
	}
	if o.Gone == nil {
		o.Gone = func(string) {}
	}
	if o.Check == nil {
		o.Check = func(config.Consumer) error { return nil }
	}
	return nil
}

// EventKind tells what happened.
type EventKind uint8

// The kinds of events.
const (
	// EventBroken: a row cannot be read. It is nobody's until it is mended.
	EventBroken EventKind = iota + 1
	// EventInFile: a consumer is in the file and in the table; the file's counts.
	EventInFile
	// EventUnfit: a consumer of the table no longer fits into the configuration. It
	// is used as far as it goes.
	EventUnfit
	// EventFlooded: so many unknown credentials come that not all are looked up.
	EventFlooded
)

// String returns the kind as one lower-case word, for logs and metrics.
func (k EventKind) String() string {
	switch k {
	case EventBroken:
		return "broken"
	case EventInFile:
		return "in_file"
	case EventUnfit:
		return "unfit"
	case EventFlooded:
		return "flooded"
	}
	return "unknown"
}

// Event is something that an operator should know of. The same is told at most
// once in ten minutes.
type Event struct {
	Kind EventKind
	// Consumer is its name; for EventBroken of an index row, and for EventFlooded,
	// it is empty.
	Consumer string
	// Err says what is wrong, without any key. Nil for EventInFile and EventFlooded.
	Err error
}
