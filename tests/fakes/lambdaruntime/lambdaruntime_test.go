package lambdaruntime_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"spillway/tests/await"
	"spillway/tests/fakes/lambdaruntime"
	"spillway/tests/program"
)

// patience only turns a hang into a failure.
const patience = 20 * time.Second

func start(t *testing.T, o lambdaruntime.Options) *lambdaruntime.Environment {
	t.Helper()
	e, err := lambdaruntime.Start(limited(t), with(t, o))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.Close)
	return e
}

func with(t *testing.T, o lambdaruntime.Options) lambdaruntime.Options {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	o.Bootstrap, o.Folder = path, t.TempDir()
	if o.Timeout == 0 {
		o.Timeout = patience
	}
	return o
}

func limited(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// call invokes with a word and returns the answer.
func call(t *testing.T, e *lambdaruntime.Environment, word string) (string, error) {
	t.Helper()
	reply, err := e.Invoke(limited(t), []byte(`"`+word+`"`))
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(reply.Body)
	return string(text), err
}

// A call has its id, its deadline, and the other headers of the Runtime API; the next
// call has another id.
func TestCall(t *testing.T) {
	e := start(t, lambdaruntime.Options{Timeout: time.Hour})
	ids := make(map[string]bool)
	for range 3 {
		text, err := call(t, e, "header")
		if err != nil {
			t.Fatal(err)
		}
		var header http.Header
		if err := json.Unmarshal([]byte(text), &header); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"Aws-Request-Id", "Deadline-Ms", "Trace-Id", "Invoked-Function-Arn"} {
			if header.Get("Lambda-Runtime-"+name) == "" {
				t.Errorf("no %s", name)
			}
		}
		ids[header.Get("Lambda-Runtime-Aws-Request-Id")] = true
		var deadline int64
		if _, err := fmt.Sscan(header.Get("Lambda-Runtime-Deadline-Ms"), &deadline); err != nil {
			t.Error(err)
		}
		if left := time.Until(time.UnixMilli(deadline)); left < time.Hour-patience || left > time.Hour {
			t.Errorf("%s left of an hour", left)
		}
	}
	if len(ids) != 3 {
		t.Errorf("the ids are %v", ids)
	}
	wantViolations(t, e)
}

// How calls end that do not end well.
func TestFailures(t *testing.T) {
	tests := []struct {
		word, want string
		options    lambdaruntime.Options
		over       bool
	}{
		{word: "fail", want: "T: M"},
		{word: "broken", want: "Cut: in two"},
		{word: "exit", want: "Runtime.ExitError: the program has ended, exit status 3", over: true},
		{word: "hang", want: "Sandbox.Timedout: Task timed out after 0.05 seconds", options: lambdaruntime.Options{Timeout: 50 * time.Millisecond}, over: true},
	}
	for _, test := range tests {
		t.Run(test.word, func(t *testing.T) {
			e := start(t, test.options)
			_, err := call(t, e, test.word)
			var failure *lambdaruntime.Failure
			if !errors.As(err, &failure) || failure.Error() != test.want {
				t.Errorf("the call ends with %v, want %s", err, test.want)
			}
			if test.over {
				e.ExitCode()
			}
			if _, err := call(t, e, "header"); test.over != errors.Is(err, lambdaruntime.ErrEnded) {
				t.Errorf("the next call: %v", err)
			}
			wantViolations(t, e)
		})
	}
}

// What a program must not do is refused, and kept.
func TestViolations(t *testing.T) {
	tests := []struct{ word, want string }{
		{"twice", "a second answer"},
		{"stranger", "not under way"},
		{"unanswered", "has not answered"},
		{"nowhere", "there is no POST /2018-06-01/runtime/nowhere"},
	}
	for _, test := range tests {
		t.Run(test.word, func(t *testing.T) {
			e := start(t, lambdaruntime.Options{})
			_, err := call(t, e, test.word)
			if test.word == "unanswered" {
				if err == nil || e.ExitCode() != 2 {
					t.Errorf("a call that is not answered ends with %v", err)
				}
			} else if err != nil {
				t.Error(err)
			} else if err := e.Frozen(limited(t)); err != nil {
				t.Error(err)
			}
			wantViolations(t, e, test.want)
		})
	}
}

// A program that waits for a call is stopped, and one that has a call is not.
func TestFreeze(t *testing.T) {
	gate := make(chan struct{})
	reached := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(reached)
		<-gate
	}))
	defer server.Close()
	e := start(t, lambdaruntime.Options{Settings: map[string]string{"GATE": server.URL}})
	awaitState(t, e, "T")
	reply, err := e.Invoke(limited(t), []byte(`"parts"`))
	if err != nil {
		t.Fatal(err)
	}
	<-reached
	if state := stateOf(t, e); state == "T" {
		t.Error("the program is stopped while it works")
	}
	if _, err := e.Invoke(limited(t), []byte(`"header"`)); !errors.Is(err, lambdaruntime.ErrBusy) {
		t.Errorf("a call beside another: %v", err)
	}
	close(gate)
	if _, err := io.ReadAll(reply.Body); err != nil {
		t.Error(err)
	}
	awaitState(t, e, "T")
	wantViolations(t, e)
}

// stateOf is the state of the process as the kernel tells it: T is stopped.
func stateOf(t *testing.T, e *lambdaruntime.Environment) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", fmt.Sprint(e.PID()), "stat"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))[0]
}

func awaitState(t *testing.T, e *lambdaruntime.Environment, want string) {
	t.Helper()
	await.That(t, "the program is in the state "+want, func() bool { return stateOf(t, e) == want })
}

// A start that fails tells what was reported, and the exit code.
func TestStartFails(t *testing.T) {
	e, err := lambdaruntime.Start(limited(t), with(t, lambdaruntime.Options{Settings: map[string]string{"START": "fails"}}))
	var failure *lambdaruntime.Failure
	if !errors.Is(err, lambdaruntime.ErrEnded) || !errors.As(err, &failure) || failure.Type != "Start" {
		t.Fatalf("it starts with %v", err)
	}
	if code := e.ExitCode(); code != 7 {
		t.Errorf("exit code %d, want 7", code)
	}
}

// Only a program that has registered as an extension is told of its end.
func TestShutdown(t *testing.T) {
	for _, registers := range []bool{false, true} {
		output := program.NewOutput()
		o := lambdaruntime.Options{Stdout: output, Grace: patience}
		if registers {
			o.Settings = map[string]string{"START": "registers"}
		}
		e := start(t, o)
		if by := e.Shutdown(); by != registers {
			t.Errorf("registered %t: ended by itself %t", registers, by)
		}
		if told := strings.Contains(output.String(), "told"); told != registers {
			t.Errorf("registered %t: told %t", registers, told)
		}
		wantViolations(t, e)
	}
}

// wantViolations wants those that contain these texts, in order, and no others.
func wantViolations(t *testing.T, e *lambdaruntime.Environment, want ...string) {
	t.Helper()
	got := e.Violations()
	if len(got) != len(want) {
		t.Fatalf("violations %q, want %q", got, want)
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("violation %q, want %q", got[i], want[i])
		}
	}
}
