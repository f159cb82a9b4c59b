package consumers

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"spillway/shared/clock"
	"spillway/shared/config"
)

const (
	// recheckAfter is how long a consumer in use goes without being read.
	recheckAfter = time.Hour
	// missFor is how long it is remembered that a credential is nobody's, counted
	// from before it was looked up.
	missFor = 3 * time.Second
	// mostMisses is when those that have passed are thrown away. The budget keeps
	// their number near it.
	mostMisses = 1024
	// samples is how many entries are looked at to find one to forget.
	samples = 8
)

// record is a consumer as it was last read. All entries of its credentials share
// it, so that all give the same pointer.
type record struct {
	definition config.Definition
	etag       string // Of its row.
	entries    int    // That hold this record. Guarded by Directory.mu.
	// doubted is the generation before which an entry must have been verified.
	doubted atomic.Uint64
	used    atomic.Bool // Since the last search for one to forget.
}

// superseded is the doubt about a record that is no longer the consumer's.
const superseded = math.MaxUint64

// entry is a credential whose consumer is known. It is small, and kept in the map itself:
// of a hundred thousand credentials hardly one is in a cache of the processor.
type entry struct {
	record   *record
	verified uint64         // The generation when it was looked up.
	recheck  clock.Deadline // When to look it up again.
}

// sound tells whether nothing has been heard since that would change the answer.
func (e entry) sound() bool { return e.verified >= e.record.doubted.Load() }

// cache knows whose the credentials of one kind are. All its maps are guarded by
// Directory.mu.
type cache[K comparable] struct {
	directory  *Directory
	credential func(K) credential
	entries    map[K]entry
	misses     map[K]clock.Deadline // Nobody's, until then.
	flights    map[K]*flight        // Being looked up.
}

func newCache[K comparable](d *Directory, credential func(K) credential) cache[K] {
	return cache[K]{
		directory: d, credential: credential,
		entries: make(map[K]entry), misses: make(map[K]clock.Deadline), flights: make(map[K]*flight),
	}
}

// find tells whose the credential is.
func (c *cache[K]) find(ctx context.Context, k K) (*config.Definition, error) {
	d := c.directory
	now := d.o.Clock.Read()
	view := d.freshView(ctx, now)
	d.mu.RLock()
	e, known := c.entries[k]
	miss, missed := c.misses[k]
	d.mu.RUnlock()
	switch {
	case known && e.sound():
		if !e.record.used.Load() {
			e.record.used.Store(true)
		}
		if e.recheck.PassedAt(now) {
			_, _ = c.start(k, now, true) // What it finds is for the next one.
		}
		return &e.record.definition, nil
	case known:
		return c.verify(ctx, k, e.record, now)
	case view.none(), missed && !miss.PassedAt(now):
		return nil, nil
	}
	f, err := c.start(k, now, false)
	if err != nil {
		return nil, err
	}
	if err := f.await(ctx, lookupTime); err != nil {
		return nil, err
	}
	return f.definition, f.err
}

// verify looks a doubted entry up again. If the store does not say soon, what was
// known goes on.
func (c *cache[K]) verify(ctx context.Context, k K, r *record, now clock.Instant) (*config.Definition, error) {
	f, err := c.start(k, now, true)
	if err == nil {
		err = f.awaitPatiently(ctx)
	}
	if err == nil {
		err = f.err
	}
	if err != nil {
		return c.known(k, r, err)
	}
	return f.definition, nil
}

// known is what is known of a credential that cannot be looked up, because of err.
func (c *cache[K]) known(k K, r *record, err error) (*config.Definition, error) {
	d := c.directory
	d.mu.RLock()
	defer d.mu.RUnlock()
	if r.doubted.Load() != superseded {
		return &r.definition, nil
	}
	// Another credential has told how the consumer is now.
	switch now := d.records[r.definition.Name]; {
	case now == nil:
		return nil, err
	case lists(now.definition.Consumer, c.credential(k)):
		return &now.definition, nil
	default:
		return nil, nil
	}
}

// remember notes whose a credential is, as it was read after the given generation
// began. The caller holds mu.
func (c *cache[K]) remember(k K, r *record, generation uint64, now clock.Instant) {
	d := c.directory
	r.entries++ // First, so that it stays although its last entry may go.
	c.drop(k)
	if len(c.entries) >= d.o.Limit {
		c.evict()
	}
	c.entries[k] = entry{record: r, verified: generation, recheck: now.Until(now.Time().Add(d.jitter(recheckAfter)))}
	delete(c.misses, k)
}

// miss notes that a credential is nobody's. The caller holds mu.
func (c *cache[K]) miss(k K, now clock.Instant) {
	c.drop(k)
	if len(c.misses) >= mostMisses {
		for other, until := range c.misses {
			if until.PassedAt(now) {
				delete(c.misses, other)
			}
		}
	}
	c.misses[k] = now.Until(now.Time().Add(missFor))
}

// drop forgets a credential, and its consumer with the last one. The caller holds
// mu.
func (c *cache[K]) drop(k K) {
	e, known := c.entries[k]
	if !known {
		return
	}
	delete(c.entries, k)
	c.directory.release(e.record)
}

// evict forgets one credential of a consumer that was not heard of lately, as far as a
// few samples tell. The caller holds mu.
func (c *cache[K]) evict() {
	var victim K
	seen := 0
	for k, e := range c.entries { // In an order that varies.
		victim = k
		if seen++; seen == samples || !e.record.used.Load() {
			break
		}
		e.record.used.Store(false)
	}
	c.drop(victim)
}

// busy is closed when a look-up that is under way has ended. The caller holds mu.
func (c *cache[K]) busy() <-chan struct{} {
	for _, f := range c.flights {
		return f.done
	}
	return nil
}

// release notes that an entry let go of a record. The caller holds mu.
func (d *Directory) release(r *record) {
	r.entries--
	if name := r.definition.Name; r.entries == 0 && d.records[name] == r {
		delete(d.records, name)
	}
}

// admit returns the record of a consumer that was read: the present one, if the
// definition is the same. The caller holds mu and gives it an entry.
func (d *Directory) admit(s *seen) *record {
	name := s.consumer.Name
	r := d.records[name]
	if r != nil && r.etag == s.etag {
		return r
	}
	if r != nil {
		r.doubted.Store(superseded)
	}
	r = &record{definition: config.Definition{Consumer: s.consumer}, etag: s.etag}
	r.doubted.Store(d.watched[name].generation)
	d.records[name] = r
	return r
}

// gone notes that there is no such consumer, as far as one reader saw.
func (d *Directory) gone(name string) {
	d.mu.Lock()
	r := d.records[name]
	if r != nil {
		r.doubted.Store(superseded)
		delete(d.records, name)
	}
	d.mu.Unlock()
	if r != nil {
		d.o.Gone(name)
	}
}

// jitter varies a time by up to a tenth less.
func (d *Directory) jitter(t time.Duration) time.Duration {
	return t - time.Duration(d.o.Random(uint64(t)/10+1))
}
