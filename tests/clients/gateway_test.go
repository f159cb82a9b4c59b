package clients_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"spillway/tests/fakes/azureopenai"
	"spillway/tests/program"
)

// The keys of these tests. Wherever one is seen the test fails.
const (
	callerKey  = "key-of-the-caller-3e8b"
	backendKey = "key-of-the-backend-61d0"
)

// models are what each backend serves, in the order in which the gateway lists them.
var models = []azureopenai.Deployment{
	{Name: "gpt-35-turbo-instruct"},
	{Name: "gpt-4o", TokensPerMinute: 1e6, RequestsPerMinute: 6000},
	{Name: "gpt-4o-mini-tts"},
	{Name: "gpt-4o-transcribe"},
	{Name: "gpt-image-1"},
	{Name: "omni-moderation"},
	{Name: "text-embedding-3-small"},
	{Name: "whisper"},
}

// newBackend is a fresh simulated service whose answers have 20 tokens, unless a change
// says otherwise. Two that are asked the same, in the same order, answer the same.
func newBackend(key string, changes ...func(*azureopenai.Options)) *azureopenai.Server {
	o := azureopenai.Options{
		Key: key, Deployments: models, Output: azureopenai.Output{Exact: 20}, FilterWord: "forbidden-word",
		Seed: 1, Dated: time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC),
		// What is canceled must not be done before, and what is awaited must be soon.
		Background: azureopenai.Pace{Running: 2 * time.Second}, Batches: azureopenai.Pace{Running: time.Hour},
	}
	for _, change := range changes {
		change(&o)
	}
	return azureopenai.New(o)
}

// serve puts a simulated service on a socket, and returns its URL.
func serve(t testing.TB, s *azureopenai.Server) string {
	t.Helper()
	server := httptest.NewServer(s)
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL
}

// configuration is that of a gateway before backends of one kind; more is what its
// consumer may not exceed.
func configuration(api constructor, more string, backends []string) string {
	var yaml, pools strings.Builder
	fmt.Fprintln(&yaml, "access: keys\nbackends:")
	for i, url := range backends {
		fmt.Fprintf(&yaml, "  - name: backend-%d\n    endpoint: %s\n    api: %s\n    files: true\n    auth: { apiKey: %q }\n    deployments:\n", i+1, url, api, backendKey)
		for _, m := range models {
			fmt.Fprintf(&yaml, "      - { model: %s }\n", m.Name)
		}
	}
	for _, m := range models {
		fmt.Fprintf(&pools, "  - model: %s\n    members:\n", m.Name)
		for i := range backends {
			fmt.Fprintf(&pools, "      - { backend: backend-%d }\n", i+1)
		}
	}
	return fmt.Sprintf("%spools:\n%sconsumers:\n  - name: caller\n    keys: [%q]\n%s", &yaml, &pools, callerKey, more)
}

var built = program.Builder("spillway/functions/azure")

// gateway is a process that serves.
type gateway struct {
	address string // host:port that it listens on
	output  *program.Output
	*program.Process
}

// startGateway starts a gateway before backends, and waits until it listens. It is
// stopped when the test ends; if the test has failed by then, what it printed is shown.
func startGateway(t testing.TB, api constructor, more string, backends ...string) *gateway {
	t.Helper()
	binary, err := built()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	yaml := filepath.Join(folder, "gateway.yaml")
	if err := os.WriteFile(yaml, []byte(configuration(api, more, backends)), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(binary, "serve", "--config", yaml, "--listen", "127.0.0.1:0")
	command.Dir, command.Env = folder, []string{"HOME=" + folder, "TMPDIR=" + folder, "GORACE=atexit_sleep_ms=0"}
	output := program.NewOutput().Watch(t)
	g := &gateway{output: output, Process: program.Start(t, command, output, output)}
	t.Cleanup(func() {
		g.stop(t)
		if t.Failed() {
			t.Logf("the gateway's output:\n%s", g.output)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if g.address, err = output.Listening(ctx); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *gateway) url(path string) string { return "http://" + g.address + path }

// stop stops the gateway, if it still runs, as an orchestrator does, and waits for its
// end. One that does not end is killed.
func (g *gateway) stop(t testing.TB) {
	t.Helper()
	g.Signal(syscall.SIGTERM)
	if code := g.ExitCode(t, patience); code != 0 {
		t.Errorf("the gateway ended with exit code %d, want 0", code)
	}
}

// requests are those that the gateway has answered. It must have been stopped.
func (g *gateway) requests() int {
	n := 0
	for _, text := range g.output.Lines() {
		if strings.Contains(text, `"message":"request"`) {
			n++
		}
	}
	return n
}
