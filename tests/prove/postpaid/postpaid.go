// Package postpaid is the gateway that Spillway is measured against: a counter
// that is reduced when an answer arrives, as the policies of API gateways
// usually work.
//
// It is meant to be the best gateway of its kind. It has one process and one
// counter, so nothing is lost in synchronisation; its windows begin with the
// PTU's own; and it knows exactly what the PTU's limiter charges, where a real
// one has only the usage in the answer to go by. The one thing it does not do
// is reserve: between a request's departure and its answer the counter does not
// know of it.
package postpaid

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// Options describe the backends and the counter. All are required.
type Options struct {
	PTU  *url.URL
	PAYG []*url.URL // used in turn
	// TokensPerMinute is the PTU's limit, in windows that begin at the full minute.
	TokensPerMinute int64
	// SpillBelow is the threshold: fewer tokens left than this, and requests go
	// to PAYG.
	SpillBelow int64
	// Charge is what the PTU's limiter books for a request with this body.
	Charge    func(body []byte) (int64, error)
	Transport http.RoundTripper
}

// Gateway is an http.Handler, safe for concurrent use.
type Gateway struct {
	Options

	mu        sync.Mutex
	window    time.Time // guarded by mu; the minute that remaining counts for
	remaining int64     // guarded by mu
	turn      int       // guarded by mu; of the PAYG backends
}

// New returns a gateway with a full counter.
func New(o Options) *Gateway { return &Gateway{Options: o} }

// ServeHTTP sends the request to the PTU while the counter stands at the
// threshold or above, else to PAYG, and passes on whatever the backend answers,
// a 429 too.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	backend, metered := g.route()
	answer, err := g.send(r, backend, body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	if metered && answer.StatusCode == http.StatusOK {
		g.count(body)
	}
	maps.Copy(w.Header(), answer.Header)
	w.WriteHeader(answer.StatusCode)
	_, _ = w.Write(content) // the client may be gone
}

// route chooses the backend. The counter counts what goes to the PTU only.
func (g *Gateway) route() (backend *url.URL, metered bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.roll()
	if g.remaining >= g.SpillBelow {
		return g.PTU, true
	}
	g.turn++
	return g.PAYG[g.turn%len(g.PAYG)], false
}

// count takes the request off the counter of the window in which its answer has
// arrived.
func (g *Gateway) count(body []byte) {
	charge, err := g.Charge(body)
	if err != nil {
		return // the backend has accepted it, so it can be charged
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.roll()
	g.remaining -= charge
}

// roll begins a new window with a full counter. The caller holds mu.
func (g *Gateway) roll() {
	if window := time.Now().Truncate(time.Minute); window.After(g.window) {
		g.window, g.remaining = window, g.TokensPerMinute
	}
}

// send makes the request to the backend, at the same path.
func (g *Gateway) send(r *http.Request, backend *url.URL, body []byte) (*http.Response, error) {
	target := *r.URL
	target.Scheme, target.Host = backend.Scheme, backend.Host
	out, err := http.NewRequestWithContext(r.Context(), r.Method, target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	out.Header = r.Header.Clone()
	return g.Transport.RoundTrip(out)
}

var _ http.Handler = (*Gateway)(nil)
