// Package rig runs a whole gateway and its simulated backends in one process
// and without sockets, so that tests can run them in virtual time inside a
// testing/synctest bubble.
package rig

import (
	"context"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"

	"spillway/functions/app"
	"spillway/shared/config"
	"spillway/shared/telemetry"
	"spillway/shared/usage"
	"spillway/tests/fakes/azureopenai"
	"spillway/tests/secrets"
)

// Rig is one gateway before simulated backends.
type Rig struct {
	*app.App

	watch   *secrets.Watch // sees the log and all answers of Send
	mu      sync.Mutex
	records []usage.Record // guarded by mu
}

// New starts a gateway with the configuration. The backends are reached by the
// hosts of their endpoints; a host that is not among them cannot be reached.
func New(t testing.TB, yaml string, backends map[string]*azureopenai.Server) *Rig {
	t.Helper()
	return NewWith(t, yaml, app.Options{Transport: azureopenai.Hosts(backends)})
}

// NewWith starts a gateway with options of the test's own. Observe is the
// rig's. A secret in its log, unless Log is the test's own, or in an answer of Send
// fails the test.
func NewWith(t testing.TB, yaml string, o app.Options) *Rig {
	t.Helper()
	cfg, err := config.Parse("gateway.yaml", []byte(yaml), nil)
	if err != nil {
		t.Fatalf("the test's configuration is wrong:\n%v", err)
	}
	r := &Rig{watch: secrets.NewWatch(t)}
	if reflect.ValueOf(o.Log).IsZero() {
		o.Log = telemetry.NewLogger(r.watch)
	}
	o.Observe = func(record *usage.Record) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.records = append(r.records, *record)
	}
	r.App, err = app.New(t.Context(), cfg, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Records are the requests that have ended, in the order of their end.
func (r *Rig) Records() []usage.Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]usage.Record(nil), r.records...)
}

// Call is a client's request.
type Call struct {
	Method string // default: POST
	Path   string
	Key    string // sent as api-key if not empty
	Body   string
	Header map[string]string
}

// Send makes a call and waits for the end of its answer.
func (r *Rig) Send(ctx context.Context, c Call) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r.ServeHTTP(w, c.Request(ctx))
	r.watch.Answer(c.Path, w.Header(), w.Body.Bytes())
	return w
}

// Serve has h answer a request and tells whether it cut the connection, by the panic
// that a server takes for that: http.ErrAbortHandler. Other panics go on.
func Serve(h http.Handler, w http.ResponseWriter, r *http.Request) (cut bool) {
	defer func() {
		switch v := recover(); v {
		case nil:
		case http.ErrAbortHandler:
			cut = true
		default:
			panic(v)
		}
	}()
	h.ServeHTTP(w, r)
	return false
}

// Request is the call as the gateway gets it.
func (c Call) Request(ctx context.Context) *http.Request {
	method := c.Method
	if method == "" {
		method = http.MethodPost
	}
	req := httptest.NewRequest(method, c.Path, strings.NewReader(c.Body)).WithContext(ctx)
	req.Header.Set("Content-Type", "application/json")
	if c.Key != "" {
		req.Header.Set("Api-Key", c.Key)
	}
	for name, value := range c.Header {
		req.Header.Set(name, value)
	}
	return req
}
