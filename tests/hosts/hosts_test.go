// Package hosts_test runs the gateway as its hosts run it: the folder that is
// published, by a host that keeps the real one's contract, before simulated
// backends.
package hosts_test

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
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"spillway/tests/fakes/azureopenai"
	"spillway/tests/fakes/functionshost"
)

// patience bounds every wait; it only turns a hang into a failure.
const patience = 20 * time.Second

const (
	callerKey  = "the key of a caller, for tests"
	backendKey = "the key of a backend, for tests"
	adminKey   = "the key of an admin, for tests"
)

// plain is a configuration whose instances share nothing.
const plain = `
access: keys
admin: { keys: ["${ADMIN_KEY}"] }
consumers: [{ name: caller, keys: ["${CALLER_KEY}"] }]
backends:
  - { name: first, endpoint: "${FIRST}", auth: { apiKey: "${BACKEND_KEY}" }, deployments: [{ model: gpt-4o }, { model: steps }] }
pools:
  - { model: gpt-4o, members: [{ backend: first }] }
  - { model: steps, members: [{ backend: first }] }
`

// staged is dist/ as make package builds it, once for all tests. Each test gets a
// copy with a configuration of its own.
var staged = sync.OnceValues(func() (string, error) {
	folder, err := os.MkdirTemp("", "spillway-dist-")
	if err != nil {
		return "", err
	}
	dist := filepath.Join(folder, "dist")
	return dist, packaged(dist, "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
})

// packaged runs what make package runs.
func packaged(dist string, env ...string) error {
	command := exec.Command("sh", "../../functions/azure/package.sh")
	command.Env = append(append(os.Environ(), "DIST="+dist), env...)
	if out, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("package.sh: %w\n%s", err, out)
	}
	return nil
}

func TestMain(m *testing.M) {
	code := m.Run()
	if dist, err := staged(); err == nil {
		_ = os.RemoveAll(filepath.Dir(dist))
	}
	os.Exit(code)
}

// dist is a copy of what is published, with a configuration.
func dist(t testing.TB, yaml string) string {
	t.Helper()
	from, err := staged()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := os.CopyFS(folder, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "gateway.yaml"), []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return folder
}

// sampleSettings are the settings that a developer begins with.
func sampleSettings(t testing.TB) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../local.settings.sample.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Values map[string]string }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	return file.Values
}

// backend is a simulated resource on a socket, which keeps the headers and queries
// that have reached it.
type backend struct {
	*azureopenai.Server
	url   string
	steps chan string   // what a deployment named steps sends next; closed at the end
	left  chan struct{} // told when the caller of such a stream leaves

	mu   sync.Mutex
	seen []string // guarded by mu
}

func newBackend(t testing.TB) *backend {
	t.Helper()
	b := &backend{
		Server: azureopenai.New(azureopenai.Options{
			Key: backendKey, Deployments: []azureopenai.Deployment{{Name: "gpt-4o"}}, Output: azureopenai.Output{Exact: 5},
		}),
		steps: make(chan string),
		left:  make(chan struct{}, 1),
	}
	server := httptest.NewServer(b)
	b.url = server.URL
	t.Cleanup(server.Close)
	t.Cleanup(server.CloseClientConnections)
	return b
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	b.seen = append(b.seen, fmt.Sprint(r.URL, r.Header))
	b.mu.Unlock()
	if !strings.Contains(r.URL.Path, "/steps/") {
		b.Server.ServeHTTP(w, r)
		return
	}
	_, _ = io.Copy(io.Discard, r.Body) // so that the server notices when the caller leaves
	w.Header().Set("Content-Type", "text/event-stream")
	for {
		select {
		case event, more := <-b.steps:
			fmt.Fprintf(w, "data: %s\n\n", event)
			_ = http.NewResponseController(w).Flush() // the caller may have left
			if !more {
				return
			}
		case <-r.Context().Done():
			b.left <- struct{}{}
			return
		}
	}
}

// requests are what has reached the backend.
func (b *backend) requests() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.seen)
}

// site is a host before a backend.
type site struct {
	*functionshost.Host
	first *backend
}

// startSite starts a host with the published folder before a backend.
func startSite(t testing.TB, yaml string, o functionshost.Options, more ...string) *site {
	t.Helper()
	s := &site{first: newBackend(t)}
	s.Host = startHost(t, yaml, o, append([]string{"FIRST", s.first.url}, more...)...)
	return s
}

// startHost starts a host with the published folder, and checks at its end that the
// handler has never failed it.
func startHost(t testing.TB, yaml string, o functionshost.Options, more ...string) *functionshost.Host {
	t.Helper()
	o.Folder = dist(t, yaml)
	o.Settings = settings(t, more...)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	h, err := functionshost.Start(ctx, o)
	if err != nil {
		t.Fatalf("%v\n%v", err, h)
	}
	t.Cleanup(func() {
		h.Close()
		if h.Dropped() > 0 {
			t.Errorf("%d connections were dropped without an answer, want none", h.Dropped())
		}
		for _, line := range h.Console() {
			if line.Level != "Information" {
				t.Errorf("the host has logged at %s, want Information: %s", line.Level, line.Text)
			}
			if line.Function == "" && !json.Valid([]byte(line.Text)) {
				t.Errorf("the handler has printed a line that is not JSON: %s", line.Text)
			}
		}
		if t.Failed() {
			t.Logf("the handler has printed:\n%v", h.Console())
		}
	})
	return h
}

func settings(t testing.TB, more ...string) map[string]string {
	s := sampleSettings(t)
	s["CALLER_KEY"], s["BACKEND_KEY"], s["ADMIN_KEY"] = callerKey, backendKey, adminKey
	for i := 0; i < len(more); i += 2 {
		s[more[i]] = more[i+1]
	}
	return s
}

// send sends a request to the host's public side.
func send(t testing.TB, h *functionshost.Host, method, path, body string, header ...string) (*http.Response, string) {
	t.Helper()
	response, err := open(t.Context(), h, method, path, body, header...)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: %v after %q", method, path, err, text)
	}
	return response, string(text)
}

func open(ctx context.Context, h *functionshost.Host, method, path, body string, header ...string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, h.URL()+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("api-key", callerKey)
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	return http.DefaultTransport.RoundTrip(request)
}

const (
	chat       = `{"model":"gpt-4o","max_tokens":10,"messages":[{"role":"user","content":"Hello!"}]}`
	chatPath   = "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"
	streamPath = "/openai/deployments/steps/chat/completions?api-version=2024-10-21"
	stream     = `{"stream":true,"max_tokens":10,"messages":[{"role":"user","content":"Hello!"}]}`
)
