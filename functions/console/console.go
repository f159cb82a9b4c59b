// Package console serves what is the gateway's own, under /spillway/: whether
// it is alive, whether it is ready, and how its deployments stand.
package console

import (
	"encoding/json"
	"net/http"
	"time"

	"spillway/shared/openai"
)

// Options are the parts that a Console shows.
type Options struct {
	// Admin tells whether a request carries an admin key.
	Admin func(*http.Request) bool
	// Ready tells whether all is loaded that requests need.
	Ready func() bool
	// Status reads the state of the gateway at the time of the call.
	Status func() Status
}

// Console is the handler of /spillway/. It is safe for concurrent use.
type Console struct{ Options }

// New makes a Console.
func New(o Options) *Console { return &Console{o} }

// ServeHTTP answers GET requests under /spillway/.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/spillway/healthz":
		Alive(w, r)
	case "/spillway/readyz":
		if !c.Ready() {
			NotReady(w, r)
			return
		}
		Alive(w, r)
	case "/spillway/status":
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			openai.MethodNotAllowed(r.Method, http.MethodGet).Write(w)
			return
		}
		if !c.Admin(r) {
			openai.Unauthorized().Write(w)
			return
		}
		c.status(w, r)
	default:
		openai.UnknownURL(r.Method, r.URL.Path).Write(w)
	}
}

// Alive answers that the process runs. It needs nothing to be loaded.
func Alive(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte("ok\n"))
}

// NotReady answers that the process runs and that requests had better go to another
// one for now.
func NotReady(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = w.Write([]byte("starting\n"))
}

func (c *Console) status(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(c.Status()) // the client has left; nobody is there to be told
}

// Status is the state of one instance.
type Status struct {
	Version     string       `json:"version"`
	Instance    string       `json:"instance"`
	Now         time.Time    `json:"now"`
	Instances   int64        `json:"instances"` // that share its limits, as far as it can tell
	Store       Store        `json:"store"`
	Totals      Totals       `json:"totals"`
	Pools       []Pool       `json:"pools"`
	Deployments []Deployment `json:"deployments"`
}

// Store is the shared state as this instance finds it.
type Store struct {
	Kind     string `json:"kind"`
	Degraded bool   `json:"degraded"` // it does not answer: this instance decides alone
}

// Pool is who can serve a model.
type Pool struct {
	Name     string   `json:"name"`
	Model    string   `json:"model"`
	Strategy string   `json:"strategy"`
	Members  []Member `json:"members"`
}

// Member is a deployment's place in a pool.
type Member struct {
	Deployment string `json:"deployment"`
	Priority   int    `json:"priority"`
	Weight     int    `json:"weight"`
}

// Deployment is the state of a deployment as this instance sees it. A limit
// that is not configured is absent.
type Deployment struct {
	ID             string     `json:"id"`
	Breaker        string     `json:"breaker"`
	OpenUntil      *time.Time `json:"openUntil,omitempty"`
	ThrottledUntil *time.Time `json:"throttledUntil,omitempty"`
	InFlight       int64      `json:"inFlight"`
	FirstByteMs    float64    `json:"firstByteMs"`
	Tokens         *Limit     `json:"tokens,omitempty"`
	Requests       *Limit     `json:"requests,omitempty"`
}

// Limit is a limit and what is left of it in the current window.
type Limit struct {
	Limit     int64     `json:"limit"`
	Remaining int64     `json:"remaining"`
	ResetAt   time.Time `json:"resetAt"`
}
