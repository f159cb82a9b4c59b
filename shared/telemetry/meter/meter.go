// Package meter counts what the gateway does and hands the numbers to an OpenTelemetry
// MeterProvider: what a request took by the names of the conventions for generative AI
// (gen_ai.*), what the gateway itself does by names of its own (spillway.*).
//
// The number of series is bounded, whatever clients and backends send: an instrument
// has at most Options.Limit attribute sets, of which one is the overflow that
// OpenTelemetry's specification names. What a client has sent becomes a value only if
// the configuration knows it. Series are looked up, not built: counting a request
// allocates nothing once its series is there.
package meter

import (
	"cmp"
	"errors"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/metric"
)

// Scope is the name of the instrumentation scope.
const Scope = "spillway"

// DefaultLimit is the number of attribute sets that an instrument may have unless
// Options say otherwise. It is that of OpenTelemetry's SDKs.
const DefaultLimit = 2000

// Options are the settings of a Meter.
type Options struct {
	// Provider makes the instruments. Required. Its own cardinality limit must not be
	// below Limit.
	Provider metric.MeterProvider
	// Providers are, by the backend's name, the values of gen_ai.provider.name, such
	// as azure.ai.openai.
	Providers map[string]string
	// Limit is the number of attribute sets per instrument, at least 2. Default:
	// DefaultLimit.
	Limit int
}

// Meter counts. It is safe for concurrent use. A nil *Meter counts nothing.
type Meter struct {
	providers map[string]string
	state     atomic.Pointer[func() State] // nil until Watch

	mu          sync.Mutex // Guards the sets of all instruments.
	instruments instruments

	kinds    *cache[requestKind, requestKind]
	latest   atomic.Pointer[requestKind] // of kinds; nil: none, or one that there is no room for
	requests *cache[requestKey, requestSeries]
	attempts *cache[attemptKey, attemptSeries]
	tables   *cache[tableKey, tableSeries]
	leases   *cache[leaseKey, leaseSeries]
	breakers *cache[breakerKey, adder]
	events   *cache[nameKey, adder]

	overgrants *cache[nameKey, adder]
}

// New makes the instruments.
func New(o Options) (*Meter, error) {
	if o.Provider == nil {
		return nil, errors.New("meter: no provider")
	}
	limit := max(cmp.Or(o.Limit, DefaultLimit), 2)
	m := &Meter{providers: o.Providers}
	made := o.Provider.Meter(Scope)
	if err := m.instruments.build(made, limit); err != nil {
		return nil, err
	}
	m.kinds = newCache(limit, func(k requestKind) *requestKind { return &k }, nil)
	m.requests = newCache(limit, m.newRequestSeries, m.requestSeriesAt(requestPlaces{overflow, overflow, overflow, overflow, overflow, overflow}))
	m.attempts = newCache(limit, m.newAttempts, m.attemptSeriesAt(overflow))
	m.tables = newCache(limit, m.newTableSeries, m.tableSeriesAt(overflow))
	m.leases = newCache(limit, m.newLeaseSeries, m.leaseSeriesAt(overflow))
	m.breakers = newCache(limit, m.newBreakers, m.adder(&m.instruments.breakers, overflow))
	m.events = newCache(limit, m.newEvents, m.adder(&m.instruments.events, overflow))
	m.overgrants = newCache(limit, m.newOvergrants, m.adder(&m.instruments.overgrant, overflow))
	if err := m.instruments.register(made, m.observe); err != nil { // last: it may be called at once
		return nil, err
	}
	return m, nil
}

// adder is a counter at a place.
func (m *Meter) adder(c *counter, at *place) *adder {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := c.at(at)
	return &a
}
