// Package objects remembers which backend keeps what a client has stored there
// (responses, files and batches) and whose it is, for 30 days.
//
// # Rows
//
// An object is one row. Its key holds the consumer, so that nobody ever finds what
// is another consumer's. All but two of its columns never change after it was
// inserted, and those two change at most once, each in one direction:
//
//	Pending  from true to false, when the object is settled
//	Deleted  from false to true, when the client has deleted it
//
// A row is removed only by Sweep, an hour after the object has expired, and a
// deleted object expires at once. So for an hour a deleted object has a row which
// says so; what may still be on its way to the store finds it there.
//
// # Put may be repeated
//
// Put only ever inserts. An insert that may have happened is found out by reading,
// and repeated if there is no row yet. A repeated insert, or the first one if it
// arrives late after all, meets the row and fails, so it neither makes a settled
// object pending again nor brings a deleted one back. Whoever meets a row that names
// the same backend and deployment has put the object; it does not matter which of
// its tries did.
//
// # One caller settles
//
// Settle replaces the row on the condition that it still is as it was read, pending,
// and writes a nonce that no other call uses. Every replacement changes the ETag, and
// no row becomes pending again, so at most one replacement by Settle ever happens to
// an object: its nonce is in the row from then on, because Delete leaves it there. The
// calls that find another nonce were not first, and the one that finds its own was,
// whether it has heard of its success or not.
//
// A call that cannot find out in time returns an error, and its Registry remembers
// the nonce. The next call of Settle for the object at the same Registry uses that
// nonce again: it finds it in the row, or another one there, or writes it now. Only
// one call at a time uses a nonce, and the one that gets to know the outcome forgets
// it. So if a call that failed is made again at its Registry until it succeeds, there
// is exactly one first. No clock takes part in this. What breaks it is a process that
// dies, or never asks again, between the write and its answer: then nobody is first,
// and never are two.
//
// # Reading
//
// Get answers from memory for a minute after an object was read, and for a second
// after one was not found. What was done at this Registry it knows at once. Because
// each of the two changes goes one way, two pieces of knowledge of one object are
// joined without regard to their order. While the store does not answer, what is
// known goes on.
package objects

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"spillway/shared/clock"
	"spillway/shared/store"
)

// Kind is a kind of object.
type Kind string

// The kinds of objects.
const (
	Response Kind = "response"
	File     Kind = "file"
	Batch    Kind = "batch"
)

// Keep is how long an object is remembered unless Object.Expires says otherwise.
const Keep = 30 * 24 * time.Hour

// Object is something that a client has stored at a backend.
type Object struct {
	Kind Kind
	// ID is what the backend calls it: 1 to 256 letters, digits, '.', '_' and '-',
	// and neither "." nor "..". An ID names one object for good.
	ID string
	// Consumer is whose it is, 1 to 256 bytes.
	Consumer string
	// Backend is the name of the backend that keeps it. Like the other texts it has
	// at most 1,024 bytes and no control characters; it alone is required.
	Backend string
	// Deployment is the backend's deployment that made it, and Model and Pool are how
	// the request for it was routed. Empty where that has no meaning.
	Deployment, Model, Pool string
	// Created is when it was stored, and Expires when it is forgotten. Zero at Put:
	// now, and Created + Keep. Steps of 100 ns, UTC.
	Created, Expires time.Time
	// Pending: what it has used is not known yet, and is to be counted by whoever is
	// first to settle it.
	Pending bool
	// Estimated is the estimate of what it uses, in tokens, 0 or more.
	Estimated int64
	// Spilled tells whether the request had left its first choice.
	Spilled bool
	// Tags are the tags of the request, in their canonical form.
	Tags string
}

// The errors of a Registry. Test with errors.Is.
var (
	// ErrUnavailable: the store did not answer. The same call may be made again, and
	// a write that was not heard of may have happened.
	ErrUnavailable = errors.New("objects: the table cannot be reached")
	// ErrTaken: the consumer has an object of that kind and ID at another backend or
	// deployment. Nothing was written, and asking again gives the same answer.
	ErrTaken = errors.New("objects: another backend has given that ID")
	// ErrBroken: the row of the object cannot be read: a newer version has written it,
	// or something else. It is left alone.
	ErrBroken = errors.New("objects: the row cannot be read")
	// ErrInvalid: the object is not one that can be kept. Nothing was written, and
	// asking again gives the same answer.
	ErrInvalid = errors.New("objects: invalid object")
)

// Options are the parts of a Registry.
type Options struct {
	// Store holds the rows. Required. Its calls must end when their context does.
	Store store.Store
	// Clock is the time that the store's answers correct; nil is the local clock.
	Clock *clock.Clock
	// Cache is how many objects are kept in memory, and how many that were not
	// found. Each takes about half a kilobyte and its texts. Default 10,000.
	Cache int
	// Random returns a uniform number in [0, n) and is safe for concurrent use. It
	// must differ between processes. Nil: the generator of the runtime.
	Random func(n uint64) uint64
}

// defaultCache is Options.Cache where none is given.
const defaultCache = 10_000

func (o *Options) validate() error {
	if o.Store == nil {
		return errors.New("objects: no store")
	}
	if o.Cache < 0 {
		return errors.New("objects: a negative size of the cache")
	}
	if o.Cache == 0 {
		o.Cache = defaultCache
	}
	if o.Clock == nil {
		o.Clock = new(clock.Clock)
	}
	if o.Random == nil {
		o.Random = rand.Uint64N
	}
	return nil
}

// Registry knows the objects. All methods are safe for concurrent use.
type Registry struct {
	o      Options
	origin string        // Begins the nonces of this Registry.
	nonces atomic.Uint64 // Given out so far.

	mu      sync.Mutex
	found   lru[known]          // Guarded by mu.
	missing lru[clock.Deadline] // Not there, until then. Guarded by mu.
	flights map[key]*flight     // Being read. Guarded by mu.
	unknown map[key][]string    // Nonces that may be in the row. Guarded by mu.
}

// New returns a Registry that knows nothing yet.
func New(o Options) (*Registry, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	return &Registry{
		o:       o,
		origin:  fmt.Sprintf("%016x%016x", o.Random(math.MaxUint64), o.Random(math.MaxUint64)),
		found:   newLRU[known](o.Cache),
		missing: newLRU[clock.Deadline](o.Cache),
		flights: make(map[key]*flight),
		unknown: make(map[key][]string),
	}, nil
}

// newNonce returns a text that no other call writes.
func (r *Registry) newNonce() string { return fmt.Sprintf("%s-%d", r.origin, r.nonces.Add(1)) }
