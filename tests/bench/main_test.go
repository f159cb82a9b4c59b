package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"spillway/tests/bench/report"
	"spillway/tests/program"
)

func TestMain(m *testing.M) { program.Main(m) }

// bench builds the program.
var bench = program.Builder("spillway/tests/bench")

// fake is a section that has its result already.
type fake struct {
	called string
	result report.Result
	err    error
}

func (f fake) name() string  { return f.called }
func (f fake) about() string { return "what " + f.called + " measures" }
func (f fake) measure(context.Context, io.Writer) (report.Result, error) {
	return f.result, f.err
}

var _ section = fake{}

// good returns a section with a table of its own.
func good(name string) fake {
	return fake{called: name, result: report.Result{
		Title: "title of " + name, Columns: []string{"what", "figure"}, Rows: [][]string{{"speed of " + name, "42"}},
	}}
}

func TestExitCode(t *testing.T) {
	missed := good("missed")
	missed.result.Goals = []report.Goal{{What: "speed", Want: "at least 50", Got: "42"}}
	void := good("void")
	void.result.Voids = []string{"3 errors"}
	broken := fake{called: "broken", err: errors.New("the peer did not start")}

	for _, test := range []struct {
		name     string
		sections []section
		fails    bool
		prints   []string
	}{
		{"everything measured", []section{good("a"), good("b")}, false, []string{"speed of a", "speed of b", "42"}},
		{"a figure that is missed is a figure", []section{missed}, false, []string{"MISSED", "speed: 42, wanted at least 50"}},
		{"a void result is printed and fails", []section{good("a"), void}, true, []string{"speed of void", "VOID  void: 3 errors"}},
		{"a section without a result fails, the others are printed", []section{broken, good("a")}, true, []string{"VOID  broken: the peer did not start", "speed of a"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out strings.Builder
			err := run(t.Context(), new(traffic), offer{usual: test.sections}, nil, &out, io.Discard)
			if failed := err != nil; failed != test.fails {
				t.Errorf("error: %v", err)
			}
			for _, want := range test.prints {
				if !strings.Contains(out.String(), want) {
					t.Errorf("%q is not printed:\n%s", want, &out)
				}
			}
		})
	}
}

func TestOnlySomeSections(t *testing.T) {
	all := []section{good("a"), good("b"), good("c")}
	var out strings.Builder
	if err := run(t.Context(), new(traffic), offer{usual: all}, []string{"--only", "c, a"}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); !strings.Contains(got, "speed of a") || strings.Contains(got, "speed of b") || !strings.Contains(got, "speed of c") {
		t.Errorf("want a and c:\n%s", got)
	}
}

func TestArgumentsThatMakeNoSense(t *testing.T) {
	for argument, want := range map[string]string{
		"--only=a,x": `there is no section "x"; there are a`,
		"--only=":    `there is no section ""`,
		"what":       `what does "what" mean`,
		"--fast":     "fast",
	} {
		err := run(t.Context(), new(traffic), offer{usual: []section{good("a")}}, []string{argument}, io.Discard, io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", argument, err, want)
		}
	}
}

func TestHelpNamesTheSections(t *testing.T) {
	var help strings.Builder
	if err := run(t.Context(), new(traffic), all(new(traffic)), []string{"--help"}, io.Discard, &help); err == nil {
		t.Error("help measures nothing, and says so with flag.ErrHelp")
	}
	for _, want := range []string{"peers", "streams", "operations", "hotkey", "on request", "soak", "profile", "-only", "-program", "-litellm", "-json", "-markdown"} {
		if !strings.Contains(help.String(), want) {
			t.Errorf("help does not tell of %s:\n%s", want, &help)
		}
	}
}

func TestFilesAreWrittenIntoFoldersThatDoNotExistYet(t *testing.T) {
	folder := filepath.Join(t.TempDir(), "not", "there")
	figures, document := filepath.Join(folder, "a.json"), filepath.Join(folder, "b.md")
	one := good("a")
	one.result.Figures = map[string]int{"speed": 42}
	if err := run(t.Context(), new(traffic), offer{usual: []section{one}}, []string{"--json", figures, "--markdown", document}, io.Discard, io.Discard); err != nil {
		t.Fatal(err)
	}
	var read struct {
		Machine, Go string
		Results     []struct{ Figures map[string]int }
	}
	content, err := os.ReadFile(figures)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, &read); err != nil || read.Machine == "" || read.Go == "" || read.Results[0].Figures["speed"] != 42 {
		t.Errorf("%v: %s", err, content)
	}
	if content, err := os.ReadFile(document); err != nil || !strings.Contains(string(content), "| speed of a | 42 |") {
		t.Errorf("%v: %s", err, content)
	}
}

func TestAnInterruptedRunMeasuresNothing(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out strings.Builder
	err := run(ctx, new(traffic), offer{usual: []section{good("a")}}, nil, &out, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "interrupted") || out.Len() > 0 {
		t.Errorf("got %v and %q", err, &out)
	}
}

// A peer that does not start makes the whole process fail, and its output says why.
func TestProcessFailsIfAPeerDoesNotStart(t *testing.T) {
	if testing.Short() {
		t.Skip("it may install a Debian package")
	}
	path, err := bench()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--only", "hotkey"}, "VOID  hotkey"},
		{[]string{"--only", "latency", "--program", "/bin/false"}, "VOID  latency: spillway-"},
	} {
		command := exec.CommandContext(t.Context(), path, test.args...)
		command.Env = append(os.Environ(), "SPILLWAY_SKIP_AZURITE=1")
		out, err := command.Output()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 1 {
			t.Errorf("%q ended with %v, want exit code 1", test.args, err)
		}
		if !strings.Contains(string(out), test.want) {
			t.Errorf("%q printed no %q:\n%s", test.args, test.want, out)
		}
	}
}
