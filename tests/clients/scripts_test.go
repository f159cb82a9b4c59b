package clients_test

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"spillway/tests/npm"
	"spillway/tests/secrets"
)

// scripts holds the scripts that clients run, and the samples that all clients send.
//
//go:embed scripts samples
var scripts embed.FS

// pinned is what npm installs.
//
//go:embed package.json package-lock.json .npmrc
var pinned embed.FS

// skipIfShort skips a test that pip and npm install clients for.
func skipIfShort(t testing.TB) {
	t.Helper()
	if testing.Short() {
		t.Skip("clients of others are installed by pip and npm: not in a -short run")
	}
}

// runPython runs a script with Python, with the official client and LangChain.
func runPython(t testing.TB, script string, s service, more ...string) []line {
	t.Helper()
	folder, err := python()
	if err != nil {
		t.Fatal(err)
	}
	work := workspace(t)
	return run(t, work, s, more, filepath.Join(folder, "bin", "python"), filepath.Join(work, "scripts", script))
}

// runNode runs a script with Node.js, with the official client and the Vercel AI SDK.
func runNode(t testing.TB, script string, s service, more ...string) []line {
	t.Helper()
	folder, err := node()
	if err != nil {
		t.Fatal(err)
	}
	work := workspace(t)
	if err := os.Symlink(filepath.Join(folder, "node_modules"), filepath.Join(work, "node_modules")); err != nil {
		t.Fatal(err)
	}
	return run(t, work, s, more, "node", filepath.Join(work, "scripts", script))
}

var (
	python = sync.OnceValues(installPython)
	node   = sync.OnceValues(func() (string, error) { return npm.Package{Name: "clients", Files: pinned}.Install() })
)

// workspace is a folder of the test's own with the scripts.
func workspace(t testing.TB) string {
	t.Helper()
	folder := t.TempDir()
	if err := os.CopyFS(folder, scripts); err != nil {
		t.Fatal(err)
	}
	return folder
}

// run runs a script, and returns what came of its calls.
func run(t testing.TB, folder string, s service, more []string, command ...string) []line {
	t.Helper()
	calls, err := json.Marshal(s.calls)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, command[0], command[1:]...)
	c.Dir = folder
	c.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + folder, "TMPDIR=" + folder, "SAMPLES=" + filepath.Join(folder, "samples"),
		"BASE_URL=" + s.url, "API_KEY=" + s.key, "CONSTRUCTOR=" + string(s.constructor), "API_VERSION=" + apiVersion, "CALLS=" + string(calls),
	}, more...)
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		t.Errorf("%s: %v\n%s", filepath.Base(command[len(command)-1]), err, &stderr)
	}
	secrets.None(t, "what a client tells", nil, append(stdout.Bytes(), stderr.Bytes()...))
	return parse(t, strings.Split(strings.TrimSpace(stdout.String()), "\n"))
}
