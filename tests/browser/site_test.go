package browser_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"spillway/functions/console"
	"spillway/tests/browser"
	"spillway/tests/fakes/azureopenai"
	"spillway/tests/program"
)

func TestMain(m *testing.M) { program.Main(m) }

var built = program.Builder("spillway/functions/azure")

// patience bounds every wait of these tests. It only turns a hang into a failure.
const patience = 20 * time.Second

const (
	adminKey  = "an-admin-key-of-these-tests"
	searchKey = "a-key-of-team-search"
	chatKey   = "a-key-of-team-chat"
)

// hostileModel is a model whose name is markup.
const hostileModel = `<img src=x onerror="document.title=1">`

// site is a gateway, as a process, before simulated backends.
type site struct {
	url      string
	process  *program.Process
	backends map[string]*azureopenai.Server
	client   *http.Client
}

// backendOf is what a simulated backend serves: a deployment, and its tokens per
// minute, 0 for no limit.
type backendOf struct {
	deployment, model string
	tokens            int64
}

var backends = map[string]backendOf{
	"ptu-sweden":  {"gpt-4o-ptu", "gpt-4o", 6_000},
	"payg-sweden": {"gpt-4o", "gpt-4o", 0},
	"payg-eastus": {"gpt-4o", "gpt-4o", 0},
	"embedding":   {"text-embedding-3-small", "text-embedding-3-small", 0},
	"odd":         {"odd", hostileModel, 0},
}

// configuration has a %s for its state and one for each of the endpoints, in the order
// of their names.
const configuration = `
access: keys
admin: { keys: ["` + adminKey + `"] }
state: %[1]s
backends:
  - { name: ptu-sweden, region: swedencentral, endpoint: "%[6]s", deployments: [{ model: gpt-4o, deployment: gpt-4o-ptu, tokensPerMinute: 6000, requestsPerMinute: 600 }] }
  - { name: payg-sweden, region: swedencentral, endpoint: "%[5]s", deployments: [{ model: gpt-4o, tokensPerMinute: 450000 }] }
  - { name: payg-eastus, region: eastus, endpoint: "%[4]s", deployments: [{ model: gpt-4o, tokensPerMinute: 450000 }] }
  - { name: embedding, endpoint: "%[2]s", deployments: [{ model: text-embedding-3-small }] }
  - { name: odd, endpoint: "%[3]s", deployments: [{ model: '` + hostileModel + `', deployment: odd }] }
pools:
  - { model: gpt-4o, members: [{ backend: ptu-sweden, priority: 1 }, { backend: payg-sweden, priority: 2, weight: 3 }, { backend: payg-eastus, priority: 2 }] }
  - { model: text-embedding-3-small, members: [{ backend: embedding }] }
  - { model: '` + hostileModel + `', name: odd, members: [{ backend: odd }] }
consumers:
  - { name: team-search, keys: ["` + searchKey + `"], tokensPerMinute: 40000, quotas: [{ tokens: 5000000, per: month }] }
  - { name: team-chat, keys: ["` + chatKey + `"], requestsPerMinute: 3000, spillover: { tokensPerMinute: 90000 } }
`

// newSite starts a site. state is the configuration's.
func newSite(t *testing.T, state string) *site {
	t.Helper()
	browser.SkipWithoutNPM(t)
	s := &site{backends: make(map[string]*azureopenai.Server), client: &http.Client{Timeout: patience}}
	endpoints := []any{state}
	for _, name := range []string{"embedding", "odd", "payg-eastus", "payg-sweden", "ptu-sweden"} {
		of := backends[name]
		s.backends[name] = azureopenai.New(azureopenai.Options{
			Name: name, Seed: 1, RecordRequests: -1,
			Latency:     azureopenai.Latency{FirstByte: 40 * time.Millisecond, PerToken: 2 * time.Millisecond, Jitter: 0.6},
			Output:      azureopenai.Output{Mean: 40, Spread: 0.5},
			Deployments: []azureopenai.Deployment{{Name: of.deployment, Model: of.model, TokensPerMinute: of.tokens}},
		})
		server := httptest.NewServer(s.backends[name])
		t.Cleanup(server.Close)
		endpoints = append(endpoints, server.URL)
	}
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	yaml := filepath.Join(folder, "gateway.yaml")
	if err := os.WriteFile(yaml, fmt.Appendf(nil, configuration, endpoints...), 0o600); err != nil {
		t.Fatal(err)
	}
	output := program.NewOutput().Watch(t)
	command := exec.Command(path, "serve", "--config", yaml, "--listen", "127.0.0.1:0")
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + folder, "GORACE=atexit_sleep_ms=0"}
	s.process = program.Start(t, command, output, output)
	t.Cleanup(func() { s.stop(t) })
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	address, err := output.Listening(ctx)
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	s.url = "http://" + address
	return s
}

// stop ends the gateway.
func (s *site) stop(t *testing.T) {
	t.Helper()
	s.process.Signal(syscall.SIGTERM)
	s.process.ExitCode(t, patience) // how it ended does not matter here
}

// get reads a path of the gateway with the admin key.
func (s *site) get(t *testing.T, path string) []byte {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Api-Key", adminKey)
	answer, err := s.client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: status %d, want %d, %v: %s", path, answer.StatusCode, http.StatusOK, err, body)
	}
	return body
}

func (s *site) status(t *testing.T) console.Status {
	t.Helper()
	var status console.Status
	if err := json.Unmarshal(s.get(t, "/spillway/status"), &status); err != nil {
		t.Fatal(err)
	}
	return status
}

// ask makes one call and reads its answer. What goes wrong shows in the counts.
func (s *site) ask(ctx context.Context, key, model string) {
	operation, body := "chat/completions", map[string]any{
		"model": model, "max_tokens": 200, "stream": model == "gpt-4o",
		"messages": []map[string]string{{"role": "user", "content": strings.Repeat("Tell me more about the tides. ", 4)}},
	}
	if strings.Contains(model, "embedding") {
		operation, body = "embeddings", map[string]any{"model": model, "input": "the tides"}
	}
	text, _ := json.Marshal(body) // it can be encoded
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/v1/"+operation, bytes.NewReader(text))
	if err != nil {
		return
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Api-Key", key)
	answer, err := s.client.Do(request)
	if err != nil {
		return
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, answer.Body)
}

// load is traffic that can be paused.
type load struct {
	running sync.RWMutex // held by each call for reading
	calls   atomic.Int64
}

// startLoad lets users call until the test ends.
func (s *site) startLoad(t *testing.T) *load {
	l := new(load)
	ctx, cancel := context.WithCancel(context.Background())
	var users sync.WaitGroup
	for i, model := range []string{"gpt-4o", "gpt-4o", "gpt-4o", "gpt-4o", "text-embedding-3-small", hostileModel} {
		key := []string{searchKey, chatKey}[i%2]
		users.Go(func() {
			tick := time.NewTicker(60 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
					l.running.RLock()
					s.ask(ctx, key, model)
					l.calls.Add(1)
					l.running.RUnlock()
				}
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		users.Wait()
	})
	return l
}

// quiet lets do run while no call is open.
func (l *load) quiet(do func()) {
	l.running.Lock()
	defer l.running.Unlock()
	do()
}
