// Package e2e_test runs the spillway binary as its users run it: a process with
// a configuration file, reached over sockets by the official client or byte by
// byte, in front of simulated backends that live in the test's process.
//
// Nothing of the gateway's own code is linked in: what these tests know of it is
// what it says on its sockets, in its log lines and by its exit codes.
package e2e_test

import (
	"bytes"
	"context"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"spillway/tests/program"
	"spillway/tests/secrets"
)

// patience bounds every wait of these tests. It only turns a hang into a
// failure: nothing is expected to take that long, and nothing is asserted by it.
const patience = 20 * time.Second

func TestMain(m *testing.M) {
	// Tests that run side by side wait for windows to end far more than they work.
	_ = flag.Set("test.parallel", "6") // every test has this flag
	program.Main(m)
}

var built = program.Builder("spillway/functions/azure")

// command is the binary with arguments, in a folder of its own and with an
// environment that holds nothing but env.
func command(t testing.TB, env map[string]string, args ...string) *exec.Cmd {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(path, args...)
	c.Dir = t.TempDir()
	c.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + c.Dir, "TMPDIR=" + c.Dir,
		"GORACE=atexit_sleep_ms=0", // by default a binary with the race detector sleeps for a second at its end
	}
	for name, value := range env {
		c.Env = append(c.Env, name+"="+value)
	}
	return c
}

// outcome is how a command ended.
type outcome struct {
	code           int
	stdout, stderr string
}

// run runs a command of the binary to its end.
func run(t testing.TB, env map[string]string, args ...string) outcome {
	t.Helper()
	c := command(t, env, args...)
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	overdue := time.AfterFunc(patience, func() { _ = c.Process.Kill() })
	defer overdue.Stop()
	_ = c.Wait() // the exit code tells
	secrets.None(t, "what a command prints", nil, append(stdout.Bytes(), stderr.Bytes()...))
	return outcome{c.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// process is a gateway that serves.
type process struct {
	address string // host:port that it listens on
	yaml    string // path of its configuration
	output  *program.Output
	*program.Process
}

// start starts a gateway with a configuration, on a free port unless args say
// otherwise, and waits until it listens. ${NAME} in the configuration is
// replaced from env, as in production. When the test ends the gateway is stopped
// as by an orchestrator, and must then end with exit code 0, under a Functions host
// with 200, after which that starts it again; if the test has failed by then all that
// the gateway has printed is shown.
func start(t testing.TB, yaml string, env map[string]string, args ...string) *process {
	t.Helper()
	p := launch(t, yaml, env, args...)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var err error
	if p.address, err = p.output.Listening(ctx); err != nil {
		t.Fatal(err)
	}
	return p
}

// launch starts a gateway and does not wait for anything.
func launch(t testing.TB, yaml string, env map[string]string, args ...string) *process {
	t.Helper()
	p := &process{yaml: filepath.Join(t.TempDir(), "gateway.yaml"), output: program.NewOutput().Watch(t)}
	if err := os.WriteFile(p.yaml, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(args, "--listen") {
		args = append(args, "--listen", "127.0.0.1:0")
	}
	p.Process = program.Start(t, command(t, env, append([]string{"serve", "--config", p.yaml}, args...)...), p.output, p.output)
	t.Cleanup(func() {
		if p.Running() {
			p.Signal(syscall.SIGTERM)
			want := 0
			if env["FUNCTIONS_CUSTOMHANDLER_PORT"] != "" {
				want = 200
			}
			if code := p.exitCode(t); code != want {
				t.Errorf("stopped by SIGTERM the gateway ended with exit code %d, want %d", code, want)
			}
		}
		if t.Failed() {
			t.Logf("the gateway's output:\n%s", latest(p.output.Lines()))
		}
	})
	return p
}

// latest is what a process has printed, as much as anybody reads: all but what
// it has told of its requests before the last of them.
func latest(lines []string) string {
	const requests = 20
	from := max(0, len(lines)-requests)
	shown := slices.DeleteFunc(slices.Clone(lines[:from]), func(line string) bool { return strings.Contains(line, `"message":"request"`) })
	return strings.Join(append(shown, lines[from:]...), "\n")
}

// exitCode waits for the process to end. One that does not is killed.
func (p *process) exitCode(t testing.TB) int {
	t.Helper()
	return p.ExitCode(t, patience)
}

// await returns the first line that the gateway has printed, or will, for which
// want is true.
func (p *process) await(want func(line string) bool) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return p.output.Await(ctx, want)
}

func (p *process) url(path string) string { return "http://" + p.address + path }

// record is the line that each request leaves in the log.
type record struct {
	Message   string
	RequestID string `json:"request_id"`
	BackendID string `json:"backend_request_id"`
	TraceID   string `json:"trace_id"`
	Consumer  string
	Model     string
	Backend   string
	Status    int
	Refused   string
	Spillover string
	Prompt    int64   `json:"tokens_prompt"`
	Output    int64   `json:"tokens_completion"`
	Measured  bool    `json:"tokens_measured"`
	Duration  float64 `json:"duration_ms"`
	Attempts  []struct {
		Deployment string
		Status     int
		Reason     string
		Duration   float64 `json:"duration_ms"`
		Prompt     int64   `json:"tokens_prompt"` // read by a backend that failed
	}
}

// prompts are the tokens that backends have read for the request, of those that
// failed, too.
func (r record) prompts() int64 {
	read := r.Prompt
	for _, a := range r.Attempts {
		read += a.Prompt
	}
	return read
}

// own is the time that the gateway itself took, in milliseconds: all but that
// of its attempts.
func (r record) own() float64 {
	own := r.Duration
	for _, a := range r.Attempts {
		own -= a.Duration
	}
	return own
}

// reasons are how the attempts ended.
func (r record) reasons() []string {
	var reasons []string
	for _, a := range r.Attempts {
		reasons = append(reasons, a.Reason)
	}
	return reasons
}

// record waits for the record of the request with this id.
func (p *process) record(t testing.TB, id string) record {
	t.Helper()
	return p.awaitRecord(t, id, func(r record) bool { return r.RequestID == id })
}

// recordOf waits for the record of the request that a backend's answer was for.
func (p *process) recordOf(t testing.TB, sent *written) record {
	t.Helper()
	id := sent.id()
	return p.awaitRecord(t, id, func(r record) bool { return r.BackendID == id })
}

func (p *process) awaitRecord(t testing.TB, id string, want func(record) bool) record {
	t.Helper()
	var found record
	_, err := p.await(func(line string) bool {
		r, ok := parseRecord(line)
		if !ok || !want(r) {
			return false
		}
		found = r
		return true
	})
	if err != nil {
		t.Fatalf("request %s leaves no record: %v", id, err)
	}
	return found
}
