// Package lambda_test runs the program that AWS Lambda runs, built as for it, in
// environments that keep Lambda's contract: one call at a time, frozen between two.
// Nothing of the gateway's own code is linked in.
package lambda_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"spillway/tests/fakes/azureopenai"
	"spillway/tests/fakes/lambdaruntime"
	"spillway/tests/program"
)

// patience only turns a hang into a failure.
const patience = time.Minute

func TestMain(m *testing.M) { program.Main(m) }

var built = program.Builder("spillway/functions/lambda")

// instance is one environment with the gateway, and its URL.
type instance struct {
	*lambdaruntime.Environment
	url            string
	stdout, stderr *program.Output
}

// start starts an instance with a configuration, whose ${NAME} are replaced from env.
// At the end of the test it must have kept to the Runtime API.
func start(t *testing.T, yaml string, env map[string]string, timeout time.Duration) *instance {
	t.Helper()
	i, err := launch(t, yaml, env, timeout)
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, i.stdout, i.stderr)
	}
	server := httptest.NewServer(i)
	i.url = server.URL
	t.Cleanup(func() {
		server.Close()
		i.Close()
		for _, v := range i.Violations() {
			t.Errorf("the gateway breaks the contract: %s", v)
		}
		if said := i.stderr.String(); strings.Contains(said, "DATA RACE") || strings.Contains(said, "goroutine ") {
			t.Error("the gateway has a race, or has panicked")
		}
		if t.Failed() {
			t.Logf("the gateway's output:\n%s\n%s", i.stdout, i.stderr)
		}
	})
	return i
}

// launch starts an instance that may fail to start.
func launch(t *testing.T, yaml string, env map[string]string, timeout time.Duration) (*instance, error) {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if yaml != "" {
		if err := os.WriteFile(filepath.Join(folder, "gateway.yaml"), []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	settings := map[string]string{"GORACE": "atexit_sleep_ms=0"} // by default a binary with the race detector sleeps for a second at its end
	for name, value := range env {
		settings[name] = value
	}
	i := &instance{stdout: program.NewOutput().Watch(t), stderr: program.NewOutput().Watch(t)}
	i.Environment, err = lambdaruntime.Start(limited(t), lambdaruntime.Options{
		Bootstrap: path, Folder: folder, Settings: settings, Timeout: timeout, Grace: patience, Stdout: i.stdout, Stderr: i.stderr,
	})
	return i, err
}

func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// newBackend starts a simulated resource, and returns where it is.
func newBackend(t *testing.T, o azureopenai.Options) (*azureopenai.Server, string) {
	t.Helper()
	b := azureopenai.New(o)
	server := httptest.NewServer(b)
	t.Cleanup(func() {
		b.Clear() // what hangs goes on
		server.CloseClientConnections()
		server.Close()
	})
	return b, server.URL
}

// answer is what a client got.
type answer struct {
	status int
	header http.Header
	body   string
	err    error // of reading the body
}

// served is the backend that has served it.
func (a answer) served() string { return a.header.Get("X-Spillway-Backend") }

// code is the code of an error.
func (a answer) code() string {
	var body struct{ Error struct{ Code string } }
	_ = json.Unmarshal([]byte(a.body), &body) // "" then
	return body.Error.Code
}

// post sends a request of the API and reads the whole answer.
func (i *instance) post(t *testing.T, body string, header http.Header) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(limited(t), http.MethodPost, i.url+"/v1/chat/completions", bytes.NewBufferString(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = header.Clone()
	if header == nil {
		request.Header = http.Header{"Content-Type": {"application/json"}}
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(text), err}
}

// ask sends a small request for a model.
func (i *instance) ask(t *testing.T, model string) answer {
	t.Helper()
	return i.post(t, `{"model":"`+model+`","max_tokens":40,"messages":[{"role":"user","content":"Hello."}]}`, nil)
}

// invoke gives the instance an event, and returns the whole answer.
func (i *instance) invoke(t *testing.T, event string) (string, error) {
	t.Helper()
	reply, err := i.Invoke(limited(t), []byte(event))
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(reply.Body)
	return string(text), err
}
