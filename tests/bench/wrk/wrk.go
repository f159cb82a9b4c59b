// Package wrk drives a server with the load generator wrk, in a process of its own.
package wrk

import (
	"bytes"
	"context"
	_ "embed" // for the script
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"spillway/tests/bench/tool"
)

// Load is what one run sends: POST requests, each sent on one of the connections as
// soon as that one is free, or after a pause.
type Load struct {
	URL    string
	Header map[string]string
	Body   []byte
	// Keys, if there are any, take turns as the bearer tokens of the requests.
	Keys []string
	// First is the index of the key that the first request has, whatever the number of
	// the keys.
	First int64
	// Connections are open at a time; one request at a time is on each.
	Connections int
	// For is how long; whole seconds.
	For time.Duration
	// Pause is the mean of a random pause before each request. The load is then
	// Connections ÷ (Pause + the time to an answer). It comes in steps of 1 ms.
	Pause time.Duration
}

// Result is what a run has seen.
type Result struct {
	// Requests were answered, whatever the status; those that were still under way
	// at the end are not counted.
	Requests int64
	// Errors are answers with a status from 400 on, connections that failed, and
	// requests that took more than ten seconds.
	Errors int64
	// Seconds are the time that it took.
	Seconds float64
	// Median and P99 are times from a request to the end of its answer, in seconds.
	Median, P99 float64
	// Processor is what the generator itself has used, of one processor at most.
	Processor time.Duration
}

// Rate is requests per second.
func (r Result) Rate() float64 { return float64(r.Requests) / r.Seconds }

//go:embed load.lua
var script string

// Run sends the load and waits for its end. The generator has one thread.
func Run(ctx context.Context, wrk tool.Tool, load Load) (Result, error) {
	folder, err := os.MkdirTemp("", "spillway-wrk-")
	if err != nil {
		return Result{}, err
	}
	defer os.RemoveAll(folder)
	if err := load.write(folder); err != nil {
		return Result{}, err
	}
	args := append(append([]string(nil), wrk.Args...), "--threads", "1", "--connections", strconv.Itoa(load.Connections),
		"--duration", fmt.Sprintf("%ds", int(load.For.Seconds())), "--timeout", "10s", "--script", filepath.Join(folder, "load.lua"), load.URL)
	var out bytes.Buffer
	command := exec.CommandContext(ctx, wrk.Path, args...)
	command.Dir = folder
	command.Stdout, command.Stderr = &out, &out
	if err := command.Run(); err != nil {
		return Result{}, fmt.Errorf("wrk: %w\n%s", err, out.Bytes())
	}
	result, err := parse(out.String())
	result.Processor = command.ProcessState.UserTime() + command.ProcessState.SystemTime()
	return result, err
}

// write puts the script and what it reads into a folder.
func (l Load) write(folder string) error {
	settings := fmt.Sprintf("pause, first = %d, %d\n", l.Pause.Milliseconds(), l.First)
	for name, value := range l.Header {
		settings += fmt.Sprintf("wrk.headers[%q] = %q\n", name, value)
	}
	files := map[string]string{"load.lua": settings + script, "body": string(l.Body), "keys": strings.Join(l.Keys, "\n")}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// mark begins the line of the figures.
const mark = "figures "

var errNoFigures = errors.New("wrk has printed no figures")

// parse reads the figures out of what wrk prints.
func parse(out string) (Result, error) {
	_, line, found := strings.Cut(out, "\n"+mark)
	if !found {
		return Result{}, fmt.Errorf("%w:\n%.1000s", errNoFigures, out)
	}
	line, _, _ = strings.Cut(line, "\n")
	var f struct {
		Requests, Errors   int64
		Duration, P50, P99 float64 // in microseconds
	}
	if err := json.Unmarshal([]byte(line), &f); err != nil {
		return Result{}, fmt.Errorf("%w: %w", errNoFigures, err)
	}
	if f.Duration <= 0 || f.Requests < 0 || f.Errors < 0 {
		return Result{}, fmt.Errorf("%w: %s", errNoFigures, line)
	}
	const micro = 1e-6
	return Result{Requests: f.Requests, Errors: f.Errors, Seconds: f.Duration * micro, Median: f.P50 * micro, P99: f.P99 * micro}, nil
}
