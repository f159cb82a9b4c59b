package program_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"spillway/tests/program"
)

// patience only turns a hang into a failure.
const patience = time.Minute

// shell starts lines of the shell.
func shell(t *testing.T, lines string) (p *program.Process, stdout, stderr *program.Output) {
	t.Helper()
	stdout, stderr = program.NewOutput(), program.NewOutput()
	p = program.Start(t, exec.Command("sh", "-c", lines), stdout, stderr)
	t.Cleanup(func() { p.Signal(os.Kill) })
	return p, stdout, stderr
}

// What a process prints is kept, by where it printed it, and the exit code is its own.
// Whoever waits for a line that has not come is told of the end.
func TestProcess(t *testing.T) {
	p, stdout, stderr := shell(t, "echo one; echo two >&2; read line; exit 7")
	if code := p.ExitCode(t, patience); code != 7 || p.Running() {
		t.Errorf("exit code %d, running %t; want 7 and an end", code, p.Running())
	}
	if stdout.String() != "one\n" || stderr.String() != "two\n" {
		t.Errorf("printed %q and %q, want one and two", stdout, stderr)
	}
	for _, o := range []*program.Output{stdout, stderr} {
		if _, err := o.Await(t.Context(), func(string) bool { return false }); !errors.Is(err, program.ErrEnded) {
			t.Errorf("a line that does not come: %v, want %v", err, program.ErrEnded)
		}
	}
}

// A process runs until a signal ends it, and then has no exit code of its own. More
// signals change nothing.
func TestSignal(t *testing.T) {
	p, _, _ := shell(t, "exec sleep 600")
	if !p.Running() {
		t.Error("it does not run")
	}
	for range 2 {
		p.Signal(os.Kill)
		if code := p.ExitCode(t, patience); code != -1 {
			t.Errorf("exit code %d, want -1", code)
		}
	}
}

// A process that does not end fails the test that waits for it, and is ended.
func TestProcessThatHangs(t *testing.T) {
	p, _, _ := shell(t, "exec sleep 600")
	r := &recorder{TB: t}
	p.ExitCode(r, time.Millisecond)
	if !r.failed || p.Running() {
		t.Errorf("the test fails: %t, the process runs: %t; want a failure and an end", r.failed, p.Running())
	}
}

// A gateway tells in its log where it listens. Without a line that says so there is no
// address.
func TestListening(t *testing.T) {
	for _, test := range []struct{ name, prints, want, err string }{
		{"it listens", `{"message":"starting"}` + "\n" + `{"level":"info","address":"127.0.0.1:8080","message":"listening"}` + "\n", "127.0.0.1:8080", ""},
		{"it ends before", `{"message":"starting"}` + "\n", "", program.ErrEnded.Error()},
		{"no address", `{"message":"listening"}` + "\n", "", "no address"},
		{"no JSON", `x "message":"listening"` + "\n", "", "invalid character"},
	} {
		o := program.NewOutput()
		fmt.Fprint(o, test.prints)
		o.End()
		got, err := o.Listening(context.Background())
		if got != test.want || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: %q, %v; want %q, %q", test.name, got, err, test.want, test.err)
		}
	}
}
