package replay

import (
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"spillway/tests/prove/judge"
)

// idHeader names a request on its whole way. Both gateways pass on what they do
// not know.
const idHeader = "X-Prove-Request"

// recorder notes each request's moments around a gateway, so that the gateway
// itself needs no hooks.
type recorder struct {
	order atomic.Int64

	mu       sync.Mutex
	journeys map[string]*judge.Journey // guarded by mu
}

func newRecorder() *recorder { return &recorder{journeys: make(map[string]*judge.Journey)} }

// moment is now.
func (r *recorder) moment() judge.Moment {
	return judge.Moment{Order: r.order.Add(1), At: time.Now()}
}

// note changes a journey.
func (r *recorder) note(id string, change func(*judge.Journey)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.journeys[id] == nil {
		r.journeys[id] = &judge.Journey{ID: id}
	}
	change(r.journeys[id])
}

// all are the journeys, in the order of their beginning.
func (r *recorder) all() []judge.Journey {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]judge.Journey, 0, len(r.journeys))
	for _, j := range r.journeys {
		all = append(all, *j)
	}
	slices.SortFunc(all, func(a, b judge.Journey) int { return a.Started.Compare(b.Started) })
	return all
}

// before notes when the gateway has read a request to its end.
func (r *recorder) before(gateway http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		req.Body = &watchedBody{ReadCloser: req.Body, atEnd: func() {
			moment := r.moment()
			r.note(req.Header.Get(idHeader), func(j *judge.Journey) { j.Read = moment })
		}}
		gateway.ServeHTTP(w, req)
	})
}

// watchedBody calls atEnd once, before its reader learns of the end.
type watchedBody struct {
	io.ReadCloser
	atEnd func()
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF && b.atEnd != nil {
		b.atEnd()
		b.atEnd = nil
	}
	return n, err
}

// departures notes when a request leaves the gateway, and for which backend.
type departures struct {
	*recorder
	names map[string]string // backends by host
	next  http.RoundTripper
}

func (d *departures) RoundTrip(req *http.Request) (*http.Response, error) {
	moment := d.moment()
	d.note(req.Header.Get(idHeader), func(j *judge.Journey) {
		j.Sent = append(j.Sent, judge.Departure{Backend: d.names[req.URL.Host], Moment: moment})
	})
	return d.next.RoundTrip(req)
}

var _ http.RoundTripper = (*departures)(nil)
