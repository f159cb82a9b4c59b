package e2e_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"spillway/tests/await"
	"spillway/tests/fakes/azureopenai"
	"spillway/tests/fakes/entra"
)

// ofAnIdentity is the configuration of a gateway that shows its backend a token of
// its host's managed identity.
const ofAnIdentity = `
access: keys
backends:
  - { name: only, endpoint: "${BACKEND}", auth: { managedIdentity: {} }, deployments: [{ model: gpt-4o }] }
pools: [{ model: gpt-4o, members: [{ backend: only }] }]
consumers: [{ name: caller, keys: ["${CALLER_KEY}"] }]
`

// guard lets those in to a backend that show a token for it which is good now, and
// counts the tokens.
type guard struct {
	backend http.Handler

	mu      sync.Mutex
	tokens  map[string]int // guarded by mu; how many requests showed it
	refused int            // guarded by mu
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	good := false
	if parts := strings.Split(token, "."); len(parts) == 3 {
		var claims struct {
			Audience string  `json:"aud"`
			Expires  float64 `json:"exp"`
		}
		payload, err := base64.RawURLEncoding.DecodeString(parts[1])
		good = err == nil && json.Unmarshal(payload, &claims) == nil &&
			claims.Audience == "https://cognitiveservices.azure.com" && float64(time.Now().Unix()) < claims.Expires
	}
	g.mu.Lock()
	if good {
		g.tokens[token]++
	} else {
		g.refused++
	}
	g.mu.Unlock()
	if !good {
		http.Error(w, `{"error":{"code":"401","message":"Unauthorized."}}`, http.StatusUnauthorized)
		return
	}
	g.backend.ServeHTTP(w, r)
}

// seen is how many requests were let in, with how many tokens, and how many refused.
func (g *guard) seen() (served, tokens, refused int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, n := range g.tokens {
		served += n
	}
	return served, len(g.tokens), g.refused
}

// A gateway asks its host for one token however many requests need it, and no client
// notices when tokens end under load.
func TestManagedIdentityOfTheHost(t *testing.T) {
	needsFleet(t)
	host, l := tenantOf(t)
	g := &guard{tokens: make(map[string]int), backend: azureopenai.New(azureopenai.Options{
		RecordRequests: -1, Deployments: []azureopenai.Deployment{{Name: "gpt-4o"}}, Output: azureopenai.Output{Exact: 3},
	})}
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	env := settings()
	env["BACKEND"] = server.URL
	for name, value := range l.Environment() {
		env[name] = value
	}
	p := start(t, ofAnIdentity, env)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	t.Cleanup(client.CloseIdleConnections)
	f := &office{client: client}
	send := func(n int) {
		a, err := f.ask(t, p, post{tag: tag{Model: "gpt-4o", Number: int64(n)}, key: callerKey})
		if err != nil || a.status != http.StatusOK {
			t.Errorf("request %d: status %d, want %d, %v: %s", n, a.status, http.StatusOK, err, a.body)
		}
	}

	const requests, clients = 3000, 20
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			for n := range requests / clients {
				send(c*requests + n)
			}
		})
	}
	all.Wait()
	if n := host.Count(entra.AppService); n != 1 {
		t.Errorf("%d requests for a token, want 1", n)
	}
	t.Logf("%d requests, %d token fetched", requests, host.Count(entra.AppService))

	// From here on tokens last for seconds. The next process has none yet.
	host.SetPolicy(entra.Policy{Life: 4 * time.Second})
	p = start(t, ofAnIdentity, env)
	before := host.Count(entra.AppService)
	end := time.Now().Add(9 * time.Second)
	for c := range clients {
		all.Go(func() {
			for n := 0; time.Now().Before(end) && !t.Failed(); n++ {
				send(c*requests + n)
				await.Until(t, time.Now().Add(5*time.Millisecond))
			}
		})
	}
	all.Wait()
	served, tokens, refused := g.seen()
	t.Logf("%d requests with tokens of 4 s, %d tokens fetched, %d requests refused by the backend", served-requests, host.Count(entra.AppService)-before, refused)
	if tokens < 3 || refused > 0 {
		t.Errorf("%d tokens were shown, %d requests refused; want some tokens, and none refused", tokens, refused)
	}
}
