package meter

import (
	"context"
	"hash/maphash"
	"strings"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// place is a set of attributes as instruments are told it, made once for all of them:
// there may be thousands, of some 800 bytes each.
type place struct {
	set    attribute.Set
	add    []metric.AddOption
	record []metric.RecordOption
}

func newPlace(all ...attribute.KeyValue) *place {
	set := attribute.NewSet(all...)
	option := metric.WithAttributeSet(set)
	return &place{set, []metric.AddOption{option}, []metric.RecordOption{option}}
}

// overflow is the attribute of the one series that all measurements go to whose own
// would be one too many, by OpenTelemetry's specification of the metrics SDK.
var overflow = newPlace(attribute.Bool("otel.metric.overflow", true))

// places hands out those of one instrument, at most so many. It is guarded by the
// meter's mu.
type places struct {
	most  int // the overflow is one of them
	known map[attribute.Distinct]struct{}
}

// of is the place itself, or the overflow once there are too many.
func (p *places) of(at *place) *place {
	if at == overflow {
		return overflow
	}
	id := at.set.Equivalent()
	if _, ok := p.known[id]; ok {
		return at
	}
	if len(p.known) >= p.most-1 {
		return overflow
	}
	p.known[id] = struct{}{}
	return at
}

// ctx is that of every measurement: none belongs to a trace, since exemplars are off.
var ctx = context.Background()

// A counter adds up; its values at a place are an adder.
type counter struct {
	places
	instrument metric.Int64Counter
	overflowed *adder // of this instrument; nil for the counter of the overflows itself
}

// adder is a counter at one place, made once, so that adding builds nothing.
type adder struct {
	counter *counter
	at      *place
}

func (c *counter) at(at *place) adder { return adder{c, c.of(at)} }

// add makes one measurement of n.
func (a *adder) add(n int64) { a.measure(n, 1) }

// count makes so many measurements of one each.
func (a *adder) count(n int64) {
	if n > 0 {
		a.measure(n, n)
	}
}

func (a *adder) measure(sum, measurements int64) {
	a.counter.instrument.Add(ctx, sum, a.at.add...)
	if a.at == overflow && a.counter.overflowed != nil {
		a.counter.overflowed.add(measurements)
	}
}

// number is what a histogram may be of.
type number interface{ int64 | float64 }

type instrument[N number] interface {
	Record(context.Context, N, ...metric.RecordOption)
}

// A histogram counts by size; its values at a place are a recorder.
type histogram[N number] struct {
	places
	instrument instrument[N]
	overflowed *adder
}

// recorder is a histogram at one place.
type recorder[N number] struct {
	histogram *histogram[N]
	at        *place
}

func (h *histogram[N]) at(at *place) recorder[N] { return recorder[N]{h, h.of(at)} }

// record makes one measurement of n.
func (r *recorder[N]) record(n N) {
	r.measure(n)
	r.measured(1)
}

// measure is record, but for telling of how many there were: that is for measured, once
// for many.
func (r *recorder[N]) measure(n N) { r.histogram.instrument.Record(ctx, n, r.at.record...) }

// measured tells that so many were measured, if they went to the overflow.
func (r *recorder[N]) measured(measurements int64) {
	if r.at == overflow && measurements > 0 {
		r.histogram.overflowed.add(measurements)
	}
}

// key is what a series is found by.
type key[K any] interface {
	comparable
	// with is the key with other texts of the same content: what it was made of may be
	// a request's body.
	with(own func(string) string) K
}

// cache keeps what has been made for each key, at most so many. It is safe for
// concurrent use.
type cache[K key[K], V any] struct {
	most int
	make func(K) *V
	rest *V // stands for all keys that there is no room for

	mu    sync.RWMutex
	held  map[K]*V          // Guarded by mu.
	texts map[string]string // Those of the keys that are held, once for all. Guarded by mu.
	seed  maphash.Seed
	sieve sieve // Of the keys that are held. Guarded by mu.
}

// sieve has a bit for the hash of each key that is held, and nearly none for another.
// Where a hundred thousand consumers take turns nearly no key is held. To find that out
// the map reads memory that is in no cache; this is 4 KiB.
type sieve [1 << 9]uint64

// bit is the place of a hash.
func (s *sieve) bit(hash uint64) (word *uint64, bit uint64) {
	return &s[hash/64%uint64(len(s))], 1 << (hash % 64)
}

func (s *sieve) add(hash uint64) {
	word, bit := s.bit(hash)
	*word |= bit
}

func (s *sieve) has(hash uint64) bool {
	word, bit := s.bit(hash)
	return *word&bit != 0
}

func newCache[K key[K], V any](most int, make func(K) *V, rest *V) *cache[K, V] {
	return &cache[K, V]{most: most, make: make, rest: rest, held: map[K]*V{}, texts: map[string]string{}, seed: maphash.MakeSeed()}
}

func (c *cache[K, V]) get(k K) *V {
	c.mu.RLock()
	full := len(c.held) >= c.most // for good: nothing is ever taken out
	var v *V
	if !full || c.sieve.has(maphash.Comparable(c.seed, k)) {
		v = c.held[k]
	}
	c.mu.RUnlock()
	switch {
	case v != nil:
		return v
	case full:
		return c.rest
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if v, ok := c.held[k]; ok {
		return v
	}
	if len(c.held) >= c.most {
		return c.rest
	}
	k = k.with(c.own)
	v = c.make(k)
	c.held[k] = v
	c.sieve.add(maphash.Comparable(c.seed, k))
	return v
}

// own is a text in memory of the cache's own. The caller holds mu, and keeps the text.
func (c *cache[K, V]) own(text string) string {
	known, ok := c.texts[text]
	if !ok {
		known = strings.Clone(text)
		c.texts[known] = known
	}
	return known
}

// each calls f with all that is held.
func (c *cache[K, V]) each(f func(*V)) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	f(c.rest)
	for _, v := range c.held {
		f(v)
	}
}
