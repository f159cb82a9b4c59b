// Package activity keeps what one instance has seen of its requests, for somebody who
// looks: counts, percentiles of the last minutes, an hour's history for charts, and
// the latest events of breakers. All of it is in memory and bounded: 22 KB for each
// deployment, 14 KB for each pool, about 200 bytes for each of at most 1,000 consumers,
// and 400 events.
package activity

import (
	"math"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"spillway/shared/usage"
)

// Deployment is one that is counted.
type Deployment struct {
	// ID is its name in attempts and events, Backend and Name are those in records.
	ID, Backend, Name string
	// Fill returns the share of its limit that is used up now, NaN where that is not
	// known. It must return at once, and must not call the Recorder. Nil: there is no
	// limit.
	Fill func() float64
}

// Recorder counts finished requests. It is safe for concurrent use; make it with New.
type Recorder struct {
	start       time.Time
	deployments []*deployment
	byID        map[string]*deployment   // of attempts
	byName      map[fullName]*deployment // of records
	pools       map[string]*pool
	consumers   consumers

	mu     sync.Mutex
	events events // guarded by mu
}

// fullName is how a record names a deployment.
type fullName struct{ backend, name string }

// deployment is what is known of one.
type deployment struct {
	Deployment
	attempts           atomic.Int64
	mu                 sync.Mutex
	counts             Counts  // guarded by mu; all but Attempts
	sampled            int64   // guarded by mu: the second of the latest sample of Fill
	latency, firstByte recent  // guarded by mu
	history            history // guarded by mu
}

// pool is what is known of one.
type pool struct {
	mu      sync.Mutex
	history history // guarded by mu
}

// Counts are sums since the instance began to count.
type Counts struct {
	Requests   int64 `json:"requests"`  // that it served
	Spilled    int64 `json:"spilled"`   // of those: that a higher priority could not take
	Attempts   int64 `json:"attempts"`  // that were sent to it
	Throttled  int64 `json:"throttled"` // of those: answered with 429
	Errors     int64 `json:"errors"`    // of those: failed in any other way; what a client did wrong is none
	Prompt     int64 `json:"promptTokens"`
	Completion int64 `json:"completionTokens"`
}

// New makes a Recorder that counts from now on.
func New(deployments []Deployment, pools []string, now time.Time) *Recorder {
	r := &Recorder{
		start:  now,
		byID:   make(map[string]*deployment, len(deployments)),
		byName: make(map[fullName]*deployment, len(deployments)),
		pools:  make(map[string]*pool, len(pools)),
	}
	for _, d := range deployments {
		made := &deployment{Deployment: d}
		r.deployments = append(r.deployments, made)
		r.byID[d.ID] = made
		r.byName[fullName{d.Backend, d.Name}] = made
	}
	for _, name := range pools {
		r.pools[name] = new(pool)
	}
	return r
}

// Start is when the Recorder began to count.
func (r *Recorder) Start() time.Time { return r.start }

// Add counts a request that has just ended. It does not keep the record, and does not
// allocate but for a consumer that it has not seen before.
func (r *Recorder) Add(record *usage.Record) {
	now := record.Start.Add(record.Duration)
	var last *deployment
	for i := range record.Attempts {
		attempt := &record.Attempts[i]
		if last = r.byID[attempt.Deployment]; last != nil {
			last.attempted(attempt, now)
		}
	}
	if d := r.servedBy(record, last); d != nil {
		d.served(record, now)
	}
	if p := r.pools[record.Pool]; p != nil {
		p.ended(record, now)
	}
	if record.Consumer != "" {
		r.consumers.add(record, now)
	}
}

// servedBy is who served, which is nearly always the last that was tried.
func (r *Recorder) servedBy(record *usage.Record, last *deployment) *deployment {
	switch {
	case !record.Served():
		return nil
	case last != nil && last.Name == record.Deployment && last.Backend == record.Backend:
		return last
	default:
		return r.byName[fullName{record.Backend, record.Deployment}]
	}
}

// Happened keeps an event.
func (r *Recorder) Happened(event Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events.add(event)
}

// The reasons of attempts that say nothing against the deployment.
const (
	reasonOK       = "ok"
	reasonCanceled = "canceled" // the client left
)

// failed tells whether an attempt speaks against the deployment, not against the
// request, and is no throttle. Status 401, 403 and 404 do: no client sets credentials
// or names of backends.
func failed(a *usage.Attempt) bool {
	switch {
	case a.Reason == reasonOK, a.Reason == reasonCanceled:
		return false
	case a.Status >= 400 && a.Status < 500:
		return a.Status == http.StatusUnauthorized || a.Status == http.StatusForbidden || a.Status == http.StatusNotFound
	default:
		return true
	}
}

func (d *deployment) attempted(a *usage.Attempt, now time.Time) {
	d.attempts.Add(1)
	throttled := a.Status == http.StatusTooManyRequests
	if !throttled && !failed(a) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if throttled {
		d.counts.Throttled++
		return
	}
	d.counts.Errors++
	if s := d.history.at(now); s != nil {
		s.errors++
	}
}

// served counts a request that the deployment answered, or was at work on.
func (d *deployment) served(r *usage.Record, now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.counts.Requests++
	d.counts.Prompt += r.Tokens.Prompt
	d.counts.Completion += r.Tokens.Completion
	if r.Spillover != "" {
		d.counts.Spilled++
	}
	if r.Status < http.StatusBadRequest { // refusals are quick and say little
		d.latency.observe(r.Duration, now)
		d.firstByte.observe(r.FirstByte, now)
	}
	if s := d.history.at(now); s != nil {
		s.count(r)
		d.sample(s, now)
	}
}

// sample needs mu, and the step of now. Once in a second is enough to find how full a
// minute became.
func (d *deployment) sample(s *step, now time.Time) {
	if d.Fill == nil || now.Unix() == d.sampled {
		return
	}
	d.sampled = now.Unix()
	if fill := d.Fill(); !math.IsNaN(fill) {
		s.sample(fill)
	}
}

func (p *pool) ended(r *usage.Record, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.history.at(now); s != nil {
		s.count(r)
		if r.Status >= http.StatusInternalServerError {
			s.errors++
		}
	}
}

func (s *step) count(r *usage.Record) {
	tokens := r.Tokens.Total()
	s.requests++
	s.tokens += tokens
	if r.Spillover != "" {
		s.spilled += tokens
	}
}
