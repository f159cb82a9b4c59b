package functionshost

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// A handler that does not come up is tried three times; one that ends well is done.
func TestHandlersThatDoNotServe(t *testing.T) {
	tests := []struct {
		behaviour string
		starts    int
		says      string
	}{
		{"exit1", 3, "failed 3 times"},
		{"exit0", 1, "exit code 0"},
		{"deaf", 3, "does not answer"},
	}
	for _, test := range tests {
		t.Run(test.behaviour, func(t *testing.T) {
			f := good(test.behaviour)
			f["host.json"] = strings.Replace(f["host.json"], `"enableProxying`, `"initializationTimeout":"00:00:01","enableProxying`, 1)
			h, err := start(t, f, Options{})
			if !errors.Is(err, ErrStopped) || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("the host says %v", err)
			}
			if h.Starts() != test.starts {
				t.Errorf("%d starts, want %d", h.Starts(), test.starts)
			}
			levels := map[string]string{}
			for _, line := range h.Console() {
				levels[line.Text] = line.Level
			}
			want := map[string]string{"to stdout": "Information", "to stderr, a warning": "Warning", "to stderr": "Error"}
			for text, level := range want {
				if levels[text] != level {
					t.Errorf("%q is logged as %q, want %q", text, levels[text], level)
				}
			}
		})
	}
}

// What the real host would ignore, or stumble over later, is refused at the start.
func TestWrongApps(t *testing.T) {
	tests := []struct {
		name           string
		file, old, new string
		says           string
	}{
		{"no proxying", "host.json", `"enableProxyingHttpRequest":true`, `"enableProxyingHttpRequest":false`, "buffered"},
		{"a misspelt key", "host.json", `"enableProxying`, `"enableproxyings`, "unknown field"},
		{"another version", "host.json", `"2.0"`, `"1.0"`, "version"},
		{"no such program", "host.json", `"handler"`, `"other"`, "no such file"},
		{"a program by ./", "host.json", `"handler"`, `"./handler"`, "loses its bit"},
		{"a program that is none", "host.json", `"handler"`, `"host.json"`, "cannot be run"},
		{"an argument without its setting", "host.json", `"good"`, `"%NOTHING%"`, "%NOTHING%"},
		{"a time that is none", "host.json", `"customHandler"`, `"functionTimeout":"10m","customHandler"`, "hh:mm:ss"},
		{"a schedule without its setting", "tick/function.json", `%EVERY%`, `%NEVER%`, "%NEVER%"},
		{"a schedule of five fields", "tick/function.json", `%EVERY%`, `* * * * *`, "5 fields"},
		{"a schedule that is none", "tick/function.json", `%EVERY%`, `60 * * * * *`, "not within"},
		{"a key of the host", "echo/function.json", `anonymous`, `function`, "authLevel"},
		{"the host's own route", "echo/function.json", `echo/`, `admin/`, "own"},
		{"a route that goes on after its end", "echo/function.json", `{*path}`, `{*path}/x`, "route"},
		{"no answer", "echo/function.json", `"type":"http","direction":"out"`, `"type":"http","direction":"in"`, "does not have"},
		{"two triggers", "tick/function.json", `}]`, `},{"type":"httpTrigger","direction":"in","name":"req","authLevel":"anonymous"}]`, "one trigger"},
		{"a binding that is misspelt", "tick/function.json", `"schedule"`, `"scheduel"`, "unknown field"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := good("good")
			if !strings.Contains(f[test.file], test.old) {
				t.Fatalf("%s has no %s", test.file, test.old)
			}
			f[test.file] = strings.Replace(f[test.file], test.old, test.new, 1)
			if _, err := start(t, f, Options{}); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("the host says %v, want %q", err, test.says)
			}
		})
	}
}

func TestSchedules(t *testing.T) {
	at := time.Date(2026, 11, 22, 7, 30, 20, 0, time.UTC) // a Sunday
	tests := []struct {
		text string
		due  bool
	}{
		{"* * * * * *", true}, {"*/10 * * * * *", true}, {"*/15 * * * * *", false}, {"20 30 7 22 11 0", true},
		{"20 30 7 * * 1-5", false}, {"0,20,40 * * * * *", true}, {"10-30 * * * * *", true}, {"5/5 * * * * *", true}, {"0 * * * * *", false},
	}
	for _, test := range tests {
		s, err := parseSchedule(test.text)
		if err != nil || s.due(at) != test.due {
			t.Errorf("%q is due: %t, %v; want %t", test.text, s.due(at), err, test.due)
		}
	}
	for _, text := range []string{"", "* * * * *", "a * * * * *", "*/0 * * * * *", "5-1 * * * * *", "* * 24 * * *", "* * * 0 * *", "00:00:10"} {
		if _, err := parseSchedule(text); err == nil {
			t.Errorf("%q is taken", text)
		}
	}
}
