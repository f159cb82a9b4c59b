package consumers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"spillway/shared/clock"
	"spillway/shared/config"
	"spillway/shared/store"
)

const (
	// lookupTime bounds a look-up, and how long a caller waits for one.
	lookupTime = 2 * time.Second
	// awaitTime bounds how long a request waits that could go on without.
	awaitTime = 150 * time.Millisecond
	// restFor is how long the store is left alone after it has failed.
	restFor = time.Second
	// lookupsPerSecond and burst bound the look-ups of unknown credentials that find
	// nobody.
	lookupsPerSecond = 50
	burst            = 100
)

// flight is a look-up under way. All who ask for the same credential share it.
type flight struct {
	began      time.Time
	done       chan struct{}
	definition *config.Definition // Read it after done, like err.
	err        error
}

// start looks a credential up in the background, if that is not being done
// already. Only those that nothing is known of count against the budget.
func (c *cache[K]) start(k K, now clock.Instant, known bool) (*flight, error) {
	d := c.directory
	f, fresh, err := c.enter(k, now, known)
	if errors.Is(err, ErrBusy) {
		d.tell(Event{Kind: EventFlooded})
	}
	if fresh != nil {
		go fresh()
	}
	return f, err
}

// enter returns the flight of a credential, and its work if it is new.
func (c *cache[K]) enter(k K, now clock.Instant, known bool) (f *flight, work func(), err error) {
	d := c.directory
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case c.flights[k] != nil:
		return c.flights[k], nil, nil
	case !d.rest.PassedAt(now):
		return nil, nil, ErrUnavailable
	case !known && !d.budget.take(now):
		return nil, nil, ErrBusy
	}
	f = &flight{began: time.Now(), done: make(chan struct{})}
	c.flights[k] = f
	generation := d.generation
	return f, func() { c.fly(f, k, now, generation, known) }, nil
}

// fly does a look-up and notes what it found.
func (c *cache[K]) fly(f *flight, k K, now clock.Instant, generation uint64, known bool) {
	defer close(f.done)
	d := c.directory
	ctx, cancel := context.WithTimeout(context.Background(), lookupTime)
	defer cancel()
	found, err := d.lookSettled(ctx, c.credential(k))
	d.heard(err)
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(c.flights, k)
	switch {
	case err != nil:
		f.err = err
	case found == nil:
		c.miss(k, now)
	default:
		r := d.admit(found)
		c.remember(k, r, generation, now)
		f.definition = &r.definition
		if !known {
			d.budget.refund()
		}
	}
}

// await waits for the flight for so long, or until ctx ends.
func (f *flight) await(ctx context.Context, most time.Duration) error {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-f.done:
		return nil
	case <-timer.C:
		return ErrUnavailable
	case <-ctx.Done():
		return fmt.Errorf("consumers: %w", context.Cause(ctx))
	}
}

// awaitPatiently waits no longer than until awaitTime after the flight's start, and
// than the request's patience.
func (f *flight) awaitPatiently(ctx context.Context) error {
	began := time.Now()
	defer func() { store.Waited(ctx, time.Since(began)) }()
	return f.await(ctx, store.Patience(ctx, time.Until(f.began.Add(awaitTime))))
}

// seen is a consumer's row as it was read.
type seen struct {
	consumer *config.Consumer
	etag     string
}

// errMoved says that a credential was claimed or confirmed while it was looked up.
var errMoved = fmt.Errorf("%w: the credential is being moved", ErrUnavailable)

// lookTries bounds how often a look-up begins anew.
const lookTries = 3

// lookSettled finds the consumer of a credential; nil is nobody.
func (d *Directory) lookSettled(ctx context.Context, c credential) (found *seen, err error) {
	for range lookTries {
		if found, err = d.look(ctx, c); !errors.Is(err, errMoved) {
			break
		}
	}
	return found, err
}

// look finds the consumer of a credential with two point reads, or three while a
// change is under way or if its writer died.
func (d *Directory) look(ctx context.Context, c credential) (*seen, error) {
	row, err := d.o.Store.Get(ctx, c.indexKey())
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrInvalid) {
		return nil, nil // Or longer than any that was ever added.
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	name, held, err := decodeIndex(row.Columns)
	if err != nil {
		d.tell(Event{Kind: EventBroken, Err: fmt.Errorf("index row of the %s: %w", c, err)})
		return nil, nil
	}
	found, err := d.read(ctx, name)
	if err != nil || found == nil || !lists(found.consumer, c) {
		return nil, err
	}
	if !held { // Nobody could say which came first, the consumer's row or another claim.
		again, err := d.o.Store.Get(ctx, c.indexKey())
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		if again.ETag != row.ETag {
			return nil, errMoved
		}
	}
	if d.o.InFile(name) {
		d.tell(Event{Kind: EventInFile, Consumer: name})
		return nil, nil
	}
	return found, nil
}

// read reads the row of a consumer; nil is none that can be used.
func (d *Directory) read(ctx context.Context, name string) (*seen, error) {
	row, err := d.o.Store.Get(ctx, consumerKey(name))
	if errors.Is(err, store.ErrNotFound) {
		d.gone(name)
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	d.mu.RLock()
	known := seen{}
	if r := d.records[name]; r != nil {
		known = seen{r.definition.Consumer, r.etag}
	}
	d.mu.RUnlock()
	if known.consumer != nil && known.etag == row.ETag {
		return &known, nil
	}
	consumer, err := decodeConsumer(name, row.Columns)
	if errors.Is(err, errRemoved) {
		d.gone(name)
		return nil, nil
	}
	if err != nil {
		d.tell(Event{Kind: EventBroken, Consumer: name, Err: err})
		d.gone(name)
		return nil, nil
	}
	if err := d.o.Check(*consumer); err != nil && !d.o.InFile(name) {
		d.tell(Event{Kind: EventUnfit, Consumer: name, Err: err})
	}
	return &seen{consumer, row.ETag}, nil
}

// lists tells whether the credential is the consumer's, if its index row says so.
func lists(consumer *config.Consumer, c credential) bool {
	return slices.Contains(credentials(consumer), c)
}

// heard notes what an operation says about the store.
func (d *Directory) heard(err error) {
	now := d.o.Clock.Read()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rest = clock.Deadline{}
	if err != nil {
		d.rest = now.Until(now.Time().Add(restFor))
	}
}

// budget bounds the look-ups that find nobody. The zero value is empty.
type budget struct {
	left float64
	at   int64 // monotonic nanoseconds of the last change
}

// take takes one, if there is one.
func (b *budget) take(now clock.Instant) bool {
	earned := time.Duration(max(now.Monotonic-b.at, 0)).Seconds() * lookupsPerSecond
	b.left, b.at = min(b.left+earned, burst), now.Monotonic
	if b.left < 1 {
		return false
	}
	b.left--
	return true
}

// refund gives one back: the look-up found somebody.
func (b *budget) refund() { b.left = min(b.left+1, burst) }
