package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"spillway/tests/program"
)

// patience bounds every wait of these tests. It only turns a hang into a
// failure: nothing is asserted by it.
const patience = time.Minute

func TestMain(m *testing.M) { program.Main(m) }

var built = program.Builder("spillway/tests/demo")

// demo is the program, running.
type demo struct {
	endpoint, key string // as it printed them
	config        string
	curls         []string // the lines to paste that are one call
	burst         string   // the line to paste that is many calls

	temp           string // its folder of temporary files
	stdout, stderr *program.Output
	*program.Process
}

// launch starts the program and does not wait for anything. It does not outlive
// the test.
func launch(t *testing.T, args ...string) *demo {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	d := &demo{temp: t.TempDir(), stdout: program.NewOutput(), stderr: program.NewOutput()}
	command := exec.Command(path, args...)
	command.Env = environment(d.temp)
	d.Process = program.Start(t, command, d.stdout, d.stderr)
	t.Cleanup(func() {
		d.Signal(os.Kill)
		d.exitCode(t)
		if t.Failed() {
			t.Logf("the demo's output:\n%s\n%s", d.stdout, d.stderr)
		}
	})
	return d
}

// start starts the program and reads what it says about itself.
func start(t *testing.T, args ...string) *demo {
	t.Helper()
	d := launch(t, args...)
	d.await(t, func(line string) bool { return strings.HasPrefix(line, "Ctrl-C") })
	for _, line := range d.stdout.Lines() {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch value = strings.TrimSpace(value); name {
		case "endpoint":
			d.endpoint = value
		case "key":
			d.key = value
		case "config":
			d.config = value
		case "curl":
			d.curls = append(d.curls, strings.TrimSpace(line))
		case "(for":
			d.burst = strings.TrimSpace(line)
		}
	}
	if d.endpoint == "" || d.key == "" || d.config == "" || len(d.curls) != 2 || d.burst == "" {
		t.Fatalf("the demo's output lacks an endpoint, a key, a path, two curl lines or the burst")
	}
	return d
}

func environment(temp string) []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + temp, "TMPDIR=" + temp}
}

// await returns the first line, printed already or still to come, for which
// want is true.
func (d *demo) await(t *testing.T, want func(line string) bool) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	line, err := d.stdout.Await(ctx, want)
	if err != nil {
		t.Fatalf("the line that the test waits for does not come: %v", err)
	}
	return line
}

// shown is a row of figures as the program prints it.
type shown struct {
	requests, spilled, client429, backend429 int
	fill                                     float64
}

var rowShape = regexp.MustCompile(`^ +(\d+) s +(\d+)  ([#-]{18}) +(\d+\.\d) % +(\d+) +(\d+) +(\d+)$`)

func readRow(line string) (shown, bool) {
	var row shown
	m := rowShape.FindStringSubmatch(line)
	if m == nil {
		return row, false
	}
	_, err := fmt.Sscan(strings.Join([]string{m[2], m[4], m[5], m[6], m[7]}, " "),
		&row.requests, &row.fill, &row.spilled, &row.client429, &row.backend429)
	return row, err == nil
}

// awaitRow returns the first row for which want is true.
func (d *demo) awaitRow(t *testing.T, want func(shown) bool) shown {
	t.Helper()
	var found shown
	d.await(t, func(line string) bool {
		row, ok := readRow(line)
		found = row
		return ok && want(row)
	})
	return found
}

// exitCode waits for the program to end.
func (d *demo) exitCode(t *testing.T) int {
	t.Helper()
	return d.ExitCode(t, patience)
}
