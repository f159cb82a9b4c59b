package activity

import (
	"maps"
	"time"
)

// Reading is what is known of a deployment.
type Reading struct {
	Counts
	Latency   Percentiles // of whole answers without error, as clients saw them
	FirstByte Percentiles
}

// Deployment returns what is known of a deployment at now; nothing of one that is not
// counted.
func (r *Recorder) Deployment(id string, now time.Time) Reading {
	d := r.byID[id]
	if d == nil {
		return Reading{}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	counts := d.counts
	counts.Attempts = d.attempts.Load()
	return Reading{Counts: counts, Latency: d.latency.percentiles(now), FirstByte: d.firstByte.percentiles(now)}
}

// Consumers returns the n consumers that were the most active in the last minutes,
// of how many that are told apart, and what those used that are told apart no more.
func (r *Recorder) Consumers(n int, now time.Time) (most []ConsumerUsage, of int, others Usage) {
	return r.consumers.top(n, now)
}

// Events returns the events at or after a moment, oldest first: the latest 200 of
// throttles and the latest 200 others.
func (r *Recorder) Events(since time.Time) []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.events.since(since)
}

// History is an hour, or the part of it that was asked for, in steps of StepSeconds.
type History struct {
	StepSeconds int64             `json:"stepSeconds"`
	Start       int64             `json:"start"` // of the first step, in seconds since 1970
	Deployments map[string]Series `json:"deployments"`
	Pools       map[string]Series `json:"pools"`
}

// History returns the steps that began at since or later, the present one included.
// It looks at each limit, so that the present step shows how full it is.
func (r *Recorder) History(since, now time.Time) History {
	if since.Before(r.start) {
		since = r.start.Truncate(StepSeconds * time.Second)
	}
	of := spanOf(since, now)
	h := History{
		StepSeconds: StepSeconds, Start: of.first * StepSeconds,
		Deployments: make(map[string]Series, len(r.deployments)),
		Pools:       make(map[string]Series, len(r.pools)),
	}
	for _, d := range r.deployments {
		d.mu.Lock()
		if s := d.history.at(now); s != nil {
			d.sample(s, now)
		}
		h.Deployments[d.ID] = d.history.series(of, d.Fill != nil)
		d.mu.Unlock()
	}
	for name, p := range maps.All(r.pools) {
		p.mu.Lock()
		h.Pools[name] = p.history.series(of, false)
		p.mu.Unlock()
	}
	return h
}
