package meter

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// State is how the gateway stands at one moment.
type State struct {
	// Instances is the number of instances that share the limits.
	Instances int64
	// Degraded tells, by the name of a part ("limits", "breakers"), whether it does
	// without the shared state now.
	Degraded map[string]bool
	// Deployments are all that are configured.
	Deployments []Deployment
}

// Deployment is the state of one deployment, as this instance sees it.
type Deployment struct {
	Backend, Name string
	Region        string // as configured; may be empty
	Breaker       string // "closed", "open" or "half-open"
	Throttled     bool
	InFlight      int64
	Limits        []Limit
}

// Limit is a limit of a deployment in the window that runs.
type Limit struct {
	Unit      string // "tokens" or "requests"
	Amount    int64  // per window
	Remaining int64
}

// Watch gives the meter what to ask for the state whenever the metrics are read. It
// must return soon and do no I/O. The last call counts.
func (m *Meter) Watch(state func() State) {
	if m != nil {
		m.state.Store(&state)
	}
}

// observe gives the gauges their values. Whoever reads the metrics calls it before the
// other instruments are read, which are told here what has been noted for them.
func (m *Meter) observe(_ context.Context, o metric.Observer) error {
	m.requests.each((*requestSeries).flush)
	m.attempts.each((*attemptSeries).flush)
	read := m.state.Load()
	if read == nil {
		return nil
	}
	s, i := (*read)(), &m.instruments
	o.ObserveInt64(i.instances, s.Instances)
	for part, degraded := range s.Degraded {
		o.ObserveInt64(i.degraded, one(degraded), metric.WithAttributes(attribute.String("spillway.part", part)))
	}
	for n := range s.Deployments {
		i.deployment(o, &s.Deployments[n])
	}
	return nil
}

// breakerStates are the values of spillway.breaker.state.
var breakerStates = [...]string{"closed", "open", "half-open"}

func (i *instruments) deployment(o metric.Observer, d *Deployment) {
	var a attributes
	a.text("spillway.backend", d.Backend)
	a.text("spillway.deployment", d.Name)
	a.text("spillway.region", d.Region)
	at := metric.WithAttributes(a...)
	o.ObserveInt64(i.throttled, one(d.Throttled), at)
	o.ObserveInt64(i.inFlight, d.InFlight, at)
	for _, state := range breakerStates {
		o.ObserveInt64(i.breaker, one(d.Breaker == state), metric.WithAttributes(a.with("spillway.breaker.state", state)...))
	}
	for _, l := range d.Limits {
		at := metric.WithAttributes(a.with("spillway.limit.unit", l.Unit)...)
		remaining := min(max(l.Remaining, 0), l.Amount)
		o.ObserveInt64(i.limit, l.Amount, at)
		o.ObserveInt64(i.headroom, remaining, at)
		if l.Amount > 0 {
			o.ObserveFloat64(i.fill, 1-float64(remaining)/float64(l.Amount), at)
		}
	}
}

func one(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}
