package meter

import (
	"strings"
)

// leaseKey is what a limit did.
type leaseKey struct{ kind, limit string }

func (k leaseKey) with(own func(string) string) leaseKey {
	return leaseKey{own(k.kind), own(k.limit)}
}

type leaseSeries struct{ operations, units adder }

// Lease counts something that a limit did with the shared state. kind is one of a
// small set: "grant", "conflict", "ambiguous", "stranded" and so on. limit is the
// limit's key, such as "consumer/NAME/tokens" or "deployment/BACKEND/NAME/requests";
// empty if it concerns no single limit. Units below zero count as none.
func (m *Meter) Lease(kind, limit string, units int64) {
	if m == nil {
		return
	}
	s := m.leases.get(leaseKey{kind, limit})
	s.operations.add(1)
	if units > 0 {
		s.units.add(units)
	}
}

func (m *Meter) newLeaseSeries(k leaseKey) *leaseSeries {
	return m.leaseSeriesAt(limitAttributes(k.limit).with("spillway.lease.kind", k.kind).place())
}

func (m *Meter) leaseSeriesAt(all *place) *leaseSeries {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := &m.instruments
	return &leaseSeries{i.leases.at(all), i.leaseUnits.at(all)}
}

// overgranted counts units of a limit that a write has granted beyond its amount. A
// write that has granted none counts 0, so that it can be seen that there are none.
func (m *Meter) overgranted(limit string, units int64) {
	m.overgrants.get(nameKey(limit)).add(units)
}

func (m *Meter) newOvergrants(k nameKey) *adder {
	return m.adder(&m.instruments.overgrant, limitAttributes(string(k)).place())
}

// limitAttributes are those of a limit by its key: whose it is, and of what.
func limitAttributes(key string) attributes {
	var a attributes
	owner, rest, _ := strings.Cut(key, "/")
	last := strings.LastIndexByte(rest, '/')
	if last < 0 {
		return a
	}
	name, unit := rest[:last], rest[last+1:]
	switch owner {
	case "deployment":
		backend, deployment, _ := strings.Cut(name, "/")
		a.text("spillway.backend", backend)
		a.text("spillway.deployment", deployment)
	case "consumer":
		consumer, _, _ := strings.Cut(name, "/")
		a.text("spillway.consumer", consumer)
	}
	a.text("spillway.limit.owner", owner)
	a.text("spillway.limit.unit", unit)
	return a
}

// breakerKey is a change of a breaker.
type breakerKey struct{ kind, reason, deployment string }

func (k breakerKey) with(own func(string) string) breakerKey {
	return breakerKey{own(k.kind), own(k.reason), own(k.deployment)}
}

// Breaker counts a change of a breaker or a throttle: its kind ("opened", "closed",
// "throttled" …), the reason, and the deployment's id, "backend/deployment", empty if
// it concerns none.
func (m *Meter) Breaker(kind, reason, deployment string) {
	if m == nil {
		return
	}
	m.breakers.get(breakerKey{kind, reason, deployment}).add(1)
}

func (m *Meter) newBreakers(k breakerKey) *adder {
	backend, deployment, _ := strings.Cut(k.deployment, "/")
	var a attributes
	a.text("spillway.backend", backend)
	a.text("spillway.deployment", deployment)
	a.text("spillway.change", k.kind)
	a.text("spillway.reason", k.reason)
	return m.adder(&m.instruments.breakers, a.place())
}

// nameKey is the name of an event, or the key of a limit.
type nameKey string

func (k nameKey) with(own func(string) string) nameKey { return nameKey(own(string(k))) }

// Event counts what has no instrument of its own, by the name that its log line has:
// "state_lost", "panic", "signing_keys_unavailable". Names are of a small set.
func (m *Meter) Event(name string) {
	if m == nil {
		return
	}
	m.events.get(nameKey(name)).add(1)
}

func (m *Meter) newEvents(k nameKey) *adder {
	var a attributes
	a.text("spillway.event", string(k))
	return m.adder(&m.instruments.events, a.place())
}
