package app

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"time"

	"spillway/functions/console"
	"spillway/functions/console/activity"
	"spillway/functions/gateway"
	"spillway/shared/breaker"
	"spillway/shared/lease"
)

// newActivity counts what the deployments and pools of a plan do from now on.
func newActivity(plan *topology, now time.Time) *activity.Recorder {
	var deployments []activity.Deployment
	for _, d := range plan.deployments {
		counted := activity.Deployment{ID: d.ID, Backend: d.Backend.Name, Name: d.Name}
		if limit := cmp.Or(d.Tokens, d.Requests); limit != nil {
			counted.Fill = func() float64 { return fill(limit.Status()) }
		}
		deployments = append(deployments, counted)
	}
	var pools []string
	for _, p := range plan.pools {
		pools = append(pools, p.Name)
	}
	return activity.New(deployments, pools, now)
}

// fill is the share of a limit that is used up.
func fill(s lease.Status) float64 {
	if s.Amount <= 0 {
		return math.NaN()
	}
	return float64(s.Amount-s.Remaining) / float64(s.Amount)
}

// breakerEvent logs what happened to a breaker, and keeps it for who looks.
func (a *App) breakerEvent(e breaker.Event) {
	a.events.breaker(e)
	a.activity.Happened(activity.Event{
		At: a.options.Clock.Now().UTC(), Kind: e.Kind.String(), Deployment: e.Deployment, Reason: string(e.Reason),
		Until: timeOrNil(e.Until), Opens: e.Opens, Status: e.Status,
	})
}

// status reads the state of the gateway, with history and events from a moment on. It
// does no I/O, so that it is there while the table is not.
func (a *App) status(since time.Time) console.Status {
	now := a.options.Clock.Now()
	s := console.Status{
		View:      console.View,
		Version:   a.options.Version,
		Instance:  a.options.Instance,
		Now:       now.UTC(),
		Started:   a.activity.Start().UTC(),
		Instances: a.leases.Instances(),
		Store:     a.storeStatus(),
		Totals:    a.totals.Totals(),
		Pools:     poolsStatus(a.plan.pools),
		Consumers: a.consumersStatus(now),
		Events:    a.activity.Events(since),
		History:   a.activity.History(since, now),
	}
	var served int64
	for _, d := range a.plan.deployments {
		shown := a.deploymentStatus(d, now)
		served += shown.Counts.Requests
		s.Deployments = append(s.Deployments, shown)
	}
	for i := range s.Deployments {
		s.Deployments[i].Share = float64(s.Deployments[i].Counts.Requests) / float64(max(served, 1))
	}
	return s
}

func (a *App) storeStatus() console.Store {
	s := console.Store{Kind: a.state, Degraded: a.breakers.Degraded() || a.leases.Degraded()}
	if s.Degraded {
		s.Message = "The shared state does not answer: until it does, this instance counts alone, as state.onUnavailable says. The log tells why."
	}
	return s
}

func poolsStatus(pools []*gateway.Pool) []console.Pool {
	var all []console.Pool
	for _, p := range pools {
		shown := console.Pool{Name: p.Name, Model: p.Model, Strategy: p.Strategy.String()}
		for _, m := range p.Members {
			shown.Members = append(shown.Members, console.Member{Deployment: m.ID, Priority: m.Priority, Weight: m.Weight})
		}
		all = append(all, shown)
	}
	return all
}

func (a *App) deploymentStatus(d *gateway.Deployment, now time.Time) console.Deployment {
	view := d.Breaker.View()
	known := a.activity.Deployment(d.ID, now)
	shown := console.Deployment{
		ID:              d.ID,
		Backend:         d.Backend.Name,
		Region:          d.Backend.Region,
		Breaker:         view.State.String(),
		OpenUntil:       future(view.OpenUntil, now),
		ThrottledUntil:  future(view.ThrottledUntil, now),
		InFlight:        d.InFlight(),
		FirstByteMs:     milliseconds(d.Latency.Value(now)),
		Tokens:          limitStatus(d.Tokens),
		Requests:        limitStatus(d.Requests),
		Fill:            activity.Share(math.NaN()),
		Counts:          known.Counts,
		Latency:         known.Latency,
		TimeToFirstByte: known.FirstByte,
	}
	if limit := cmp.Or(d.Tokens, d.Requests); limit != nil {
		shown.Fill = activity.Share(fill(limit.Status()))
	}
	return shown
}

// consumersStatus are the consumers that are the most active, with what their limits
// have left.
func (a *App) consumersStatus(now time.Time) console.Consumers {
	most, seen, others := a.activity.Consumers(console.MaxConsumers, now)
	s := console.Consumers{Seen: seen, Others: others, MostActive: make([]console.Consumer, 0, len(most))}
	for _, used := range most {
		shown := console.Consumer{Name: used.Name, Last: used.Last.UTC(), Usage: used.Usage, Limits: []console.ConsumerLimit{}}
		if c := a.roster.known(used.Name); c != nil {
			shown.Shadow = c.Shadow
			shown.Limits = consumerLimits(c)
		}
		s.MostActive = append(s.MostActive, shown)
	}
	return s
}

// consumerLimits are the limits of a consumer: for all models, for single ones, and
// of what it spills.
func consumerLimits(c *gateway.Consumer) []console.ConsumerLimit {
	var all []console.ConsumerLimit
	show := func(limits []gateway.Limit) {
		for i := range limits {
			l := &limits[i]
			all = append(all, console.ConsumerLimit{Name: l.Name(), Model: l.Model, Limit: *limitStatus(l.Limit)})
		}
	}
	show(c.Limits)
	for _, model := range slices.Sorted(maps.Keys(c.ModelLimits)) {
		show(c.ModelLimits[model])
	}
	if spillover := limitStatus(c.Spillover); spillover != nil {
		all = append(all, console.ConsumerLimit{Name: "spillover tokens/minute", Limit: *spillover})
	}
	return all
}

// future is t if it is still to come, else nil.
func future(t, now time.Time) *time.Time {
	if !t.After(now) {
		return nil
	}
	return timeOrNil(t)
}

func timeOrNil(t time.Time) *time.Time {
	if t.IsZero() {
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
