package e2e_test

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"spillway/tests/fakes/azureopenai"
)

// notAzure is the configuration of a gateway before a server that is not Azure: under a
// path of its own, with a certificate of its own authority, that wants a header and no
// key.
const notAzure = `
access: open
backends:
  - name: vllm
    api: openai
    endpoint: ${SERVER}/llm
    caFile: ${AUTHORITY}
    headers: { x-team: "${TEAM}" }
    deployments: [{ model: llama, deployment: meta-llama/Llama-3-8B }]
pools: [{ model: llama, members: [{ backend: vllm }] }]
`

const hello = `{"model":"llama","messages":[{"role":"user","content":"Hello!"}]}`

// Any server that speaks the API is a backend.
func TestBackendThatIsNotAzure(t *testing.T) {
	service := azureopenai.New(azureopenai.Options{Deployments: []azureopenai.Deployment{{Name: "meta-llama/Llama-3-8B"}}})
	server := httptest.NewTLSServer(http.StripPrefix("/llm", service))
	t.Cleanup(server.Close)
	folder := t.TempDir()
	authority := filepath.Join(folder, "authority.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(authority, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	env := map[string]string{"SERVER": server.URL, "AUTHORITY": authority, "TEAM": "platform"}

	p := start(t, notAzure, env)
	for _, body := range []string{hello, strings.Replace(hello, "{", `{"stream":true,`, 1)} {
		if a := p.send(t, call{path: "/openai/v1/chat/completions", body: body}); a.status != http.StatusOK {
			t.Errorf("%d %s, want %d", a.status, a.body, http.StatusOK)
		}
	}
	got, _ := service.LastRequest()
	if got.URI != "/v1/chat/completions" || got.Header.Get("X-Team") != "platform" || got.Header.Get("Authorization") != "" || got.Header.Get("Api-Key") != "" {
		t.Errorf("the server got %s with %v", got.URI, got.Header)
	}

	// Without the authority's certificate the server is not trusted.
	without := start(t, strings.Replace(notAzure, "    caFile: ${AUTHORITY}\n", "", 1), env)
	if a := without.send(t, call{path: "/v1/chat/completions", body: hello}); a.status != http.StatusServiceUnavailable {
		t.Errorf("a server that nobody vouches for: %d %s, want %d", a.status, a.body, http.StatusServiceUnavailable)
	}
}

// A gateway is a backend, too: that of a region, or of another department. Each reads
// the headers that are for it, and passes none of them on.
func TestGatewayBehindAGateway(t *testing.T) {
	service := newBackend(t, azureopenai.Options{Deployments: []azureopenai.Deployment{{Name: "meta-llama/Llama-3-8B"}}})
	const inner = `
access: open
backends: [{ name: inner, api: openai, endpoint: "${SERVICE}", deployments: [{ model: llama, deployment: meta-llama/Llama-3-8B }] }]
pools: [{ model: llama, members: [{ backend: inner }] }]
`
	behind := start(t, inner, map[string]string{"SERVICE": service.url})
	front := start(t, strings.ReplaceAll(strings.Replace(inner, ", deployment: meta-llama/Llama-3-8B", "", 1), "inner", "outer"), map[string]string{"SERVICE": "http://" + behind.address})
	a := front.send(t, call{path: "/v1/chat/completions", body: hello, header: http.Header{"X-Spillway-Spillover": {"false"}, "X-Request-Id": {"through-both"}}})
	if a.status != http.StatusOK || a.header.Get("X-Spillway-Backend") != "outer" {
		t.Errorf("%d by %q: %s", a.status, a.header.Get("X-Spillway-Backend"), a.body)
	}
	if r := behind.record(t, "through-both"); r.Backend != "inner" || r.Prompt == 0 {
		t.Errorf("the gateway behind has recorded %+v", r)
	}
	if r := front.record(t, "through-both"); r.Backend != "outer" || r.Prompt == 0 {
		t.Errorf("the gateway in front has recorded %+v", r)
	}
}
