package main

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"spillway/shared/config"
)

func TestCallsToPasteWorkAsTheyArePrinted(t *testing.T) {
	t.Parallel()
	d := start(t, "--listen", "127.0.0.1:0")
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is not installed: the lines to paste cannot be tried (TestCallsOverHTTP makes the same calls)")
	}
	plain := paste(t, d, d.curls[0])
	checkCompletion(t, plain)
	checkStream(t, paste(t, d, d.curls[1]))

	if row := d.awaitCalls(t); row.spilled+row.client429+row.backend429 > 0 {
		t.Errorf("after two calls the row shows %+v, want both on the PTU", row)
	}

	// Forty calls overfill a minute, but two bursts may be needed: the minute
	// may end in the middle of one.
	for range 2 {
		answers := strings.Fields(strings.ReplaceAll(paste(t, d, d.burst), "\r", ""))
		if len(answers) != 2*40 {
			t.Fatalf("the burst prints %d words, want 40 headers: %q", len(answers), answers)
		}
		if strings.Contains(strings.Join(answers, " "), "payg-") {
			d.awaitRow(t, func(row shown) bool { return row.spilled > 0 && row.client429 == 0 })
			return
		}
	}
	t.Error("eighty calls, worth three minutes of the PTU, and none has spilled")
}

// paste runs a line in a shell, as a person would who pastes it.
func paste(t *testing.T, d *demo, line string) string {
	t.Helper()
	var stderr strings.Builder
	c := exec.CommandContext(t.Context(), "sh", "-c", line)
	c.Env, c.Stderr = environment(d.temp), &stderr
	out, err := c.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("%s\n%v\n%s", line, err, stderr.String())
	}
	return string(out)
}

func TestCallsOverHTTP(t *testing.T) {
	t.Parallel()
	d := start(t, "--listen", "127.0.0.1:0")
	plain := post(t, d, "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21", "Api-Key", d.key,
		`{"messages":[{"role":"user","content":"Why is the sky blue?"}],"max_tokens":100}`)
	if backend := plain.Header.Get("X-Spillway-Backend"); plain.StatusCode != http.StatusOK || backend != "ptu" {
		t.Errorf("status %d from backend %q, want 200 from ptu", plain.StatusCode, backend)
	}
	checkCompletion(t, readAll(t, plain))

	stream := post(t, d, "/v1/chat/completions", "Authorization", "Bearer "+d.key,
		`{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"Why is the sky blue?"}],"max_tokens":100}`)
	checkStream(t, readAll(t, stream))

	refused := post(t, d, "/v1/chat/completions", "Authorization", "Bearer wrong", `{"model":"gpt-4o","messages":[]}`)
	if refused.StatusCode != http.StatusUnauthorized {
		t.Errorf("status %d for a wrong key, want 401", refused.StatusCode)
	}
	d.awaitCalls(t)
}

// awaitCalls returns the first row that shows two calls, once one has shown that they fill the PTU: a
// minute that ends meanwhile takes what it was filled with along.
func (d *demo) awaitCalls(t *testing.T) shown {
	t.Helper()
	d.awaitRow(t, func(row shown) bool { return row.fill > 0 })
	return d.awaitRow(t, func(row shown) bool { return row.requests >= 2 })
}

func post(t *testing.T, d *demo, path, header, value, body string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.endpoint+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set(header, value)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	return response
}

func readAll(t *testing.T, response *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func checkCompletion(t *testing.T, body string) {
	t.Helper()
	var answer struct {
		Choices []struct{ Message struct{ Content string } }
		Usage   struct {
			Total int64 `json:"total_tokens"`
		}
	}
	err := json.Unmarshal([]byte(body), &answer)
	if err != nil || len(answer.Choices) != 1 || answer.Choices[0].Message.Content == "" || answer.Usage.Total == 0 {
		t.Errorf("not a completion (%v): %s", err, body)
	}
}

func checkStream(t *testing.T, body string) {
	t.Helper()
	if events := strings.Count(body, "data: {"); events < 2 || !strings.HasSuffix(strings.TrimSpace(body), "data: [DONE]") {
		t.Errorf("not a whole stream: %d events\n%s", events, body)
	}
}

func TestConfigurationIsShown(t *testing.T) {
	t.Parallel()
	d := start(t, "--listen", "127.0.0.1:0")
	cfg, err := config.Load(d.config, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Backends) != 3 || len(cfg.Pools) != 1 || len(cfg.Consumers) != 1 {
		t.Errorf("%d backends, %d pools, %d consumers, want 3, 1, 1", len(cfg.Backends), len(cfg.Pools), len(cfg.Consumers))
	}
	text, err := os.ReadFile(d.config)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), d.key) || strings.Contains(string(text), "${") {
		t.Errorf("the file holds the consumer's key itself, or a name without a value:\n%s", text)
	}
}

func TestSignalsEndEverything(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]os.Signal{"SIGINT": os.Interrupt, "SIGTERM": syscall.SIGTERM} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := start(t, "--listen", "127.0.0.1:0", "--load", "3")
			addresses := d.listeners(t)
			d.awaitRow(t, func(row shown) bool { return row.fill > 0 })
			// When the signal comes one answer is being read, and one request
			// will never be sent to its end.
			endless, err := net.Dial("tcp", addresses[0])
			if err != nil {
				t.Fatal(err)
			}
			defer endless.Close()
			if _, err := io.WriteString(endless, "POST /v1/chat/completions HTTP/1.1\r\nHost: demo\r\nAuthorization: Bearer "+d.key+"\r\nContent-Length: 100\r\n\r\n{"); err != nil {
				t.Fatal(err)
			}
			open := post(t, d, "/v1/chat/completions", "Authorization", "Bearer "+d.key,
				`{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"Hello"}]}`)
			if _, err := bufio.NewReader(open.Body).ReadString('\n'); err != nil {
				t.Fatal(err)
			}
			d.Signal(s)
			d.checkEnded(t, addresses)
		})
	}
}

func TestEndsByItself(t *testing.T) {
	t.Parallel()
	d := start(t, "--listen", "127.0.0.1:0", "--for", "1s")
	d.checkEnded(t, []string{strings.TrimPrefix(d.endpoint, "http://")})
}

var (
	addressShape = regexp.MustCompile(`endpoint: http://(\S+)`)
	summaryShape = regexp.MustCompile(`^\d+.*s: \d+ requests, \d+ spilled; PTU up to \d+\.\d %; 429: \d+ client, \d+ backend$`)
)

// listeners are the addresses of the gateway and of the three backends. All of
// them answer.
func (d *demo) listeners(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(d.config)
	if err != nil {
		t.Fatal(err)
	}
	addresses := []string{strings.TrimPrefix(d.endpoint, "http://")}
	for _, m := range addressShape.FindAllStringSubmatch(string(text), -1) {
		addresses = append(addresses, m[1])
	}
	if len(addresses) != 4 {
		t.Fatalf("a gateway and three backends expected: %q", addresses)
	}
	for _, address := range addresses {
		connection, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		connection.Close()
	}
	return addresses
}

// checkEnded waits for the end, and checks that nothing is left.
func (d *demo) checkEnded(t *testing.T, addresses []string) {
	t.Helper()
	if code := d.exitCode(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	for _, address := range addresses {
		if connection, err := net.Dial("tcp", address); err == nil {
			connection.Close()
			t.Errorf("%s is still listened on", address)
		}
	}
	lines := d.stdout.Lines()
	if last := lines[len(lines)-1]; !summaryShape.MatchString(last) {
		t.Errorf("the last line is no summary: %q", last)
	}
	if left, err := os.ReadDir(d.temp); err != nil || len(left) > 0 {
		t.Errorf("files are left: %v %v", left, err)
	}
	if complaints := d.stderr.String(); complaints != "" {
		t.Errorf("stderr has %q, want nothing", complaints)
	}
}

func TestLoadOverfillsThePTU(t *testing.T) {
	t.Parallel()
	d := start(t, "--listen", "127.0.0.1:0", "--load", "60")
	row := d.awaitRow(t, func(row shown) bool { return row.spilled > 0 })
	if row.client429 != 0 {
		t.Errorf("clients got a 429 while two backends had room: %+v, want client429 0", row)
	}
}

func TestTwoDemosTakeTwoPorts(t *testing.T) {
	t.Parallel()
	first, second := start(t), start(t)
	if first.endpoint == second.endpoint {
		t.Errorf("both say %s", first.endpoint)
	}
	for _, d := range []*demo{first, second} {
		if !strings.HasPrefix(d.endpoint, "http://127.0.0.1:8") {
			t.Errorf("%s is not a port from %d to %d", d.endpoint, firstPort, lastPort)
		}
		response, err := http.Get(d.endpoint + "/spillway/healthz")
		if err != nil {
			t.Fatal(err)
		}
		if body := readAll(t, response); body != "ok\n" {
			t.Errorf("%s answers %q, want %q", d.endpoint, body, "ok\n")
		}
		response.Body.Close()
	}
}

func TestPortThatWasAskedForIsNotReplaced(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	address := taken.Addr().String()
	d := launch(t, "--listen", address)
	if code := d.exitCode(t); code != exitFailure {
		t.Errorf("exit code %d, want %d", code, exitFailure)
	}
	if complaints := d.stderr.String(); !strings.Contains(complaints, address) || strings.Count(complaints, "\n") != 1 {
		t.Errorf("stderr is not one line that names the address: %q", complaints)
	}
	if left, err := os.ReadDir(d.temp); err != nil || len(left) > 0 {
		t.Errorf("files are left: %v %v", left, err)
	}
}

func TestCommandLine(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args  []string
		code  int
		says  string // on stderr
		usage bool   // on stdout
	}{
		"help":           {[]string{"--help"}, 0, "", true},
		"unknown flag":   {[]string{"--lod", "3"}, exitUsage, "lod", false},
		"not a number":   {[]string{"--load", "many"}, exitUsage, "many", false},
		"negative load":  {[]string{"--load", "-1"}, exitUsage, "--load -1", false},
		"too many users": {[]string{"--load", "501"}, exitUsage, "--load 501", false},
		"not a duration": {[]string{"--for", "5"}, exitUsage, "for", false},
		"negative time":  {[]string{"--for", "-5s"}, exitUsage, "--for -5s", false},
		"argument":       {[]string{"now"}, exitUsage, `"now"`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := launch(t, c.args...)
			if code := d.exitCode(t); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			stdout, stderr := d.stdout.String(), d.stderr.String()
			if c.usage != (stdout == usage) || !c.usage && stdout != "" {
				t.Errorf("stdout: %q", stdout)
			}
			if !strings.Contains(stderr, c.says) || c.usage != (stderr == "") {
				t.Errorf("stderr lacks %q: %q", c.says, stderr)
			}
		})
	}
}
