package app

import (
	"time"

	"spillway/functions/console"
	"spillway/functions/gateway"
	"spillway/shared/lease"
)

// status reads the state of every deployment.
func (a *App) status(_ time.Time) console.Status {
	now := a.options.Clock.Now()
	s := console.Status{
		Version:   a.options.Version,
		Instance:  a.options.Instance,
		Now:       now.UTC(),
		Instances: a.leases.Instances(),
		Store:     console.Store{Kind: a.state, Degraded: a.breakers.Degraded() || a.leases.Degraded()},
		Totals:    a.totals.Totals(),
	}
	for _, p := range a.plan.pools {
		shown := console.Pool{Name: p.Name, Model: p.Model, Strategy: p.Strategy.String()}
		for _, m := range p.Members {
			shown.Members = append(shown.Members, console.Member{Deployment: m.ID, Priority: m.Priority, Weight: m.Weight})
		}
		s.Pools = append(s.Pools, shown)
	}
	for _, d := range a.plan.deployments {
		s.Deployments = append(s.Deployments, deploymentStatus(d, now))
	}
	return s
}

func deploymentStatus(d *gateway.Deployment, now time.Time) console.Deployment {
	view := d.Breaker.View()
	return console.Deployment{
		ID:             d.ID,
		Breaker:        view.State.String(),
		OpenUntil:      future(view.OpenUntil, now),
		ThrottledUntil: future(view.ThrottledUntil, now),
		InFlight:       d.InFlight(),
		FirstByteMs:    float64(d.Latency.Value(now).Microseconds()) / 1000,
		Tokens:         limitStatus(d.Tokens),
		Requests:       limitStatus(d.Requests),
	}
}

// future is t if it is still to come, else nil.
func future(t, now time.Time) *time.Time {
	if !t.After(now) {
		return nil
	}
	utc := t.UTC()
	return &utc
}

func limitStatus(l *lease.Limit) *console.Limit {
	if l == nil {
		return nil
	}
	s := l.Status()
	return &console.Limit{Limit: s.Amount, Remaining: s.Remaining, ResetAt: s.ResetAt.UTC()}
}
