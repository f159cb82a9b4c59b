package e2e_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"spillway/tests/fakes/azureopenai"
)

// hostile is the configuration before which bad input is tried: small bodies,
// and a caller whose limits would show what was counted.
const hostile = `
access: keys
admin: { keys: ["${ADMIN_KEY}"] }
limits: { requestBody: 300KiB }
timeouts: { streamIdle: "${PATIENCE}" }
backends:
  - name: azure
    endpoint: ${URL}
    auth: { apiKey: "${BACKEND_KEY}" }
    deployments: [{ model: gpt-4o, tokensPerMinute: 1000000, requestsPerMinute: 6000 }]
  - name: openai
    endpoint: ${URL}
    api: openai
    auth: { apiKey: "${BACKEND_KEY}" }
    deployments: [{ model: gpt-4o-mini }]
pools:
  - { model: gpt-4o, members: [{ backend: azure }] }
  - { model: gpt-4o-mini, members: [{ backend: openai }] }
consumers:
  - { name: caller, keys: ["${CALLER_KEY}"], tokensPerMinute: 5000000, requestsPerMinute: 1000 }
`

// besieged is a gateway that gets bad input, and what it must not betray.
type besieged struct {
	*process
	backend *backend
	secrets []string
}

// besiege starts a gateway that waits so long for the rest of a body.
func besiege(t *testing.T, wait time.Duration) *besieged {
	t.Helper()
	options := pair("backend")
	options.Deployments = append(options.Deployments, azureopenai.Deployment{Name: "gpt-4o-mini"})
	b := newBackend(t, options)
	env := settings()
	env["URL"], env["PATIENCE"] = b.url, wait.String()
	p := start(t, hostile, env)
	home, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	return &besieged{p, b, []string{
		callerKey, adminKey, backendKey, strings.TrimPrefix(b.url, "http://"), "sha256", home, p.yaml, os.TempDir(),
		"goroutine ", ".go:", "127.0.0.1",
	}}
}

// refusal is an error in the API's own shape.
type refusal struct{ Message, Type, Param, Code string }

// refused asserts an error of the gateway's own: the status, the shape that
// every SDK reads, and nothing in it that is not the caller's to know.
func (s *besieged) refused(t *testing.T, a answer, status int) refusal {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d: %.300s", a.status, status, a.body)
	}
	if media := a.header.Get("Content-Type"); media != "application/json" {
		t.Errorf("Content-Type %q, want application/json", media)
	}
	var body map[string]map[string]any
	if err := json.Unmarshal(a.body, &body); err != nil || len(body) != 1 {
		t.Fatalf("the error is not of the API's shape (%v): %.300s", err, a.body)
	}
	var r refusal
	for name, field := range map[string]*string{"message": &r.Message, "type": &r.Type, "param": &r.Param, "code": &r.Code} {
		value, there := body["error"][name]
		text, isText := value.(string)
		if !there || value != nil && !isText {
			t.Errorf("error.%s is missing or no text: %.300s", name, a.body)
		}
		*field = text
	}
	if r.Message == "" || r.Type == "" || len(a.body) > 1000 {
		t.Errorf("an error of %d bytes without message or type, or longer than an error should be: %.300s", len(a.body), a.body)
	}
	s.silent(t, a)
	return r
}

// silent asserts that an answer betrays nothing.
func (s *besieged) silent(t *testing.T, a answer) {
	t.Helper()
	text := string(a.body)
	for name, values := range a.header {
		text += "\n" + name + ": " + strings.Join(values, " ")
	}
	for _, secret := range s.secrets {
		if strings.Contains(text, secret) {
			t.Errorf("the answer betrays %q: %s", secret, text)
		}
	}
}

// state is what the gateway and the backend have counted.
type state struct {
	Totals      map[string]int64
	Deployments []map[string]any
}

func (s *besieged) state(t *testing.T) state {
	t.Helper()
	var now state
	got := s.send(t, call{method: http.MethodGet, path: "/spillway/status", key: adminKey, from: classic}).served(t)
	if err := json.Unmarshal(got.body, &now); err != nil {
		t.Fatalf("status %s: %v", got.body, err)
	}
	delete(now.Totals, "requests") // those that were refused are requests too
	for _, d := range now.Deployments {
		for _, limit := range []string{"tokens", "requests"} {
			if l, ok := d[limit].(map[string]any); ok {
				delete(l, "resetAt") // moves with the minute
			}
		}
	}
	return now
}

// unmoved runs attacks, and asserts that they have reached no backend and moved
// no counter, and that the gateway goes on to serve.
func (s *besieged) unmoved(t *testing.T, attacks func()) {
	t.Helper()
	before := s.state(t)
	attacks()
	if n := s.backend.requests(); n != 0 {
		request, _ := s.backend.last(t)
		t.Errorf("the backend has got %d requests, the last: %s %.300q", n, request.URI, request.Body)
	}
	if got, want := fmt.Sprint(s.state(t)), fmt.Sprint(before); got != want {
		t.Errorf("counted: %s\nbefore:  %s", got, want)
	}
	if !s.Running() {
		t.Fatal("the gateway has ended")
	}
	last := s.send(t, call{path: "/v1/chat/completions", key: callerKey, from: openAI, body: chatBody("gpt-4o")}).served(t)
	if left := last.header.Get("X-Ratelimit-Remaining-Requests"); left != "999" {
		t.Errorf("after one good request %s of 1000 are left in the minute, want 999", left)
	}
}

// raw writes bytes on a new connection and reads the answer to them.
func (p *process) raw(t *testing.T, request string) answer {
	t.Helper()
	connection := p.dial(t)
	if _, err := io.WriteString(connection, request); err != nil {
		t.Fatal(err)
	}
	return readAnswer(t, connection)
}

// dial connects to the gateway. The connection lasts at most as long as tests
// have patience.
func (p *process) dial(t *testing.T) net.Conn {
	t.Helper()
	connection, err := net.Dial("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() }) // may be closed already
	if err := connection.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return connection
}

// readAnswer reads an answer from a connection.
func readAnswer(t *testing.T, connection net.Conn) answer {
	t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("the answer breaks off: %v", err)
	}
	return answer{response.StatusCode, response.Header, body}
}
