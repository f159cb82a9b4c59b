package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// Setting is where and when something was measured.
type Setting struct {
	Machine string
	Go      string
	Date    time.Time
	// Versions are the names and versions of the programs that took part.
	Versions []string
}

func (s Setting) String() string {
	return strings.Join(append([]string{s.Machine, s.Go, s.Date.UTC().Format(time.DateOnly)}, s.Versions...), ", ")
}

// Text writes the results for a terminal.
func Text(w io.Writer, setting Setting, results []Result) error {
	out := &printer{w: w}
	out.printf("%s\n", setting)
	for _, r := range results {
		out.printf("\n%s: %s\n", r.Section, r.Title)
		widths := r.widths()
		for _, row := range append([][]string{r.Columns}, r.Rows...) {
			line := "  " + pad(row[0], widths[0], false)
			for i, cell := range row[1:] {
				line += "   " + pad(cell, widths[i+1], true)
			}
			out.printf("%s\n", strings.TrimRight(line, " "))
		}
	}
	if goals := goals(results); len(goals) > 0 {
		out.printf("\nFigures to reach (medians)\n")
		for _, g := range goals {
			out.printf("  %-7s  %s: %s, wanted %s\n", g.verdict(), g.What, g.Got, g.Want)
		}
	}
	for _, r := range results {
		for _, void := range r.Voids {
			out.printf("\nVOID  %s: %s\n", r.Section, void)
		}
	}
	return out.err
}

// Markdown writes the results as a document.
func Markdown(w io.Writer, setting Setting, results []Result) error {
	out := &printer{w: w}
	out.printf("# Results of `make bench`\n\n%s. Medians, with the least and the most in parentheses.\n", setting)
	if goals := goals(results); len(goals) > 0 {
		out.printf("\n| figure | to reach | measured | |\n|---|---|---|---|\n")
		for _, g := range goals {
			out.printf("%s", line([]string{g.What, g.Want, g.Got, g.verdict()}))
		}
	}
	for _, r := range results {
		out.printf("\n## %s\n\n%s\n\n", r.Section, escape(r.Title))
		for _, void := range r.Voids {
			out.printf("**Void**: %s\n\n", escape(void))
		}
		if len(r.Rows) > 0 {
			out.printf("%s|%s\n", line(r.Columns), "---|"+strings.Repeat("---:|", len(r.Columns)-1))
		}
		for _, row := range r.Rows {
			out.printf("%s", line(row))
		}
	}
	return out.err
}

// JSON writes everything that was measured.
func JSON(w io.Writer, setting Setting, results []Result) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		Setting
		Results []Result
	}{setting, results})
}

// printer keeps the first error.
type printer struct {
	w   io.Writer
	err error
}

func (p *printer) printf(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format, args...)
	}
}

func goals(results []Result) (all []Goal) {
	for _, r := range results {
		all = append(all, r.Goals...)
	}
	return all
}

func (g Goal) verdict() string {
	switch {
	case g.Void:
		return "VOID"
	case g.Reached:
		return "reached"
	default:
		return "MISSED"
	}
}

// widths returns the widths of the columns in characters.
func (r Result) widths() []int {
	widths := make([]int, len(r.Columns))
	for _, row := range append([][]string{r.Columns}, r.Rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	return widths
}

func pad(text string, width int, right bool) string {
	space := strings.Repeat(" ", max(width-utf8.RuneCountInString(text), 0))
	if right {
		return space + text
	}
	return text + space
}

// line is one line of a markdown table.
func line(cells []string) string {
	escaped := make([]string, len(cells))
	for i, cell := range cells {
		escaped[i] = escape(cell)
	}
	return "| " + strings.Join(escaped, " | ") + " |\n"
}

// escape keeps a text from ending its cell.
func escape(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "\n", " "), "|", `\|`)
}
