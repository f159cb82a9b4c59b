package e2e_test

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/azure"
	"github.com/openai/openai-go/v3/option"

	"spillway/tests/fakes/azureopenai"
	"spillway/tests/secrets"
)

// The keys of these tests. None of them may ever be seen where it does not
// belong, so each is a word that occurs nowhere else.
const (
	callerKey  = "key-of-the-caller-5f1c"
	adminKey   = "key-of-the-admin-9d2e"
	backendKey = "key-of-the-backend-7a4b"
)

// apiVersion is what Azure clients of these tests send.
const apiVersion = "2024-10-21"

// dialect is one of the three ways in which clients and backends speak.
type dialect string

const (
	classic dialect = "azure"    // /openai/deployments/{deployment}/…?api-version=…
	azureV1 dialect = "azure-v1" // /openai/v1/…
	openAI  dialect = "openai"   // /v1/…
)

var dialects = []dialect{classic, azureV1, openAI}

// path is where a client of the dialect sends a request.
func (d dialect) path(model, operation string) string {
	switch d {
	case classic:
		return "/openai/deployments/" + model + "/" + operation + "?api-version=" + apiVersion
	case azureV1:
		return "/openai/v1/" + operation
	}
	return "/v1/" + operation
}

// client is the official client, set up for the dialect as its documentation
// says.
func (d dialect) client(t testing.TB, p *process, key string) openai.Client {
	transport := new(http.Transport)
	t.Cleanup(transport.CloseIdleConnections)
	web := option.WithHTTPClient(&http.Client{Transport: transport})
	switch d {
	case classic:
		return openai.NewClient(azure.WithEndpoint(p.url(""), apiVersion), azure.WithAPIKey(key), azure.WithUnsafeAllowHTTP(), web)
	case azureV1:
		return openai.NewClient(option.WithBaseURL(p.url("/openai/v1/")), option.WithAPIKey(key), web)
	}
	return openai.NewClient(option.WithBaseURL(p.url("/v1/")), option.WithAPIKey(key), web)
}

// authorize puts a key where clients of the dialect put it.
func (d dialect) authorize(h http.Header, key string) {
	if d == classic {
		h.Set("api-key", key)
		return
	}
	h.Set("Authorization", "Bearer "+key)
}

// deployed is the name of the chat model at every backend: another one than
// clients ask for, so that it has to be replaced.
const deployed = "the deployed gpt-4o"

// site is a gateway before one backend of each dialect. The backend of dialect
// d serves the models chat-d, slow-d and embed-d, and no other does.
type site struct {
	*process
	backends map[dialect]*backend
}

// threeDialects is the configuration of a site.
const threeDialects = `
access: keys
admin: { keys: ["${ADMIN_KEY}"] }
backends:
  - name: backend-azure
    endpoint: ${URL_AZURE}
    auth: { apiKey: "${BACKEND_KEY}" }
    deployments:
      - { model: chat-azure, deployment: "the deployed gpt-4o" }
      - { model: slow-azure, deployment: slow }
      - { model: embed-azure, deployment: embedder }
  - name: backend-azure-v1
    endpoint: ${URL_AZURE_V1}
    api: azure-v1
    auth: { apiKey: "${BACKEND_KEY}" }
    deployments:
      - { model: chat-azure-v1, deployment: "the deployed gpt-4o" }
      - { model: slow-azure-v1, deployment: slow }
      - { model: embed-azure-v1, deployment: embedder }
  - name: backend-openai
    endpoint: ${URL_OPENAI}
    api: openai
    auth: { apiKey: "${BACKEND_KEY}" }
    deployments:
      - { model: chat-openai, deployment: "the deployed gpt-4o" }
      - { model: slow-openai, deployment: slow }
      - { model: embed-openai, deployment: embedder }
pools:
  - { model: chat-azure, members: [{ backend: backend-azure }] }
  - { model: slow-azure, members: [{ backend: backend-azure }] }
  - { model: embed-azure, members: [{ backend: backend-azure }] }
  - { model: chat-azure-v1, members: [{ backend: backend-azure-v1 }] }
  - { model: slow-azure-v1, members: [{ backend: backend-azure-v1 }] }
  - { model: embed-azure-v1, members: [{ backend: backend-azure-v1 }] }
  - { model: chat-openai, members: [{ backend: backend-openai }] }
  - { model: slow-openai, members: [{ backend: backend-openai }] }
  - { model: embed-openai, members: [{ backend: backend-openai }] }
consumers:
  - name: caller
    keys: ["${CALLER_KEY}"]
`

// startSite starts a gateway before a backend of each dialect; more is added to
// its configuration.
func startSite(t testing.TB, more string) *site {
	t.Helper()
	s := &site{backends: make(map[dialect]*backend)}
	env := settings()
	for _, d := range dialects {
		s.backends[d] = newBackend(t, azureopenai.Options{
			Name:       string(d),
			Key:        backendKey,
			FilterWord: "forbidden-word",
			Deployments: []azureopenai.Deployment{
				{Name: deployed, Model: "gpt-4o"},
				{Name: "slow", Model: "gpt-4o", Latency: &slowly, Output: &azureopenai.Output{Exact: 4000}},
				{Name: "embedder", Model: "text-embedding-3-small"},
			},
			Output: azureopenai.Output{Exact: 40},
		})
		env["URL_"+strings.ToUpper(strings.ReplaceAll(string(d), "-", "_"))] = s.backends[d].url
	}
	s.process = start(t, threeDialects+more, env)
	return s
}

// settings are what the configurations of these tests read from the
// environment: the keys, and how long the gateway waits for others.
func settings() map[string]string {
	return map[string]string{"CALLER_KEY": callerKey, "ADMIN_KEY": adminKey, "BACKEND_KEY": backendKey, "PATIENCE": patience.String()}
}

// eachPair runs a test for a client of every dialect before a backend of every
// dialect.
func (s *site) eachPair(t *testing.T, test func(t *testing.T, client, backend dialect)) {
	for _, client := range dialects {
		for _, backend := range dialects {
			t.Run(string(client)+" client, "+string(backend)+" backend", func(t *testing.T) { test(t, client, backend) })
		}
	}
}

// call is a request that is sent as it is.
type call struct {
	method string // default: POST
	path   string
	key    string // in the way of dialect
	from   dialect
	header http.Header
	body   string
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// send sends a call and reads its whole answer.
func (p *process) send(t testing.TB, c call) answer {
	t.Helper()
	method := c.method
	if method == "" {
		method = http.MethodPost
	}
	request, err := http.NewRequestWithContext(t.Context(), method, p.url(c.path), strings.NewReader(c.body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	maps.Copy(request.Header, c.header)
	if c.key != "" {
		c.from.authorize(request.Header, c.key)
	}
	transport := &http.Transport{DisableCompression: true}
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatalf("%s %s: %v", method, c.path, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: the answer breaks off after %d bytes: %v", method, c.path, len(body), err)
	}
	secrets.None(t, "an answer to "+c.path, response.Header, body)
	return answer{response.StatusCode, response.Header, body}
}

// served asserts a good answer.
func (a answer) served(t testing.TB) answer {
	t.Helper()
	if a.status != http.StatusOK {
		t.Fatalf("status %d, want 200: %s", a.status, a.body)
	}
	return a
}

// id is the id that the gateway has given to the request.
func (a answer) id() string { return a.header.Get("X-Request-Id") }

// same asserts that two texts are the same, byte for byte, and shows where they
// begin to differ.
func same(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if bytes.Equal(got, want) {
		return
	}
	at := 0
	for at < min(len(got), len(want)) && got[at] == want[at] {
		at++
	}
	from := max(0, at-40)
	t.Errorf("%s: %d bytes, want %d; they differ from byte %d on:\n got …%q\nwant …%q", what, len(got), len(want), at,
		got[from:min(len(got), at+120)], want[from:min(len(want), at+120)])
}
