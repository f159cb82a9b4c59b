package main

import (
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"
)

// screen prints. On a terminal the row of figures is drawn again in place, with
// colour unless NO_COLOR (no-color.org) is set; elsewhere each row is a line of
// plain text.
type screen struct {
	out      io.Writer
	terminal bool
	color    bool
	full     string // a full cell of the bar
	empty    string
	headed   bool // the heading of the rows is there
}

func newScreen(out *os.File, env func(string) string) *screen {
	info, err := out.Stat()
	terminal := err == nil && info.Mode()&os.ModeCharDevice != 0 && env("TERM") != "dumb"
	s := &screen{out: out, terminal: terminal, color: terminal && env("NO_COLOR") == "", full: "#", empty: "-"}
	if terminal && speaksUTF8(env) {
		s.full, s.empty = "█", "░"
	}
	return s
}

// speaksUTF8 tells whether the locale of the terminal is one of UTF-8. The first
// of the three that is set counts (POSIX.1-2024, section 8.2).
func speaksUTF8(env func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if value := strings.ToUpper(env(name)); value != "" {
			return strings.Contains(value, "UTF-8") || strings.Contains(value, "UTF8")
		}
	}
	return false
}

// The colours, as parameters of SGR.
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

func (s *screen) paint(color, text string) string {
	if !s.color {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// guide prints what runs, and what to paste.
func (s *screen) guide(on *stage, o options) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  one gateway; behind it a PTU of %s tokens a minute and two pay-as-you-go deployments\n\n",
		s.paint(bold, "Spillway"), thousands(ptuTokens))
	for _, fact := range [][2]string{
		{"endpoint", s.paint(cyan, on.endpoint)},
		{"key", s.paint(cyan, on.key)},
		{"config", on.configPath()},
		{"log", on.logPath()},
	} {
		fmt.Fprintf(&b, "  %s%s\n", s.paint(dim, pad(fact[0], 10)), fact[1])
	}
	for _, part := range on.examples(o) {
		fmt.Fprintf(&b, "\n%s\n", s.paint(bold, part.title))
		for _, line := range part.lines {
			fmt.Fprintf(&b, "  %s\n", line)
		}
	}
	fmt.Fprintf(&b, "\n%s\n\n", s.paint(dim, "Ctrl-C ends it all, and removes the two files."))
	s.print(b.String())
}

// The widths of the columns of a row. A row has at most 80 characters.
const (
	widthWindow   = 6
	widthRequests = 8
	widthBar      = 18
	widthPercent  = 8
	widthSpilled  = 7
	widthClient   = 10
	widthBackend  = 11
)

// row shows a reading.
func (s *screen) row(r reading) {
	if !s.headed {
		s.headed = true
		s.print(s.paint(dim, cells("window", "requests", pad("PTU fill", widthBar), "", "spilled", "429 client", "429 backend")) + "\n")
	}
	line := cells(
		fmt.Sprintf("%d s", int(r.window.Seconds())),
		fmt.Sprint(r.requests),
		s.bar(r.fill),
		fmt.Sprintf("%.1f %%", 100*r.fill),
		s.alert(yellow, r.spilled, widthSpilled),
		s.alert(red, r.throttled, widthClient),
		s.alert(red, r.backend429, widthBackend),
	)
	if s.terminal {
		// Without automatic margins a narrow window cuts the line instead of
		// wrapping it, which the next \r could not undo.
		line = "\r\x1b[?7l" + line + "\x1b[K\x1b[?7h"
	} else {
		line += "\n"
	}
	s.print(line)
}

// endRows leaves the row that was drawn in place.
func (s *screen) endRows() {
	if s.terminal && s.headed {
		s.print("\n")
	}
}

// summary says in one line how it went.
func (s *screen) summary(r reading, took time.Duration) {
	s.print(fmt.Sprintf("\n%s: %d requests, %d spilled; PTU up to %.1f %%; 429: %d client, %d backend\n",
		took.Round(time.Second), r.requests, r.spilled, 100*r.best, r.throttled, r.backend429))
}

// print writes to the terminal; nobody is there to be told that it is gone.
func (s *screen) print(text string) { _, _ = io.WriteString(s.out, text) }

// bar draws a share of one.
func (s *screen) bar(share float64) string {
	n := int(math.Round(min(1, max(0, share)) * widthBar))
	return s.paint(green, strings.Repeat(s.full, n)) + s.paint(dim, strings.Repeat(s.empty, widthBar-n))
}

// alert is a count that has a colour unless it is zero.
func (s *screen) alert(color string, n int64, width int) string {
	text := align(fmt.Sprint(n), width)
	if n == 0 {
		return text
	}
	return s.paint(color, text)
}

// cells joins the columns of a row: numbers to the right, the bar as it is.
func cells(window, requests, bar, percent, spilled, client, backend string) string {
	return "  " + strings.Join([]string{
		align(window, widthWindow),
		align(requests, widthRequests),
		bar + align(percent, widthPercent),
		align(spilled, widthSpilled),
		align(client, widthClient),
		align(backend, widthBackend),
	}, "  ")
}

// align moves text to the right of a column. Text that is painted has been
// aligned before.
func align(text string, width int) string { return fmt.Sprintf("%*s", width, text) }

func pad(text string, width int) string { return fmt.Sprintf("%-*s", width, text) }

// thousands writes 10000 as 10,000.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}
