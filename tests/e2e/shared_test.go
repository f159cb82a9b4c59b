package e2e_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"spillway/tests/fakes/azureopenai"
	"spillway/tests/fakes/azurite"
)

// shared is the configuration of instances that share their limits in a table.
const shared = `
access: open
state: { store: tables, connection: "${STORAGE}", table: shared, onUnavailable: deny }
backends:
  - name: ptu
    endpoint: ${PTU}
    deployments: [{ model: gpt-4o, tokensPerMinute: 1000 }]
  - name: payg
    endpoint: ${PAYG}
    deployments: [{ model: gpt-4o }]
pools:
  - model: gpt-4o
    members: [{ backend: ptu, priority: 1 }, { backend: payg, priority: 2 }]
`

// Two processes that share nothing but a table fill one deployment to its last
// token and not beyond: each request takes 100 tokens, so ten of them fit into
// a window, whoever sends them, and the others spill.
func TestInstancesShareALimit(t *testing.T) {
	const limit, charge, requests = 1000, 100, 60
	ptu := newBackend(t, azureopenai.Options{Deployments: []azureopenai.Deployment{{Name: "gpt-4o", TokensPerMinute: limit}}})
	payg := newBackend(t, azureopenai.Options{Deployments: []azureopenai.Deployment{{Name: "gpt-4o"}}})
	env := map[string]string{"STORAGE": azurite.Start(t), "PTU": ptu.url, "PAYG": payg.url}
	instances := []*process{start(t, shared, env), start(t, shared, env)}

	body := fmt.Sprintf(`{"model":"gpt-4o","messages":[{"role":"user","content":"Hello!"}],"max_tokens":%d}`, charge-2)
	var clients sync.WaitGroup
	for i := range requests {
		clients.Go(func() {
			a := instances[i%2].send(t, call{path: "/v1/chat/completions", body: body})
			if a.status != http.StatusOK {
				t.Errorf("status %d although there is a backend with room, want %d: %s", a.status, http.StatusOK, a.body)
			}
		})
	}
	clients.Wait()
	// A table that was too slow for a request has cost capacity, not exactness:
	// what it left is still there. A run that crosses a window's edge may leave
	// room in either window.
	sent := requests
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); sent++ {
		if seen := ptu.Stats()["gpt-4o"]; len(seen.TokensCharged) > 1 || seen.Charged() >= limit {
			break
		}
		instances[sent%2].send(t, call{path: "/v1/chat/completions", body: body}).served(t)
	}

	seen := ptu.Stats()["gpt-4o"]
	if seen.Rejected429 != 0 {
		t.Errorf("the PTU refused %d requests: the instances sent more than its limit, want 0", seen.Rejected429)
	}
	for window, charged := range seen.TokensCharged {
		if charged > limit {
			t.Errorf("%d tokens in the window at %d, more than the limit of %d", charged, window, limit)
		}
	}
	if seen.Charged() < limit {
		t.Errorf("%d of %d tokens used although %d were asked for", seen.Charged(), limit, sent*charge)
	}
	if served := seen.Accepted + payg.Stats()["gpt-4o"].Accepted; served != int64(sent) {
		t.Errorf("%d requests served, want %d", served, sent)
	}
}
