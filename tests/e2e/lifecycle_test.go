package e2e_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/ssestream"

	"spillway/tests/fakes/azureopenai"
)

// Told to end, the gateway lets open streams finish and takes nothing new.
func TestStopLetsStreamsFinish(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			s := startSite(t, "")
			type open struct {
				from, to dialect
				events   *ssestream.Stream[openai.ChatCompletionChunk]
				text     string
			}
			var streams []*open
			for i, from := range dialects {
				to := dialects[(i+1)%3]
				o := &open{from: from, to: to, events: openSlowStream(t, s, from, to, 300)}
				o.text = o.events.Current().Choices[0].Delta.Content
				streams = append(streams, o)
			}
			s.Signal(signal)
			if _, err := s.await(func(line string) bool { return strings.Contains(line, `"message":"stopping`) }); err != nil {
				t.Fatalf("the gateway does not say that it stops: %v", err)
			}
			s.awaitRefusal(t)
			for _, o := range streams {
				for o.events.Next() {
					for _, c := range o.events.Current().Choices {
						o.text += c.Delta.Content
					}
				}
				_, sent := s.backends[o.to].last(t)
				if err := o.events.Err(); err != nil || o.text != sent.text(t) || azureopenai.CountTokens(o.text) != 300 {
					t.Errorf("%s client: %d tokens of 300 came, and then %v", o.from, azureopenai.CountTokens(o.text), err)
				}
				o.events.Close()
			}
			if code := s.exitCode(t); code != 0 {
				t.Errorf("exit code %d, want 0", code)
			}
		})
	}
}

// openSlowStream opens a stream of so many tokens, and reads its first.
func openSlowStream(t *testing.T, s *site, from, to dialect, tokens int64) *ssestream.Stream[openai.ChatCompletionChunk] {
	t.Helper()
	params := chat(to)
	params.Model = "slow-" + string(to)
	params.MaxTokens = openai.Int(tokens)
	client := from.client(t, s.process, callerKey)
	events := client.Chat.Completions.NewStreaming(t.Context(), params)
	for events.Next() {
		if c := events.Current().Choices; len(c) > 0 && c[0].Delta.Content != "" {
			return events
		}
	}
	t.Fatalf("the stream has no text: %v", events.Err())
	return nil
}

// awaitRefusal waits until the gateway takes no new connections.
func (p *process) awaitRefusal(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		connection, err := net.Dial("tcp", p.address)
		if err != nil {
			return
		}
		_ = connection.Close()
	}
	t.Errorf("%s after it was told to end the gateway still takes connections", patience)
}

// Told to end twice, the gateway does not wait any longer, and says what it has
// cut off.
func TestStopTwiceCutsStreams(t *testing.T) {
	s := startSite(t, "")
	events := openSlowStream(t, s, openAI, classic, 100_000)
	defer events.Close()
	s.Signal(syscall.SIGTERM)
	if _, err := s.await(func(line string) bool { return strings.Contains(line, `"message":"stopping`) }); err != nil {
		t.Fatalf("the gateway does not say that it stops: %v", err)
	}
	s.awaitRefusal(t)
	s.Signal(syscall.SIGTERM)
	if code := s.exitCode(t); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if !strings.Contains(s.output.String(), "requests were still open and have been cut") {
		t.Error("it does not say that requests were cut off")
	}
	for events.Next() {
	}
	if events.Err() == nil {
		t.Error("the stream that was cut off looks complete")
	}
}

// An idle gateway ends at once.
func TestStopWhenIdle(t *testing.T) {
	s := startSite(t, "")
	transport := new(http.Transport)
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url("/spillway/healthz"), nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.RoundTrip(request) // its connection is kept
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	started := time.Now()
	s.Signal(syscall.SIGTERM)
	if code := s.exitCode(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	t.Logf("ended %s after SIGTERM", time.Since(started).Round(time.Millisecond))
}

// A Functions host chooses the port, and nobody but it may call.
func TestFunctionsHostChoosesThePort(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	env := settings()
	env["FUNCTIONS_CUSTOMHANDLER_PORT"] = fmt.Sprint(port)
	env["SICK"], env["HEALTHY"] = deadEndpoint(t), newBackend(t, pair("healthy")).url
	p := start(t, sick, env, "--listen", "0.0.0.0:0")
	if want := fmt.Sprintf("127.0.0.1:%d", port); p.address != want {
		t.Errorf("it listens on %s, want %s", p.address, want)
	}
	for _, path := range []string{"/", "/spillway/healthz"} {
		if got := p.send(t, call{method: http.MethodGet, path: path}).served(t); string(got.body) != "ok\n" {
			t.Errorf("%s answers %q", path, got.body)
		}
	}
	p.send(t, call{path: "/v1/chat/completions", key: callerKey, from: openAI, body: chatBody("both")}).served(t)
}

// From the start of the process to the first answer of a backend.
func TestStart(t *testing.T) {
	b := newBackend(t, pair("healthy"))
	env := settings()
	env["SICK"], env["HEALTHY"] = b.url, b.url
	if _, err := built(); err != nil {
		t.Fatal(err)
	}
	var took []string
	for range 5 {
		started := time.Now()
		p := start(t, sick, env)
		listening := time.Since(started)
		p.send(t, call{path: "/v1/chat/completions", key: callerKey, from: openAI, body: chatBody("both")}).served(t)
		took = append(took, fmt.Sprintf("%s and %s", listening.Round(time.Millisecond), time.Since(started).Round(time.Millisecond)))
		p.Signal(syscall.SIGTERM)
		if code := p.exitCode(t); code != 0 {
			t.Errorf("exit code %d, want 0", code)
		}
	}
	t.Logf("from the start until it listens, and until the first answer is complete: %s", strings.Join(took, ", "))
}

// A gateway that cannot serve says why and ends with exit code 1.
func TestServeThatCannotStart(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	env := func(more ...string) map[string]string {
		env := settings()
		env["SICK"], env["HEALTHY"] = "http://127.0.0.1:9", "http://127.0.0.1:9"
		for i := 0; i < len(more); i += 2 {
			env[more[i]] = more[i+1]
		}
		return env
	}
	tests := []struct {
		name string
		yaml string
		env  map[string]string
		args []string
		says []string
	}{
		{name: "the port is taken", yaml: sick, env: env(), args: []string{"--listen", taken.Addr().String()}, says: []string{"spillway serve: ", "address already in use"}},
		{name: "the host's port is none", yaml: sick, env: env("FUNCTIONS_CUSTOMHANDLER_PORT", "many"), says: []string{`FUNCTIONS_CUSTOMHANDLER_PORT is not a port: "many"`}},
		{name: "two mistakes", yaml: sick + "colour: blue\nlimits: { requestBody: much }\n", env: env(), says: []string{"gateway.yaml:13: colour: there is no such key", "gateway.yaml:14: limits.requestBody:"}},
		{name: "a variable that is not set", yaml: sick, env: map[string]string{"CALLER_KEY": callerKey}, says: []string{"gateway.yaml:3: ", "ADMIN_KEY", "gateway.yaml:6: ", "SICK"}},
		{name: "no YAML", yaml: "\tbackends", env: env(), says: []string{"gateway.yaml:1: "}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := launch(t, test.yaml, test.env, test.args...)
			if code := p.exitCode(t); code != 1 {
				t.Errorf("exit code %d, want 1", code)
			}
			said := p.output.String()
			for _, part := range test.says {
				if !strings.Contains(said, part) {
					t.Errorf("it does not say %q", part)
				}
			}
			for _, key := range []string{callerKey, adminKey, backendKey} {
				if strings.Contains(said, key) {
					t.Errorf("it tells the key %s", key)
				}
			}
			if strings.Contains(said, "goroutine") {
				t.Error("it panics")
			}
		})
	}
}

// A process that is killed leaves the port to the next one, which serves at once.
func TestKilledAndStartedAgain(t *testing.T) {
	b := newBackend(t, pair("healthy"))
	env := settings()
	env["SICK"], env["HEALTHY"] = b.url, b.url
	first := start(t, sick, env)
	client, listen := openAI.client(t, first, callerKey), first.address
	params := chat(openAI)
	params.Model = "both"
	if _, err := client.Chat.Completions.New(t.Context(), params); err != nil {
		t.Fatal(err)
	}
	first.Signal(os.Kill)
	first.exitCode(t)
	second := start(t, sick, env, "--listen", listen)
	if second.address != listen {
		t.Errorf("it listens on %s, want %s", second.address, listen)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := client.Chat.Completions.New(ctx, params); err != nil {
		t.Errorf("after the restart: %v", err)
	}
}
