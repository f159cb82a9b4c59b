package meter

import (
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// The names of the instruments.
const (
	nameTokens         = "gen_ai.client.token.usage"
	nameDuration       = "gen_ai.client.operation.duration"
	nameFirstChunk     = "gen_ai.client.operation.time_to_first_chunk"
	namePerOutputToken = "gen_ai.server.time_per_output_token"

	nameRequests      = "spillway.requests"
	nameAttempts      = "spillway.attempts"
	nameSpilled       = "spillway.spilled.requests"
	nameSpilledTokens = "spillway.spilled.tokens"
	nameUnreported    = "spillway.tokens.unreported"
	nameShadowed      = "spillway.shadowed.requests"
	nameWait          = "spillway.queue.wait"
	nameBreakers      = "spillway.breaker.changes"
	nameLeases        = "spillway.lease.operations"
	nameLeaseUnits    = "spillway.lease.units"
	nameOvergrant     = "spillway.lease.overgranted"
	nameTables        = "spillway.table.operations"
	nameTableTime     = "spillway.table.operation.duration"
	nameEvents        = "spillway.events"
	nameOverflow      = "spillway.telemetry.overflow"

	nameInstances = "spillway.instances"
	nameDegraded  = "spillway.store.degraded"
	nameBreaker   = "spillway.deployment.breaker"
	nameThrottled = "spillway.deployment.throttled"
	nameInFlight  = "spillway.deployment.in_flight"
	nameLimit     = "spillway.deployment.limit"
	nameHeadroom  = "spillway.deployment.headroom"
	nameFill      = "spillway.deployment.fill"
)

// The bounds of the histograms; those of gen_ai.* are the conventions' own.
var (
	tokenBounds     = []float64{1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864}
	operationBounds = []float64{.01, .02, .04, .08, .16, .32, .64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92}
	perTokenBounds  = []float64{.01, .025, .05, .075, .1, .15, .2, .3, .4, .5, .75, 1, 2.5}
	waitBounds      = []float64{.05, .1, .25, .5, 1, 2, 4, 8, 16, 32, 64}
	tableBounds     = []float64{.001, .002, .005, .01, .02, .05, .1, .15, .25, .5, 1, 5}
)

// instruments are all that the gateway measures with.
type instruments struct {
	tokens         histogram[int64]
	duration       histogram[float64]
	firstChunk     histogram[float64]
	perOutputToken histogram[float64]
	wait           histogram[float64]
	tableTime      histogram[float64]

	requests, attempts, spilled, spilledTokens, unreported, shadowed counter
	breakers, leases, leaseUnits, overgrant, tables, events          counter

	instances, degraded, breaker, throttled, inFlight, limit, headroom metric.Int64ObservableGauge
	fill                                                               metric.Float64ObservableGauge
}

// builder makes instruments and keeps what went wrong.
type builder struct {
	meter      metric.Meter
	most       int
	overflowed counter
	errs       []error
}

// build makes all instruments.
func (i *instruments) build(m metric.Meter, most int) error {
	b := builder{meter: m, most: most}
	b.overflowed = b.counter(nameOverflow, "{measurement}", "Measurements that went to the overflow series of an instrument, by the instrument.")
	i.tokens = b.sizes(nameTokens, "{token}", "Number of input and output tokens used, as the backend reported them.", tokenBounds)
	i.duration = b.times(nameDuration, "From the arrival of a request that was sent to a backend to the last byte of its answer.", operationBounds)
	i.firstChunk = b.times(nameFirstChunk, "From the arrival of a request to the first byte of its streamed answer.", operationBounds)
	i.perOutputToken = b.times(namePerOutputToken, "Mean time per output token after the first byte of a streamed answer.", perTokenBounds)
	i.wait = b.times(nameWait, "How long requests were held for capacity that waited at all.", waitBounds)
	i.tableTime = b.times(nameTableTime, "How long the operations on the shared state took.", tableBounds)
	i.requests = b.counter(nameRequests, "{request}", "Finished requests by outcome.")
	i.attempts = b.counter(nameAttempts, "{attempt}", "Requests sent to backends, by how each ended.")
	i.spilled = b.counter(nameSpilled, "{request}", "Requests that a lower priority served, by why the higher one did not.")
	i.spilledTokens = b.counter(nameSpilledTokens, "{token}", "Tokens of the requests that a lower priority served.")
	i.unreported = b.counter(nameUnreported, "{token}", "Tokens that the backend did not report and the gateway counted itself.")
	i.shadowed = b.counter(nameShadowed, "{request}", "Requests that a limit in shadow would have refused.")
	i.breakers = b.counter(nameBreakers, "{change}", "Changes of breakers and throttles that this instance has made or learned of.")
	i.leases = b.counter(nameLeases, "{operation}", "What the limits did with the shared state, by kind.")
	i.leaseUnits = b.counter(nameLeaseUnits, "{unit}", "Units (tokens or requests) that the limits moved, by kind.")
	i.overgrant = b.counter(nameOvergrant, "{unit}", "Units by which a write of this instance left a limit granted beyond its amount. It must stay 0.")
	i.tables = b.counter(nameTables, "{operation}", "Operations on the shared state by outcome.")
	i.events = b.counter(nameEvents, "{event}", "What else an operator is told of in the log, by its name there.")

	i.instances = b.gauge(nameInstances, "{instance}", "Instances that share the limits, as far as this one can tell.")
	i.degraded = b.gauge(nameDegraded, "", "1 while a part does without the shared state, else 0.")
	i.breaker = b.gauge(nameBreaker, "", "1 for the state that the deployment's breaker is in, 0 for the others.")
	i.throttled = b.gauge(nameThrottled, "", "1 while the deployment has asked to be left alone, else 0.")
	i.inFlight = b.gauge(nameInFlight, "{request}", "Requests that the deployment is answering for this instance.")
	i.limit = b.gauge(nameLimit, "{unit}", "The deployment's limit per window.")
	i.headroom = b.gauge(nameHeadroom, "{unit}", "What is left of the deployment's limit in this window, as this instance sees it.")
	var err error
	i.fill, err = m.Float64ObservableGauge(nameFill, metric.WithUnit("1"), metric.WithDescription("The share of the deployment's limit that is taken, from 0 to 1, as this instance sees it."))
	b.errs = append(b.errs, err)
	return errors.Join(b.errs...)
}

// register has observe called whenever the metrics are read, for the values of the
// gauges. From then on it may be called at any time.
func (i *instruments) register(m metric.Meter, observe metric.Callback) error {
	_, err := m.RegisterCallback(observe, i.instances, i.degraded, i.breaker, i.throttled, i.inFlight, i.limit, i.headroom, i.fill)
	return err
}

func (b *builder) places() places {
	return places{most: b.most, known: map[attribute.Distinct]struct{}{}}
}

// overflows counts the overflow of one instrument.
func (b *builder) overflows(name string) *adder {
	if b.overflowed.instrument == nil {
		return nil
	}
	a := b.overflowed.at(newPlace(attribute.String("spillway.instrument", name)))
	return &a
}

func (b *builder) counter(name, unit, description string) counter {
	made, err := b.meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
	b.errs = append(b.errs, err)
	return counter{b.places(), made, b.overflows(name)}
}

func (b *builder) sizes(name, unit, description string, bounds []float64) histogram[int64] {
	made, err := b.meter.Int64Histogram(name, metric.WithUnit(unit), metric.WithDescription(description), metric.WithExplicitBucketBoundaries(bounds...))
	b.errs = append(b.errs, err)
	return histogram[int64]{b.places(), made, b.overflows(name)}
}

func (b *builder) times(name, description string, bounds []float64) histogram[float64] {
	made, err := b.meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description), metric.WithExplicitBucketBoundaries(bounds...))
	b.errs = append(b.errs, err)
	return histogram[float64]{b.places(), made, b.overflows(name)}
}

func (b *builder) gauge(name, unit, description string) metric.Int64ObservableGauge {
	made, err := b.meter.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(description))
	b.errs = append(b.errs, err)
	return made
}
