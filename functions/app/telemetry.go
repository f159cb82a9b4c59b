package app

import (
	"net/http"

	"spillway/functions/gateway"
	"spillway/shared/config"
	"spillway/shared/lease"
	"spillway/shared/telemetry/export"
	"spillway/shared/telemetry/meter"
	"spillway/shared/telemetry/tracer"
	"spillway/shared/usage"
)

// providers are the conventions' names (gen_ai.provider.name) of who answers a
// backend's dialect.
var providers = map[string]string{
	"azure":    "azure.ai.openai",
	"azure-v1": "azure.ai.openai",
	"openai":   "openai",
}

// newMeter is the meter of an instance, or nil if nobody reads it.
func newMeter(cfg *config.Config, to *export.Export) (*meter.Meter, error) {
	if to == nil || to.Meters() == nil {
		return nil, nil
	}
	byBackend := make(map[string]string, len(cfg.Backends))
	for _, b := range cfg.Backends {
		byBackend[b.Name] = providers[b.API]
	}
	return meter.New(meter.Options{Provider: to.Meters(), Providers: byBackend})
}

// newTrace is gateway.Options.Trace: nil if traces are not exported.
func newTrace(cfg *config.Config, to *export.Export) func(http.Header, *usage.Record) gateway.Span {
	if to == nil || to.Traces() == nil {
		return nil
	}
	backends := make(map[string]tracer.Backend, len(cfg.Backends))
	for _, b := range cfg.Backends {
		backends[b.Name] = tracer.Backend{Provider: providers[b.API], Endpoint: b.Endpoint}
	}
	t := tracer.New(to.Traces(), backends)
	return func(client http.Header, record *usage.Record) gateway.Span {
		if span := t.Start(client, record); span != nil {
			return span
		}
		return nil // a nil *tracer.Span would be a Span
	}
}

// measure is what the gauges show.
func (a *App) measure() meter.State {
	now := a.options.Clock.Now()
	s := meter.State{
		Instances:   a.leases.Instances(),
		Degraded:    map[string]bool{"limits": a.leases.Degraded(), "breakers": a.breakers.Degraded()},
		Deployments: make([]meter.Deployment, 0, len(a.plan.deployments)),
	}
	for _, d := range a.plan.deployments {
		view := d.Breaker.View()
		shown := meter.Deployment{
			Backend: d.Backend.Name, Name: d.Name, Region: d.Backend.Region,
			Breaker: view.State.String(), Throttled: view.Throttled(now), InFlight: d.InFlight(),
		}
		for unit, limit := range map[string]*lease.Limit{"tokens": d.Tokens, "requests": d.Requests} {
			if limit != nil {
				status := limit.Status()
				shown.Limits = append(shown.Limits, meter.Limit{Unit: unit, Amount: status.Amount, Remaining: status.Remaining})
			}
		}
		s.Deployments = append(s.Deployments, shown)
	}
	return s
}
