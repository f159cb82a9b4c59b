package rig_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"spillway/tests/fakes/azureopenai"
	"spillway/tests/rig"
	"spillway/tests/secrets"
)

// planted is a secret that a backend of this test has in its answers, and the test
// in a request's id, which goes to the log.
const planted = "planted-where-everybody-sees-it"

func init() { secrets.Register("the planted one", planted) }

const config = `
access: open
backends: [{ name: only, endpoint: "http://only", deployments: [{ model: gpt-4o }] }]
pools: [{ model: gpt-4o, members: [{ backend: only }] }]
`

// recorder is a test that notes that it failed instead of failing.
type recorder struct {
	testing.TB
	errors   int
	cleanups []func()
}

func (r *recorder) Helper()               {}
func (r *recorder) Cleanup(f func())      { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Errorf(string, ...any) { r.errors++ }

// A secret in an answer, or in a line of the log, fails the test that the gateway is
// of.
func TestSecretsAreSeen(t *testing.T) {
	const body = `{"model":"gpt-4o","messages":[{"role":"user","content":"Hello!"}],"max_tokens":5}`
	for _, test := range []struct {
		name   string
		fault  azureopenai.Fault
		header map[string]string
		fails  bool
	}{
		{name: "none"},
		{name: "in an answer", fault: azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 400, Body: `{"error":{"message":"` + planted + `"}}`}, fails: true},
		{name: "in the log", header: map[string]string{"X-Request-Id": planted}, fails: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := azureopenai.New(azureopenai.Options{Deployments: []azureopenai.Deployment{{Name: "gpt-4o"}}})
			if test.fault.Kind != "" {
				s.Inject(test.fault)
			}
			r := &recorder{TB: t}
			g := rig.New(r, config, map[string]*azureopenai.Server{"only": s})
			w := g.Send(t.Context(), rig.Call{Path: "/v1/chat/completions", Body: body, Header: test.header})
			if w.Code >= 500 || strings.Contains(w.Body.String(), planted) != strings.HasPrefix(test.name, "in an answer") {
				t.Fatalf("status %d: %s", w.Code, w.Body)
			}
			for _, f := range r.cleanups {
				f()
			}
			if (r.errors > 0) != test.fails {
				t.Errorf("%d errors, want some: %t", r.errors, test.fails)
			}
		})
	}
}

// A handler that panics with http.ErrAbortHandler has cut the connection. A handler that
// answers has not, and any other panic is a fault of its own.
func TestServeTellsACutConnection(t *testing.T) {
	for _, test := range []struct {
		name   string
		panics any
		cut    bool
		fault  any
	}{
		{name: "an answer"},
		{name: "a cut connection", panics: http.ErrAbortHandler, cut: true},
		{name: "a fault", panics: "out of luck", fault: "out of luck"},
	} {
		t.Run(test.name, func(t *testing.T) {
			handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusTeapot)
				if test.panics != nil {
					panic(test.panics)
				}
			})
			w := httptest.NewRecorder()
			defer func() {
				if v := recover(); v != test.fault {
					t.Errorf("panicked with %v, want %v", v, test.fault)
				}
				if w.Code != http.StatusTeapot {
					t.Errorf("the client got %d, want %d", w.Code, http.StatusTeapot)
				}
			}()
			if got := rig.Serve(handler, w, httptest.NewRequest(http.MethodGet, "/", nil)); got != test.cut {
				t.Errorf("cut is %t, want %t", got, test.cut)
			}
		})
	}
}
