// Package console serves what is the gateway's own, under /spillway/: whether
// it is alive, whether it is ready, how its deployments stand, what was used, who
// may call, and a page that shows it.
package console

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"spillway/shared/openai"
	"spillway/shared/usage"
)

// Options are the parts that a Console shows.
type Options struct {
	// Admin tells whether a request carries an admin key, and its name.
	Admin func(*http.Request) (name string, ok bool)
	// Consumer names the consumer whose credential a request carries, or says why
	// there is none.
	Consumer func(context.Context, *http.Request) (name string, refused *openai.Error)
	// Usage reads the ledger.
	Usage func(context.Context, usage.Query) (usage.Report, error)
	// Consumers are those that are kept in the table.
	Consumers Directory
	// Metrics answers with the metrics as Prometheus reads them; nil: there are none.
	Metrics http.Handler
	// Ready tells whether all is loaded that requests need.
	Ready func() bool
	// Status reads the state of the gateway at the time of the call, with the history
	// and the events from a moment on. It must not wait for the shared state.
	Status func(since time.Time) Status
}

// Console is the handler of /spillway/. It is safe for concurrent use.
type Console struct{ Options }

// New makes a Console.
func New(o Options) *Console { return &Console{o} }

// ServeHTTP answers requests for /spillway and what is below it.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch path := r.URL.Path; {
	case path == "/spillway":
		redirect(w, r)
	case path == "/spillway/healthz":
		Alive(w, r)
	case path == "/spillway/readyz":
		if !c.Ready() {
			NotReady(w, r)
			return
		}
		Alive(w, r)
	case path == "/spillway/status":
		if allow(w, r, http.MethodGet, http.MethodHead) && c.admitAdmin(w, r) {
			c.status(w, r)
		}
	case path == "/spillway/metrics" && c.Metrics != nil:
		if allow(w, r, http.MethodGet, http.MethodHead) && c.admitAdmin(w, r) {
			c.Metrics.ServeHTTP(w, r)
		}
	case strings.HasPrefix(path, profilePrefix):
		if allow(w, r, http.MethodGet) && c.admitAdmin(w, r) {
			profile(w, r)
		}
	case path == "/spillway/usage":
		c.usage(w, r)
	case path == "/spillway/consumers", strings.HasPrefix(path, "/spillway/consumers/"):
		c.consumers(w, r)
	default:
		if !page(w, r) {
			openai.UnknownURL(r.Method, r.URL.Path).Write(w)
		}
	}
}

// allow tells whether the request has one of the methods, and answers it if not.
func allow(w http.ResponseWriter, r *http.Request, methods ...string) bool {
	if slices.Contains(methods, r.Method) {
		return true
	}
	openai.MethodNotAllowed(r.Method, methods...).Write(w)
	return false
}

// admitAdmin tells whether the request carries an admin key, and answers it if not: a
// consumer is told that its key does not do here, anybody else to authenticate.
func (c *Console) admitAdmin(w http.ResponseWriter, r *http.Request) bool {
	if _, ok := c.Admin(r); ok {
		return true
	}
	if _, refused := c.Consumer(r.Context(), r); refused != nil {
		refused.Write(w)
		return false
	}
	openai.Forbidden("This needs an admin key, and this is the key of a consumer.").Write(w)
	return false
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
