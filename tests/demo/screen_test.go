package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// device is a screen on a character device, which a terminal is too, with the
// lines it was given.
func device(t *testing.T, env map[string]string) (*screen, *strings.Builder) {
	t.Helper()
	file, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	s := newScreen(file, func(name string) string { return env[name] })
	var printed strings.Builder
	s.out = &printed
	return s, &printed
}

var half = reading{window: 37 * time.Second, fill: 0.5, requests: 142, spilled: 3, throttled: 2, backend429: 1}

func TestTerminalShowsOneRow(t *testing.T) {
	s, printed := device(t, map[string]string{"LANG": "en_US.UTF-8"})
	s.row(half)
	s.row(half)
	s.endRows()
	heading, rows, _ := strings.Cut(printed.String(), "\n")
	if !strings.Contains(heading, "spilled") {
		t.Errorf("no heading: %q", heading)
	}
	if strings.Count(rows, "\r") != 2 || strings.Count(rows, "\n") != 1 || !strings.HasSuffix(rows, "\n") {
		t.Errorf("two rows are not drawn in one place: %q", rows)
	}
	if strings.Count(rows, "█") != 2*widthBar/2 || strings.Count(rows, "░") != 2*widthBar/2 {
		t.Errorf("half a PTU is not half a bar: %q", rows)
	}
	if !strings.Contains(rows, "\x1b["+red+"m") {
		t.Errorf("a 429 has no colour: %q", rows)
	}
}

func TestColourIsForTerminalsThatWantIt(t *testing.T) {
	colour := regexp.MustCompile("\x1b\\[[0-9;]*m")
	for name, c := range map[string]struct {
		env              map[string]string
		colour, terminal bool
	}{
		"nothing set": {nil, true, true},
		"NO_COLOR":    {map[string]string{"NO_COLOR": "1"}, false, true},
		"dumb":        {map[string]string{"TERM": "dumb"}, false, false},
	} {
		s, printed := device(t, c.env)
		s.guide(&stage{endpoint: "http://127.0.0.1:8080", key: "sw-key"}, options{})
		s.row(half)
		s.summary(half, time.Minute)
		if colour.MatchString(printed.String()) != c.colour || strings.Contains(printed.String(), "\r") != c.terminal {
			t.Errorf("%s: %q", name, printed)
		}
	}
}

func TestFileGetsPlainLines(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	s := newScreen(file, func(string) string { return "en_US.UTF-8" })
	s.row(half)
	s.row(half)
	s.endRows()
	text, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	if len(lines) != 4 || strings.ContainsAny(string(text), "\x1b\r█") {
		t.Errorf("not a heading and two plain lines: %q", text)
	}
	if row, ok := readRow(lines[1]); !ok || row != (shown{142, 3, 2, 1, 50}) {
		t.Errorf("%q reads as %+v", lines[1], row)
	}
}

func TestRowsAreAlignedAndFitEightyColumns(t *testing.T) {
	var out strings.Builder
	s := &screen{out: &out, full: "#", empty: "-"}
	for _, r := range []reading{
		{},
		half,
		{window: 59 * time.Second, fill: 1.25, requests: 12345678, spilled: 1234567, throttled: 1e9, backend429: 1e10},
	} {
		s.row(r)
	}
	for line := range strings.Lines(out.String()) {
		if n := utf8.RuneCountInString(line) - 1; n != 80 {
			t.Errorf("%d columns, want 80: %q", n, line)
		}
	}
}

func TestLocaleDecidesOnTheBar(t *testing.T) {
	for _, c := range []struct {
		all, ctype, lang string
		want             bool
	}{
		{"", "", "", false},
		{"", "", "en_US.UTF-8", true},
		{"", "", "de_DE.utf8", true},
		{"C", "", "en_US.UTF-8", false},
		{"", "C.UTF-8", "C", true},
	} {
		env := map[string]string{"LC_ALL": c.all, "LC_CTYPE": c.ctype, "LANG": c.lang}
		if got := speaksUTF8(func(name string) string { return env[name] }); got != c.want {
			t.Errorf("%+v: %t, want %t", c, got, c.want)
		}
	}
}

func TestQuoteIsOneWordOfTheShell(t *testing.T) {
	for _, text := range []string{"", "a b", `it's "so"`, "$(id) `id` $HOME \\", "*?[a]!&|;", "two\nlines"} {
		out, err := exec.Command("sh", "-c", "printf %s "+quote(text)).Output()
		if err != nil || string(out) != text {
			t.Errorf("%q arrives as %q: %v", text, out, err)
		}
	}
}

func TestThousands(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 10_000: "10,000", 1_000_007: "1,000,007"} {
		if got := thousands(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
