package azureopenai

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// EventKind says what happened to a request.
type EventKind string

const (
	// EventAccepted: the limiter let the request through.
	EventAccepted EventKind = "accepted"
	// EventRejected: the request was answered with an error status.
	EventRejected EventKind = "rejected"
	// EventFinished: the whole answer was written.
	EventFinished EventKind = "finished"
	// EventCanceled: the client left before the end.
	EventCanceled EventKind = "canceled"
	// EventBroken: a fault broke the answer.
	EventBroken EventKind = "broken"
)

// Event is one step in the life of a request.
type Event struct {
	Time       time.Time
	Kind       EventKind
	Deployment string
	// Request is the number of the request on this server, from 1.
	Request int64
	Status  int
	// Charge is what the limiter booked for it on arrival, in tokens.
	Charge int64
	// Generated is how many completion tokens existed when this happened.
	Generated int64
	Fault     FaultKind
}

// Recorded is a request as it arrived, byte for byte.
type Recorded struct {
	Number     int64
	Time       time.Time
	Method     string
	URI        string // path and query as sent
	Host       string
	Header     http.Header
	Body       []byte
	Deployment string // "" if none was found
	Status     int    // of the answer; 0 while there is none
}

const keptEvents = 10_000

// journal keeps the latest events and wakes those who wait for one.
type journal struct {
	mu      sync.Mutex
	events  []Event       // guarded by mu; the latest keptEvents
	base    int64         // guarded by mu; number of events[0]
	changed chan struct{} // guarded by mu; nil while nobody waits
}

func (j *journal) add(e Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.events) == keptEvents {
		j.events = append(j.events[:0], j.events[keptEvents/2:]...)
		j.base += keptEvents / 2
	}
	j.events = append(j.events, e)
	if j.changed != nil {
		close(j.changed)
		j.changed = nil
	}
}

// Events returns the latest events (up to 10,000), oldest first.
func (s *Server) Events() []Event {
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	return append([]Event(nil), s.journal.events...)
}

// Await returns the first event, past or to come, for which want is true. It
// fails only with the context's error. Use it instead of sleeping.
func (s *Server) Await(ctx context.Context, want func(Event) bool) (Event, error) {
	var next int64
	for {
		j := &s.journal
		j.mu.Lock()
		for i := max(next-j.base, 0); i < int64(len(j.events)); i++ {
			if e := j.events[i]; want(e) {
				j.mu.Unlock()
				return e, nil
			}
		}
		next = j.base + int64(len(j.events))
		if j.changed == nil {
			j.changed = make(chan struct{})
		}
		changed := j.changed
		j.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return Event{}, ctx.Err()
		}
	}
}

// AwaitCanceled waits for the first client that left a request on the
// deployment ("": any).
func (s *Server) AwaitCanceled(ctx context.Context, deployment string) (Event, error) {
	return s.Await(ctx, func(e Event) bool {
		return e.Kind == EventCanceled && (deployment == "" || e.Deployment == deployment)
	})
}

// recorder is the bounded log of requests.
type recorder struct {
	mu       sync.Mutex
	requests []*Recorded // guarded by mu
	bytes    int64       // guarded by mu
}

func (r *recorder) add(rec *Recorded, maxRequests int, maxBytes int64) {
	if maxRequests < 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests = append(r.requests, rec)
	r.bytes += int64(len(rec.Body))
	for len(r.requests) > maxRequests || (r.bytes > maxBytes && len(r.requests) > 1) {
		r.bytes -= int64(len(r.requests[0].Body))
		r.requests[0] = nil
		r.requests = r.requests[1:]
	}
}

func (r *recorder) update(rec *Recorded, change func(*Recorded)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(rec)
}

// Requests returns the latest requests as they arrived, oldest first. The
// bodies and headers are shared: treat them as read-only.
func (s *Server) Requests() []Recorded {
	s.recorder.mu.Lock()
	defer s.recorder.mu.Unlock()
	all := make([]Recorded, len(s.recorder.requests))
	for i, r := range s.recorder.requests {
		all[i] = *r
	}
	return all
}

// LastRequest returns the latest request, and false if there was none.
func (s *Server) LastRequest() (Recorded, bool) {
	s.recorder.mu.Lock()
	defer s.recorder.mu.Unlock()
	if len(s.recorder.requests) == 0 {
		return Recorded{}, false
	}
	return *s.recorder.requests[len(s.recorder.requests)-1], true
}
