package hosts_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"spillway/tests/await"
	"spillway/tests/fakes/azureopenai"
	"spillway/tests/fakes/azurite"
	"spillway/tests/fakes/functionshost"
)

// Requests of each dialect are served through the host.
func TestCompletions(t *testing.T) {
	s := startSite(t, plain, functionshost.Options{})
	for _, path := range []string{chatPath, "/openai/v1/chat/completions", "/v1/chat/completions"} {
		response, body := send(t, s.Host, http.MethodPost, path, chat)
		var answer struct {
			Choices []struct{ Message struct{ Content string } }
		}
		if err := json.Unmarshal([]byte(body), &answer); err != nil || response.StatusCode != 200 || len(answer.Choices) != 1 {
			t.Errorf("%s: status %d: %s", path, response.StatusCode, body)
		}
	}
	if response, body := send(t, s.Host, http.MethodGet, "/spillway/status", "", "api-key", adminKey); response.StatusCode != 200 {
		t.Errorf("the status: %d, want 200: %s", response.StatusCode, body)
	}
	await.That(t, "it is ready", func() bool {
		response, _ := send(t, s.Host, http.MethodGet, "/spillway/readyz", "")
		return response.StatusCode == 200
	})
}

// Each event of a stream is with the client before the next one exists.
func TestStreamedEventsArriveOneByOne(t *testing.T) {
	s := startSite(t, plain, functionshost.Options{})
	responses := make(chan *http.Response, 1)
	go func() {
		response, err := open(t.Context(), s.Host, http.MethodPost, streamPath, stream)
		if err != nil {
			t.Error(err)
		}
		responses <- response
	}()
	var lines *bufio.Scanner
	for n := range 10 {
		event := fmt.Sprintf(`{"id":"x","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"%d"}}]}`, n)
		select {
		case s.first.steps <- event:
		case <-time.After(patience):
			t.Fatal("the backend was not asked")
		}
		if lines == nil {
			response := <-responses
			if response == nil {
				return
			}
			defer response.Body.Close()
			lines = bufio.NewScanner(response.Body)
		}
		for lines.Scan() && lines.Text() == "" {
		}
		if lines.Text() != "data: "+event {
			t.Fatalf("event %d came as %q, want %q: %v", n, lines.Text(), "data: "+event, lines.Err())
		}
	}
	s.first.steps <- "[DONE]"
	close(s.first.steps)
	for lines.Scan() && lines.Text() == "" {
	}
	if lines.Text() != "data: [DONE]" {
		t.Errorf("the stream ends with %q, want %q: %v", lines.Text(), "data: [DONE]", lines.Err())
	}
}

// When the client leaves in the midst of a stream, the backend is left too.
func TestClientAbortReachesTheBackend(t *testing.T) {
	s := startSite(t, plain, functionshost.Options{})
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	go func() {
		s.first.steps <- `{"id":"x","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"a"}}]}`
	}()
	response, err := open(ctx, s.Host, http.MethodPost, streamPath, stream)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := response.Body.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	leave()
	select {
	case <-s.first.left:
	case <-time.After(patience):
		t.Error("the backend still sends")
	}
}

// timerCall is what the host sends when the timer is due, as anybody may write it.
const timerCall = `{"Data":{"timer":{"Schedule":{"AdjustForDST":true},"ScheduleStatus":null,"IsPastDue":false}},"Metadata":{"sys":{"MethodName":"maintenance"}}}`

// Nobody but the host reaches the maintenance, by whatever path and in whatever
// disguise.
func TestMaintenanceIsNotReachedFromOutside(t *testing.T) {
	s := startSite(t, plain, functionshost.Options{})
	paths := []string{
		"/maintenance", "/Maintenance", "/maintenance/", "//maintenance", "/api/maintenance", "/v1/../maintenance", "/v1/%2e%2e/maintenance",
		"/v1/..%2fmaintenance", "/v1/..%2Fmaintenance", "/v1//maintenance", "/spillway/../maintenance", "/spillway/maintenance",
		"/openai/%2e%2e%2fmaintenance", "/admin/functions/maintenance", "/runtime/webhooks/maintenance",
	}
	disguises := [][]string{
		nil,
		{"User-Agent", "Azure-Functions-Host/4.1041.200.0", "X-Azure-Functions-InvocationId", "x", "Content-Type", "application/json; charset=utf-8"},
		{"Connection", "X-Forwarded-For, X-Forwarded-Host, X-Forwarded-Proto", "Content-Type", "application/json; charset=utf-8"},
	}
	for _, path := range paths {
		for _, disguise := range disguises {
			response, body := send(t, s.Host, http.MethodPost, path, timerCall, disguise...)
			if response.StatusCode != http.StatusNotFound || strings.Contains(body, "Outputs") {
				t.Errorf("%s with %q: status %d: %s", path, disguise, response.StatusCode, body)
			}
		}
	}
	if logs, err := s.Trigger(t.Context(), "maintenance"); err != nil || len(logs) == 0 || !strings.HasPrefix(logs[0], "maintenance: ") {
		t.Errorf("the host itself gets %q: %v", logs, err)
	}
}

// The host calls for the maintenance on the schedule of the setting, and logs what
// each run has done.
func TestMaintenanceOnItsSchedule(t *testing.T) {
	runs := make(chan functionshost.Line, 100)
	startSite(t, plain, functionshost.Options{Timers: true, Console: func(line functionshost.Line) {
		if line.Function == "maintenance" {
			runs <- line
		}
	}}, "SPILLWAY_MAINTENANCE_SCHEDULE", "* * * * * *")
	for range 2 {
		select {
		case line := <-runs:
			if line.Level != "Information" || !strings.HasPrefix(line.Text, "maintenance: ") {
				t.Errorf("the host has logged %+v", line)
			}
		case <-time.After(patience):
			t.Fatal("it was not called")
		}
	}
}

// What a client sends for the host or the gateway, keys above all, stays there, and
// so does what the host adds.
func TestNothingOfTheHostReachesABackend(t *testing.T) {
	s := startSite(t, plain, functionshost.Options{})
	const hostKey = "a-key-of-the-host"
	response, body := send(t, s.Host, http.MethodPost, chatPath+"&code="+hostKey+"&clientId=default", chat, "x-functions-key", hostKey,
		"X-Forwarded-For", "192.0.2.1")
	if response.StatusCode != 200 {
		t.Fatalf("status %d, want 200: %s", response.StatusCode, body)
	}
	seen := s.first.requests()
	if len(seen) != 1 || !strings.Contains(seen[0], backendKey) {
		t.Fatalf("the backend has seen %q", seen)
	}
	for _, not := range []string{hostKey, callerKey, "code=", "192.0.2.1", "X-Forwarded", "X-Azure-Functions", "X-Ms-Invocation-Id"} {
		if strings.Contains(strings.ToLower(seen[0]), strings.ToLower(not)) {
			t.Errorf("the backend has seen %q: %s", not, seen[0])
		}
	}
}

// A start that cannot succeed ends with all that is wrong in one line, which the
// host logs once, and with an exit code that is a failure.
func TestStartIsRefused(t *testing.T) {
	broken := strings.Replace(plain, "access: keys", "access: kesy", 1) + "surprise: 1\n"
	want := []string{"gateway.yaml:2: access: ", "MISSING_KEY", "surprise"}
	broken = strings.Replace(broken, "${BACKEND_KEY}", "${MISSING_KEY}", 1)
	h, err := functionshost.Start(t.Context(), functionshost.Options{Folder: dist(t, broken), Settings: settings(t, "FIRST", "http://127.0.0.1:9")})
	if !errors.Is(err, functionshost.ErrStopped) || !strings.Contains(fmt.Sprint(err), "exit code 1") {
		// The host may have had its answer before the process has ended.
		if err != nil {
			t.Fatalf("the host says %v", err)
		}
		defer h.Close()
		select {
		case <-h.Stopped():
		case <-time.After(patience):
			t.Fatal("the host goes on")
		}
	}
	lines := h.Console()
	if len(lines) != h.Starts() || h.Starts() != 3 {
		t.Errorf("%d lines of %d starts, want one each of 3: %v", len(lines), h.Starts(), lines)
	}
	for _, line := range lines {
		var said struct {
			Event    string
			Problems []string
		}
		if err := json.Unmarshal([]byte(line.Text), &said); err != nil || line.Level != "Information" || said.Event != "start_refused" {
			t.Fatalf("it says %+v: %v", line, err)
		}
		for _, problem := range want {
			if !slices.ContainsFunc(said.Problems, func(p string) bool { return strings.Contains(p, problem) }) {
				t.Errorf("it does not say %q: %q", problem, said.Problems)
			}
		}
		if strings.Contains(line.Text, callerKey) || strings.Contains(line.Text, adminKey) {
			t.Errorf("it tells a key: %s", line.Text)
		}
	}
}

// From the start of the process until a backend's answer is with the client.
func TestStartToFirstAnswer(t *testing.T) {
	b := newBackend(t)
	folder := dist(t, plain)
	var took []string
	for range 5 {
		began := time.Now()
		h, err := functionshost.Start(t.Context(), functionshost.Options{Folder: folder, Settings: settings(t, "FIRST", b.url)})
		if err != nil {
			t.Fatal(err)
		}
		answered := time.Since(began)
		if response, body := send(t, h, http.MethodPost, chatPath, chat); response.StatusCode != 200 {
			t.Errorf("status %d, want 200: %s", response.StatusCode, body)
		}
		took = append(took, fmt.Sprintf("%s and %s", answered.Round(time.Millisecond), time.Since(began).Round(time.Millisecond)))
		h.Close()
	}
	t.Logf("from the start until the host is answered (it asks every 25 ms), and until the first completion: %s", strings.Join(took, ", "))
}

// The configuration may come as a setting instead of a file.
func TestConfigurationAsASetting(t *testing.T) {
	b := newBackend(t)
	folder := dist(t, plain)
	if err := os.Remove(filepath.Join(folder, "gateway.yaml")); err != nil {
		t.Fatal(err)
	}
	h, err := functionshost.Start(t.Context(), functionshost.Options{Folder: folder, Settings: settings(t, "FIRST", b.url, "SPILLWAY_CONFIG_YAML", plain)})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if response, body := send(t, h, http.MethodPost, chatPath, chat); response.StatusCode != 200 {
		t.Errorf("status %d, want 200: %s", response.StatusCode, body)
	}
}

// A handler that the platform has killed, without a word, serves again.
func TestKilled(t *testing.T) {
	s := startSite(t, plain, functionshost.Options{})
	before := s.Process()
	s.Kill()
	await.That(t, "it was started again", func() bool { p := s.Process(); return p != 0 && p != before })
	if response, body := send(t, s.Host, http.MethodPost, chatPath, chat); response.StatusCode != 200 {
		t.Errorf("status %d, want 200: %s", response.StatusCode, body)
	}
}

// shared is a configuration whose instances share a table. Its breaker stays open
// for longer than any test, so that nothing but the maintenance closes it.
const shared = `
access: keys
admin: { keys: ["${ADMIN_KEY}"] }
consumers: [{ name: caller, keys: ["${CALLER_KEY}"] }]
state: { store: tables, connection: "${STORAGE}", table: "${TABLE}" }
breaker: { failures: 5, openFor: 10m, maxOpenFor: 10m }
backends:
  - { name: first, endpoint: "${FIRST}", auth: { apiKey: "${BACKEND_KEY}" }, deployments: [{ model: gpt-4o }] }
  - { name: spare, endpoint: "${SPARE}", auth: { apiKey: "${BACKEND_KEY}" }, deployments: [{ model: gpt-4o }] }
pools:
  - { model: gpt-4o, members: [{ backend: first, priority: 1 }, { backend: spare, priority: 2 }] }
`

// The plan runs the timer on instances of its own. It finds out there that a backend
// has recovered, and the instance that serves users, which shares the table with it
// and nothing else, uses the backend again. That instance has been killed meanwhile,
// and its next process has known of the open breaker.
func TestTimerOfAnotherInstanceReopensABackend(t *testing.T) {
	if testing.Short() {
		t.Skip("it needs npm")
	}
	storage := azurite.Start(t)
	name := fnv.New32a()
	name.Write([]byte(t.Name()))
	first, spare := newBackend(t), newBackend(t)
	more := []string{"FIRST", first.url, "SPARE", spare.url, "STORAGE", storage, "TABLE", fmt.Sprintf("t%x", name.Sum32())}
	users := startHost(t, shared, functionshost.Options{Only: []string{"console", "openai", "v1"}}, more...)
	timers := startHost(t, shared, functionshost.Options{Only: []string{"maintenance"}}, more...)
	ask := func() {
		t.Helper()
		if response, body := send(t, users, http.MethodPost, chatPath, chat); response.StatusCode != 200 {
			t.Errorf("status %d, want 200: %s", response.StatusCode, body)
		}
	}
	run := func() string {
		t.Helper()
		logs, err := timers.Trigger(t.Context(), "maintenance")
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(logs, "\n")
	}

	first.Inject(azureopenai.Fault{Kind: azureopenai.FaultStatus})
	for range 5 {
		ask()
	}
	await.That(t, "the timer's instance knows of the open breaker, and finds the backend sick", func() bool {
		return strings.Contains(run(), "0 of 1 probed deployments ready")
	})
	killed := users.Process()
	users.Kill()
	await.That(t, "the killed instance is back", func() bool { p := users.Process(); return p != 0 && p != killed })
	before := len(first.requests())
	for range 10 {
		ask()
	}
	if tried := len(first.requests()) - before; tried >= 5 {
		t.Errorf("after its restart the instance has tried the sick backend %d times, want less than 5: it did not know", tried)
	}

	first.Clear()
	await.That(t, "the timer's instance finds the backend well", func() bool {
		return strings.Contains(run(), "1 of 1 probed deployments ready")
	})
	before = len(first.requests())
	await.That(t, "users are served by the recovered backend", func() bool {
		ask()
		return len(first.requests()) > before
	})
}
