package meter

import (
	"context"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// overflow is the attribute of the one series that all measurements go to whose own
// would be one too many, by OpenTelemetry's specification of the metrics SDK.
var overflow = attribute.NewSet(attribute.Bool(overflowKey, true))

const overflowKey = "otel.metric.overflow"

// sets hands out the attribute sets of one instrument, at most so many. It is
// guarded by the meter's mu.
type sets struct {
	most  int // the overflow is one of them
	known map[attribute.Distinct]struct{}
}

// of is the set itself, or the overflow once there are too many.
func (s *sets) of(set attribute.Set) attribute.Set {
	if set.HasValue(overflowKey) {
		return overflow
	}
	if _, ok := s.known[set.Equivalent()]; ok {
		return set
	}
	if len(s.known) >= s.most-1 {
		return overflow
	}
	s.known[set.Equivalent()] = struct{}{}
	return set
}

// ctx is that of every measurement: none belongs to a trace, since exemplars are off.
var ctx = context.Background()

// A counter adds up; its values at an attribute set are an adder.
type counter struct {
	sets
	instrument metric.Int64Counter
	overflowed *adder // of this instrument; nil for the counter of the overflows itself
}

// adder is a counter at one attribute set, made once, so that adding builds nothing.
type adder struct {
	instrument metric.Int64Counter
	options    []metric.AddOption
	overflowed *adder // counts what went to the overflow; nil: this is no overflow
}

func (c *counter) at(set attribute.Set) adder {
	set = c.of(set)
	a := adder{instrument: c.instrument, options: []metric.AddOption{metric.WithAttributeSet(set)}}
	if set.Equivalent() == overflow.Equivalent() {
		a.overflowed = c.overflowed
	}
	return a
}

// add makes one measurement of n.
func (a *adder) add(n int64) { a.measure(n, 1) }

// count makes so many measurements of one each.
func (a *adder) count(n int64) {
	if n > 0 {
		a.measure(n, n)
	}
}

func (a *adder) measure(sum, measurements int64) {
	a.instrument.Add(ctx, sum, a.options...)
	if a.overflowed != nil {
		a.overflowed.add(measurements)
	}
}

// number is what a histogram may be of.
type number interface{ int64 | float64 }

type instrument[N number] interface {
	Record(context.Context, N, ...metric.RecordOption)
}

// A histogram counts by size; its values at an attribute set are a recorder.
type histogram[N number] struct {
	sets
	instrument instrument[N]
	overflowed *adder
}

// recorder is a histogram at one attribute set.
type recorder[N number] struct {
	instrument instrument[N]
	options    []metric.RecordOption
	overflowed *adder
}

func (h *histogram[N]) at(set attribute.Set) recorder[N] {
	set = h.of(set)
	r := recorder[N]{instrument: h.instrument, options: []metric.RecordOption{metric.WithAttributeSet(set)}}
	if set.Equivalent() == overflow.Equivalent() {
		r.overflowed = h.overflowed
	}
	return r
}

func (r *recorder[N]) record(n N) {
	r.instrument.Record(ctx, n, r.options...)
	if r.overflowed != nil {
		r.overflowed.add(1)
	}
}

// key is what a series is found by.
type key[K any] interface {
	comparable
	// clone is the key in memory of its own: what it was made of may be a request's
	// body.
	clone() K
}

// cache keeps what has been made for each key, at most so many. It is safe for
// concurrent use.
type cache[K key[K], V any] struct {
	most int
	make func(K) *V
	rest *V // stands for all keys that there is no room for

	mu   sync.RWMutex
	held map[K]*V // Guarded by mu.
}

func newCache[K key[K], V any](most int, make func(K) *V, rest *V) *cache[K, V] {
	return &cache[K, V]{most: most, make: make, rest: rest, held: map[K]*V{}}
}

func (c *cache[K, V]) get(k K) *V {
	c.mu.RLock()
	v, ok := c.held[k]
	full := len(c.held) >= c.most
	c.mu.RUnlock()
	switch {
	case ok:
		return v
	case full: // for good: nothing is ever taken out
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
	k = k.clone()
	v = c.make(k)
	c.held[k] = v
	return v
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
