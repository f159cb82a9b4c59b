package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"spillway/tests/bench/meter"
	"spillway/tests/bench/report"
	"spillway/tests/fakes/azureopenai"
	"spillway/tests/program"
)

// process measures the program as it is deployed: its size, how soon it serves,
// and what it keeps in memory while nobody asks.
type process struct {
	rounds int
}

func (process) name() string { return "process" }

func (process) about() string {
	return "the deployed program: its size, from its start to the first answer, its memory when idle"
}

// life is what one run of the program has shown.
type life struct {
	Answered float64 // Seconds from the start to the first answer of a backend.
	Cold     float64 // Resident bytes before the first request.
	Idle     float64 // The same with all vocabularies built and nothing to do.
}

func (p process) measure(ctx context.Context, progress io.Writer) (report.Result, error) {
	folder, err := os.MkdirTemp("", "spillway-bench-")
	if err != nil {
		return report.Result{}, err
	}
	defer os.RemoveAll(folder)
	backend := httptest.NewServer(azureopenai.New(azureopenai.Options{Deployments: []azureopenai.Deployment{{Name: "gpt-4o", Model: "gpt-4o"}}}))
	defer backend.Close()
	binary, size, err := stage(ctx, folder, backend.URL)
	if err != nil {
		return report.Result{}, err
	}
	var lives []life
	for n := range p.rounds {
		one, err := live(ctx, binary)
		if err != nil {
			return report.Result{}, fmt.Errorf("round %d: %w", n+1, err)
		}
		fmt.Fprintf(progress, "  round %d of %d\n", n+1, p.rounds)
		lives = append(lives, one)
	}
	return processResult(size, lives), nil
}

// processResult judges what was seen.
func processResult(size int64, lives []life) report.Result {
	var (
		milliseconds = report.Unit{Name: "ms", Scale: 1000}
		megabytes    = report.Unit{Name: "MiB", Scale: 1.0 / (1 << 20), Digits: 1}
		bytes        = report.Spread{Median: float64(size), Least: float64(size), Most: float64(size)}
		answered     = report.SpreadOf(lives, func(l life) float64 { return l.Answered })
		cold         = report.SpreadOf(lives, func(l life) float64 { return l.Cold })
		idle         = report.SpreadOf(lives, func(l life) float64 { return l.Idle })
	)
	return report.Result{
		Title:   fmt.Sprintf("the program of dist/, with one model and a backend on this machine; %d starts", len(lives)),
		Columns: []string{"what", "figure"},
		Rows: [][]string{
			{"size of the program", bytes.Text(megabytes)},
			{"start to first answer of a backend", answered.Text(milliseconds)},
			{"resident memory before the first request", cold.Text(megabytes)},
			{"resident memory, warm and idle", idle.Text(megabytes)},
		},
		Goals: []report.Goal{
			report.AtMost("size of the program", bytes, 40<<20, megabytes),
			report.AtMost("start to first answer of a backend", answered, 0.05, milliseconds),
			report.AtMost("resident memory, warm and idle", idle, 40<<20, megabytes),
		},
		Figures: map[string]any{"size": size, "lives": lives},
	}
}

// stage builds the program as it is deployed, with a configuration beside it.
func stage(ctx context.Context, folder, backend string) (binary string, size int64, err error) {
	dist := filepath.Join(folder, "dist")
	build := exec.CommandContext(ctx, "functions/azure/package.sh")
	build.Dir, err = root(ctx)
	if err != nil {
		return "", 0, err
	}
	build.Env = append(os.Environ(), "DIST="+dist)
	if out, err := build.CombinedOutput(); err != nil {
		return "", 0, fmt.Errorf("package: %w\n%s", err, out)
	}
	yaml := fmt.Sprintf("access: open\nbackends: [{ name: one, endpoint: %q, deployments: [{ model: gpt-4o, tokensPerMinute: 100000 }] }]\n"+
		"pools: [{ model: gpt-4o, members: [{ backend: one }] }]\n", backend)
	if err := os.WriteFile(filepath.Join(dist, "gateway.yaml"), []byte(yaml), 0o600); err != nil {
		return "", 0, err
	}
	binary = filepath.Join(dist, "spillway")
	info, err := os.Stat(binary)
	if err != nil {
		return "", 0, err
	}
	return binary, info.Size(), nil
}

// root is the folder of the module.
func root(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	return strings.TrimSpace(string(out)), err
}

// live runs the program once.
func live(ctx context.Context, binary string) (l life, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	output := program.NewOutput()
	command := exec.CommandContext(ctx, binary, "serve", "--listen", "127.0.0.1:0")
	command.Stdout, command.Stderr = output, output
	began := time.Now()
	if err := command.Start(); err != nil {
		return l, err
	}
	defer func() {
		_ = command.Process.Kill()
		_ = command.Wait() // It was killed.
	}()
	address, err := output.Listening(ctx)
	if err != nil {
		return l, err
	}
	url := "http://" + address
	if l.Cold, err = meter.Resident(command.Process.Pid); err != nil {
		return l, err
	}
	if err := chat(ctx, url); err != nil {
		return l, err
	}
	l.Answered = time.Since(began).Seconds()
	if err := ready(ctx, url); err != nil {
		return l, err
	}
	pauseFor(ctx, 3*time.Second)
	l.Idle, err = meter.Resident(command.Process.Pid)
	return l, err
}

// chat sends one request and reads its answer.
func chat(ctx context.Context, url string) error {
	body := []byte(`{"model":"gpt-4o","max_tokens":8,"messages":[{"role":"user","content":"Hello"}]}`)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/openai/v1/chat/completions", bytes.NewReader(body))
	if err != nil {
		return err
	}
	return expect(request)
}

// ready waits until everything is loaded.
func ready(ctx context.Context, url string) error {
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/spillway/readyz", nil)
		if err != nil {
			return err
		}
		if err := expect(request); err == nil {
			return nil
		} else if ctx.Err() != nil {
			return fmt.Errorf("it does not become ready: %w", err)
		}
		pauseFor(ctx, 50*time.Millisecond)
	}
}

func expect(request *http.Request) error {
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", answer.StatusCode, content)
	}
	return err
}

func pauseFor(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
