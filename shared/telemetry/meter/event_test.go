package meter_test

import (
	"maps"
	"testing"

	"spillway/shared/telemetry/meter"
)

// What limits, breakers and others tell is counted by kind, and by whose it is.
func TestEvents(t *testing.T) {
	m, reader := newMeter(t, 0)
	m.Lease("grant", "consumer/team-a/model/gpt-4o/tokens", 400)
	m.Lease("grant", "consumer/team-a/model/gpt-4o/tokens", 200)
	m.Lease("stranded", "deployment/ptu/gpt-4o-ptu/requests", 3)
	m.Lease("degraded", "", 0)
	m.Breaker("opened", "consecutive_failures", "payg/gpt-4o")
	m.Breaker("degraded", "timeout", "")
	m.Event("state_lost")
	m.Event("")
	got := numbers(t, reader)
	const (
		consumer   = "spillway.consumer=team-a,spillway.lease.kind=grant,spillway.limit.owner=consumer,spillway.limit.unit=tokens"
		deployment = "spillway.backend=ptu,spillway.deployment=gpt-4o-ptu,spillway.lease.kind=stranded,spillway.limit.owner=deployment,spillway.limit.unit=requests"
	)
	expect(t, got, "spillway.lease.operations", map[string]float64{consumer: 2, deployment: 1, "spillway.lease.kind=degraded": 1})
	expect(t, got, "spillway.lease.units", map[string]float64{consumer: 600, deployment: 3})
	expect(t, got, "spillway.breaker.changes", map[string]float64{
		"spillway.backend=payg,spillway.change=opened,spillway.deployment=gpt-4o,spillway.reason=consecutive_failures": 1,
		"spillway.change=degraded,spillway.reason=timeout":                                                             1,
	})
	expect(t, got, "spillway.events", map[string]float64{"spillway.event=state_lost": 1, "": 1})
}

// The gauges are what the state is when they are read; before there is a state there
// are none.
func TestState(t *testing.T) {
	m, reader := newMeter(t, 0)
	if got := numbers(t, reader); len(got) != 0 {
		t.Errorf("without a state there is %v", maps.Keys(got))
	}
	state := meter.State{
		Instances: 3,
		Degraded:  map[string]bool{"limits": true, "breakers": false},
		Deployments: []meter.Deployment{{
			Backend: "ptu", Name: "gpt-4o-ptu", Region: "eastus2", Breaker: "open", Throttled: true, InFlight: 7,
			Limits: []meter.Limit{{Unit: "tokens", Amount: 1000, Remaining: 250}, {Unit: "requests", Amount: 0, Remaining: -5}},
		}},
	}
	m.Watch(func() meter.State { return state })
	const at = "spillway.backend=ptu,spillway.deployment=gpt-4o-ptu,"
	got := numbers(t, reader)
	expect(t, got, "spillway.instances", map[string]float64{"": 3})
	expect(t, got, "spillway.store.degraded", map[string]float64{"spillway.part=limits": 1, "spillway.part=breakers": 0})
	expect(t, got, "spillway.deployment.breaker", map[string]float64{
		"spillway.backend=ptu,spillway.breaker.state=open,spillway.deployment=gpt-4o-ptu,spillway.region=eastus2":      1,
		"spillway.backend=ptu,spillway.breaker.state=closed,spillway.deployment=gpt-4o-ptu,spillway.region=eastus2":    0,
		"spillway.backend=ptu,spillway.breaker.state=half-open,spillway.deployment=gpt-4o-ptu,spillway.region=eastus2": 0,
	})
	expect(t, got, "spillway.deployment.throttled", map[string]float64{at + "spillway.region=eastus2": 1})
	expect(t, got, "spillway.deployment.in_flight", map[string]float64{at + "spillway.region=eastus2": 7})
	tokens, requests := at+"spillway.limit.unit=tokens,spillway.region=eastus2", at+"spillway.limit.unit=requests,spillway.region=eastus2"
	expect(t, got, "spillway.deployment.limit", map[string]float64{tokens: 1000, requests: 0})
	expect(t, got, "spillway.deployment.headroom", map[string]float64{tokens: 250, requests: 0})
	expect(t, got, "spillway.deployment.fill", map[string]float64{tokens: 0.75})

	state = meter.State{Instances: 1}
	expect(t, numbers(t, reader), "spillway.instances", map[string]float64{"": 1})
}
