package e2e_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"sync"
	"testing"

	"spillway/tests/await"
	"spillway/tests/fakes/azureopenai"
	"spillway/tests/fakes/azurite"
)

// keepers is the configuration of instances before two backends that each keep the
// responses they have made.
const keepers = `
access: open
state: { store: tables, connection: "${STORAGE}", table: keepers }
backends:
  - { name: east, api: azure-v1, endpoint: "${EAST}", deployments: [{ model: gpt-4o }] }
  - { name: west, api: azure-v1, endpoint: "${WEST}", deployments: [{ model: gpt-4o }] }
pools:
  - { model: gpt-4o, members: [{ backend: east }, { backend: west }] }
`

// A response that one process has made is found by another, at the backend that keeps
// it, also when the first was killed right after its answer.
func TestStoredResponseOutlivesItsProcess(t *testing.T) {
	east := newBackend(t, azureopenai.Options{Deployments: []azureopenai.Deployment{{Name: "gpt-4o"}}})
	west := newBackend(t, azureopenai.Options{Deployments: []azureopenai.Deployment{{Name: "gpt-4o"}}})
	env := map[string]string{"STORAGE": azurite.Start(t), "EAST": east.url, "WEST": west.url}
	first, second := start(t, keepers, env), start(t, keepers, env)

	made := map[string]string{} // the backend of each response
	for i := range 8 {
		a := first.send(t, call{path: "/v1/responses", body: fmt.Sprintf(`{"model":"gpt-4o","input":"Number %d","stream":%t}`, i, i%2 == 1)})
		id, backend := responseID(t, a), a.header.Get("X-Spillway-Backend")
		made[id] = backend
	}
	first.Signal(os.Kill)
	for id, backend := range made {
		a := second.send(t, call{method: http.MethodGet, path: "/v1/responses/" + id})
		if got := a.header.Get("X-Spillway-Backend"); a.status != http.StatusOK || got != backend {
			t.Errorf("a response of %s: %d by %q, %s", backend, a.status, got, a.body)
		}
		a = second.send(t, call{path: "/v1/responses", body: `{"model":"gpt-4o","input":"And?","previous_response_id":"` + id + `"}`})
		if got := a.header.Get("X-Spillway-Backend"); a.status != http.StatusOK || got != backend {
			t.Errorf("what follows a response of %s: %d by %q, %s", backend, a.status, got, a.body)
		}
	}
}

// A response that was made in the background is charged once, however many ask for it
// at the same moment, of however many processes.
func TestBackgroundResponseIsChargedOnce(t *testing.T) {
	only := newBackend(t, azureopenai.Options{Deployments: []azureopenai.Deployment{{Name: "gpt-4o"}}})
	env := map[string]string{"STORAGE": azurite.Start(t), "EAST": only.url, "WEST": only.url}
	processes := []*process{start(t, keepers, env), start(t, keepers, env)}
	id := responseID(t, processes[0].send(t, call{path: "/v1/responses", body: `{"model":"gpt-4o","input":"Think","background":true}`}))

	ask := func(i int) answer {
		return processes[i%2].send(t, call{method: http.MethodGet, path: "/v1/responses/" + id, header: http.Header{"X-Request-Id": {fmt.Sprint("ask-", i)}}})
	}
	var clients sync.WaitGroup
	asked := 0
	await.That(t, "the response is complete", func() bool {
		for i := asked; i < asked+8; i++ {
			clients.Go(func() { ask(i) })
		}
		asked += 8
		clients.Wait()
		var got struct{ Status string }
		a := ask(asked)
		asked++
		return json.Unmarshal(a.body, &got) == nil && got.Status == "completed"
	})
	charged := 0
	for i := range asked {
		if r := processes[i%2].record(t, fmt.Sprint("ask-", i)); r.Prompt+r.Output > 0 {
			charged++
		}
	}
	if charged != 1 {
		t.Errorf("charged %d times in %d requests, want 1", charged, asked)
	}
}

// responseID is the id of the response that an answer holds or streams.
func responseID(t *testing.T, a answer) string {
	t.Helper()
	var got struct {
		ID       string
		Response struct{ ID string }
	}
	text := a.body
	if _, events, streamed := bytes.Cut(text, []byte("data: ")); streamed {
		text, _, _ = bytes.Cut(events, []byte("\n"))
	}
	if err := json.Unmarshal(text, &got); a.status != http.StatusOK || err != nil {
		t.Fatalf("no response: %d %s, want %d", a.status, a.body, http.StatusOK)
	}
	return cmp.Or(got.ID, got.Response.ID)
}
