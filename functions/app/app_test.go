package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/rs/zerolog"

	"spillway/functions/app"
	"spillway/functions/console"
	"spillway/shared/config"
	"spillway/shared/usage"
	"spillway/tests/fakes/azureopenai"
	"spillway/tests/rig"
)

const (
	adminKey = "an admin key for tests"
	chat     = `{"model":"gpt-4o","max_tokens":10,"messages":[{"role":"user","content":"Hello!"}]}`
)

const ordinary = `
access: open
admin: { keys: ["` + adminKey + `"] }
backends:
  - name: ptu
    endpoint: http://ptu.test
    deployments: [{ model: gpt-4o, tokensPerMinute: 1000, requestsPerMinute: 60 }]
  - name: payg
    endpoint: http://payg.test
    deployments: [{ model: gpt-4o, deployment: gpt-4o-payg }]
pools:
  - { model: gpt-4o, strategy: mostHeadroom, members: [{ backend: ptu, priority: 1 }, { backend: payg, priority: 2, weight: 3 }] }
`

func backend(name, deployment string) *azureopenai.Server {
	return azureopenai.New(azureopenai.Options{Name: name, Deployments: []azureopenai.Deployment{{Name: deployment, Model: "gpt-4o"}}, Output: azureopenai.Output{Exact: 5}})
}

// run runs a scenario with an app before two backends, in virtual time.
func run(t *testing.T, yaml string, o app.Options, scenario func(t *testing.T, r *rig.Rig, ptu, payg *azureopenai.Server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ptu, payg := backend("ptu", "gpt-4o"), backend("payg", "gpt-4o-payg")
		o.Transport = azureopenai.Hosts(map[string]*azureopenai.Server{"ptu.test": ptu, "payg.test": payg})
		scenario(t, rig.NewWith(t, yaml, o), ptu, payg)
	})
}

func status(t *testing.T, r *rig.Rig) console.Status {
	t.Helper()
	w := r.Send(t.Context(), rig.Call{Method: http.MethodGet, Path: "/spillway/status", Key: adminKey})
	var s console.Status
	if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil {
		t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	return s
}

// A Functions host asks GET / until the process answers. That and healthz are
// answered to anybody; neither is a request of the API that leaves a record.
func TestWhatIsAnsweredToAnybody(t *testing.T) {
	tests := []struct {
		method, path string
		status       int
		records      int
	}{
		{"GET", "/", 200, 0},
		{"HEAD", "/", 200, 0},
		{"GET", "/spillway/healthz", 200, 0},
		{"GET", "/spillway/status", 401, 0},
		{"GET", "/spillway/nothing", 404, 0},
		{"POST", "/", 404, 1},
		{"GET", "/favicon.ico", 404, 1},
		{"GET", "/spillway", 307, 0},
	}
	for _, test := range tests {
		t.Run(test.method+" "+test.path, func(t *testing.T) {
			run(t, ordinary, app.Options{}, func(t *testing.T, r *rig.Rig, _, _ *azureopenai.Server) {
				w := r.Send(t.Context(), rig.Call{Method: test.method, Path: test.path})
				if w.Code != test.status || len(r.Records()) != test.records {
					t.Errorf("status %d, %d records; want %d and %d", w.Code, len(r.Records()), test.status, test.records)
				}
			})
		})
	}
}

// The status shows every pool and every deployment as it stands.
func TestStatusShowsHowThingsStand(t *testing.T) {
	run(t, ordinary, app.Options{Version: "v1.2.3", Instance: "the instance"}, func(t *testing.T, r *rig.Rig, ptu, payg *azureopenai.Server) {
		r.Send(t.Context(), rig.Call{Path: "/v1/chat/completions", Body: chat})
		ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultThrottle, RetryAfter: 30 * time.Second, Times: 1})
		r.Send(t.Context(), rig.Call{Path: "/v1/chat/completions", Body: chat})

		s := status(t, r)
		if s.Version != "v1.2.3" || s.Instance != "the instance" || !s.Now.Equal(time.Now()) {
			t.Errorf("it is %s of %s at %v", s.Instance, s.Version, s.Now)
		}
		if len(s.Pools) != 1 || s.Pools[0].Strategy != "mostHeadroom" || len(s.Pools[0].Members) != 2 ||
			s.Pools[0].Members[1] != (console.Member{Deployment: "payg/gpt-4o-payg", Priority: 2, Weight: 3}) {
			t.Errorf("the pools are %+v", s.Pools)
		}
		if len(s.Deployments) != 2 || s.Deployments[0].ID != "ptu/gpt-4o" {
			t.Fatalf("the deployments are %+v", s.Deployments)
		}
		d := s.Deployments[0]
		if d.Breaker != "closed" || d.OpenUntil != nil || d.ThrottledUntil == nil || !d.ThrottledUntil.Equal(time.Now().Add(30*time.Second)) {
			t.Errorf("its health is %+v", d)
		}
		if d.Tokens == nil || d.Tokens.Limit != 1000 || d.Tokens.Remaining != 988 || !d.Tokens.ResetAt.Equal(time.Now().Add(time.Minute)) {
			t.Errorf("its tokens are %+v", d.Tokens)
		}
		if d.Requests == nil || d.Requests.Limit != 10 || d.Requests.Remaining != 8 { // Azure checks ten seconds
			t.Errorf("its requests are %+v", d.Requests)
		}
		if s.Deployments[1].Tokens != nil || s.Deployments[1].Requests != nil {
			t.Errorf("limits are shown that nobody has set: %+v", s.Deployments[1])
		}
		if want := (console.Totals{Requests: 2, Served: 2, Spilled: 1, Attempts: 3, Prompt: 16, Completion: 10}); s.Totals != want {
			t.Errorf("the totals are %+v, want %+v", s.Totals, want)
		}
	})
}

// The log tells what happens: each request, and that a deployment is throttled, which is
// nothing to warn of, as a breaker is that opens and closes.
func TestLogTellsWhatHappens(t *testing.T) {
	var log bytes.Buffer
	run(t, ordinary, app.Options{Log: zerolog.New(&log)}, func(t *testing.T, r *rig.Rig, ptu, _ *azureopenai.Server) {
		send := func() { r.Send(t.Context(), rig.Call{Path: "/v1/chat/completions", Body: chat}) }
		send()
		ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 500, Times: 5})
		for range 5 {
			send()
		}
		<-time.After(12 * time.Second)
		send()
		ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultThrottle, Times: 1})
		send()
		synctest.Wait()
	})
	count := map[string]int{}
	var first map[string]any
	for line := range strings.Lines(log.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("a line is not JSON: %v: %s", err, line)
		}
		if fields["message"] == "request" {
			count["request"]++
			if first == nil {
				first = fields
			}
		} else if event, ok := fields["event"].(string); ok {
			count[fmt.Sprint(fields["level"], " ", event)]++
		}
	}
	for event, want := range map[string]int{"request": 8, "warn breaker_opened": 1, "warn breaker_half_open": 1, "warn breaker_closed": 1, "info breaker_throttled": 1} {
		if count[event] != want {
			t.Errorf("%d lines say %s, want %d\n%s", count[event], event, want, log.String())
		}
	}
	for key, want := range map[string]any{"consumer": "anonymous", "model": "gpt-4o", "backend": "ptu", "deployment": "gpt-4o", "status": 200.0,
		"operation": "chat", "tokens_prompt": 8.0, "tokens_completion": 5.0, "tokens_measured": true, "stream": false} {
		if first[key] != want {
			t.Errorf("%s is %v, want %v", key, first[key], want)
		}
	}
}

// Two models that are one deployment share its limit: it is one deployment.
func TestTwoModelsOfOneDeployment(t *testing.T) {
	yaml := `
access: open
admin: { keys: ["` + adminKey + `"] }
backends:
  - name: ptu
    endpoint: http://ptu.test
    deployments: [{ model: gpt-4o, tokensPerMinute: 100 }, { model: alias, deployment: gpt-4o, tokensPerMinute: 100 }]
pools: [{ model: gpt-4o, members: [{ backend: ptu }] }, { model: alias, members: [{ backend: ptu }] }]
`
	run(t, yaml, app.Options{}, func(t *testing.T, r *rig.Rig, _, _ *azureopenai.Server) {
		for _, model := range []string{"gpt-4o", "alias"} {
			w := r.Send(t.Context(), rig.Call{Path: "/v1/chat/completions", Body: strings.Replace(chat, "gpt-4o", model, 1)})
			if w.Code != http.StatusOK {
				t.Errorf("%s: status %d, want %d: %s", model, w.Code, http.StatusOK, w.Body)
			}
		}
		s := status(t, r)
		if len(s.Deployments) != 1 || s.Deployments[0].Tokens.Remaining != 100-2*12 {
			t.Errorf("the deployments are %+v", s.Deployments)
		}
	})
}

// token is a credential that gives out one token.
type token string

func (k token) GetToken(context.Context, policy.TokenRequestOptions) (azcore.AccessToken, error) {
	return azcore.AccessToken{Token: string(k), ExpiresOn: time.Now().Add(time.Hour)}, nil
}

const identity = "a1b2c3d4-0000-4000-8000-000000000000"

func withIdentity() string {
	return strings.Replace(ordinary, "endpoint: http://ptu.test\n", "endpoint: https://ptu.test\n    auth: { managedIdentity: { clientId: "+identity+" } }\n", 1)
}

// A backend with a managed identity gets its token, and the identity that the
// configuration names is asked for it.
func TestManagedIdentity(t *testing.T) {
	var asked []string
	o := app.Options{Credential: func(clientID string) (azcore.TokenCredential, error) {
		asked = append(asked, clientID)
		return token("the token"), nil
	}}
	run(t, withIdentity(), o, func(t *testing.T, r *rig.Rig, ptu, _ *azureopenai.Server) {
		w := r.Send(t.Context(), rig.Call{Path: "/v1/chat/completions", Body: chat, Header: map[string]string{"Authorization": "Bearer the client's"}})
		if w.Code != http.StatusOK || w.Header().Get("X-Spillway-Backend") != "ptu" {
			t.Fatalf("status %d: %v %s", w.Code, w.Header(), w.Body)
		}
		if got, _ := ptu.LastRequest(); got.Header.Get("Authorization") != "Bearer the token" {
			t.Errorf("the backend got Authorization: %q, want %q", got.Header.Get("Authorization"), "Bearer the token")
		}
		if len(asked) != 1 || asked[0] != identity {
			t.Errorf("asked the identities %q", asked)
		}
	})
}

// What keeps an instance from working is an error of New that names the part.
func TestNewFails(t *testing.T) {
	cfg, err := config.Parse("gateway.yaml", []byte(withIdentity()), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = app.New(t.Context(), cfg, app.Options{Credential: func(string) (azcore.TokenCredential, error) {
		return nil, errors.New("no identity here")
	}})
	if err == nil || !strings.Contains(err.Error(), "backend ptu") || !strings.Contains(err.Error(), "no identity here") {
		t.Errorf("New says %v", err)
	}
}

// Observe is given each record once, and an app serves without any option.
func TestObserve(t *testing.T) {
	cfg, err := config.Parse("gateway.yaml", []byte(ordinary), nil)
	if err != nil {
		t.Fatal(err)
	}
	var seen []usage.Record
	ptu := backend("ptu", "gpt-4o")
	a, err := app.New(t.Context(), cfg, app.Options{
		Transport: azureopenai.Hosts(map[string]*azureopenai.Server{"ptu.test": ptu}),
		Observe:   func(r *usage.Record) { seen = append(seen, *r) },
	})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	a.ServeHTTP(w, rig.Call{Path: "/v1/chat/completions", Body: chat}.Request(t.Context()))
	if w.Code != http.StatusOK || len(seen) != 1 || seen[0].Backend != "ptu" {
		t.Errorf("status %d, records %+v", w.Code, seen)
	}
	a.Close(t.Context())
}
