package usage

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// The columns of the counts, in the order in which every form of a report has them.
var countNames = [...]string{"requests", "errors", "prompt_tokens", "cached_tokens", "completion_tokens", "reasoning_tokens", "shadowed", "cost"}

// values are the counts as texts, in the order of countNames.
func (c Counts) values() [len(countNames)]string {
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	return [...]string{
		number(c.Requests), number(c.Errors), number(c.Prompt), number(c.Cached),
		number(c.Completion), number(c.Reasoning), number(c.Shadowed), FormatCost(c.Cost),
	}
}

// FormatCost writes a cost of so many 1/Nano of the currency as an exact decimal
// number with two digits behind the point or more.
func FormatCost(nanos int64) string {
	sign := ""
	if nanos < 0 {
		sign = "-"
	}
	text := fmt.Sprintf("%010d", magnitude(nanos))
	whole, part := text[:len(text)-9], strings.TrimRight(text[len(text)-9:], "0")
	for len(part) < 2 {
		part += "0"
	}
	return sign + whole + "." + part
}

func magnitude(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}

// WriteCSV writes a head, a line for each row, and no total, as RFC 4180 has it. A
// cell that a spreadsheet would take for a formula gets an apostrophe before it.
func (r Report) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	line := append(append([]string(nil), r.By...), countNames[:]...)
	if err := out.Write(line); err != nil {
		return err
	}
	for _, row := range r.Rows {
		line = line[:0]
		for _, key := range row.Keys {
			line = append(line, harmless(key))
		}
		values := row.values()
		if err := out.Write(append(line, values[:]...)); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// harmless is a text that no spreadsheet takes for a formula.
func harmless(cell string) string {
	if cell != "" && strings.ContainsRune("=+-@\t\r", rune(cell[0])) {
		return "'" + cell
	}
	return cell
}

// WriteJSON writes one object: from, to, resolution, by, rows and total. The costs
// are exact.
func (r Report) WriteJSON(w io.Writer) error {
	out := bufio.NewWriter(w)
	by, err := json.Marshal(r.By)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "{\n  \"from\": %q,\n  \"to\": %q,\n  \"resolution\": \"hour\",\n  \"by\": %s,\n  \"rows\": [",
		r.From.Format(time.RFC3339), r.To.Format(time.RFC3339), by)
	for i, row := range r.Rows {
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteString("\n    ")
		if err := writeObject(out, r.By, row); err != nil {
			return err
		}
	}
	if len(r.Rows) > 0 {
		out.WriteString("\n  ")
	}
	out.WriteString("],\n  \"total\": ")
	if err := writeObject(out, nil, Row{Counts: r.Total}); err != nil {
		return err
	}
	out.WriteString("\n}\n")
	return out.Flush()
}

// writeObject writes a row as an object of its keys and counts.
func writeObject(out *bufio.Writer, by []string, row Row) error {
	separator := "{"
	for i, name := range by {
		key, err := json.Marshal(row.Keys[i])
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s%q: %s", separator, name, key)
		separator = ", "
	}
	for i, value := range row.values() {
		fmt.Fprintf(out, "%s%q: %s", separator, countNames[i], value)
		separator = ", "
	}
	return out.WriteByte('}')
}

// WriteTable writes a table for people: aligned, with a comma at each thousand, costs
// rounded to four digits, and the total below it.
func (r Report) WriteTable(w io.Writer) error {
	out := bufio.NewWriter(w)
	fmt.Fprintf(out, "usage from %s to %s (whole hours, UTC)\n\n", r.From.Format("2006-01-02 15:04"), r.To.Format("2006-01-02 15:04"))
	lines := [][]string{heads(r.By)}
	for _, row := range r.Rows {
		lines = append(lines, cells(row.Keys, row.Counts))
	}
	total := make([]string, len(r.By))
	if len(total) > 0 {
		total[0] = "total"
	}
	lines = append(lines, cells(total, r.Total))
	widths := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for i, line := range lines {
		if i == len(lines)-1 {
			writeRule(out, widths)
		}
		writeAligned(out, line, widths, len(r.By))
	}
	return out.Flush()
}

// heads are the heads of a table's columns.
func heads(by []string) []string {
	line := append([]string(nil), by...)
	for _, name := range countNames {
		line = append(line, strings.TrimSuffix(name, "_tokens"))
	}
	return line
}

// cells are the cells of a row of a table.
func cells(keys []string, c Counts) []string {
	line := make([]string, 0, len(keys)+len(countNames))
	for _, key := range keys {
		line = append(line, printable(key))
	}
	values := c.values()
	for _, value := range values[:len(values)-1] {
		line = append(line, thousands(value))
	}
	return append(line, thousands(roundCost(c.Cost)))
}

// roundCost writes a cost with four digits behind the point, so that a column of
// them is aligned.
func roundCost(nanos int64) string {
	const step = Nano / 10_000
	rounded := nanos/step + (nanos%step)/(step/2)
	return fmt.Sprintf("%d.%04d", rounded/10_000, rounded%10_000)
}

// writeRule underlines the rows.
func writeRule(out *bufio.Writer, widths []int) {
	for i, width := range widths {
		if i > 0 {
			out.WriteString("  ")
		}
		out.WriteString(strings.Repeat("-", width))
	}
	out.WriteByte('\n')
}

// writeAligned writes a line: names to the left, numbers to the right.
func writeAligned(out *bufio.Writer, line []string, widths []int, names int) {
	for i, cell := range line {
		if i > 0 {
			out.WriteString("  ")
		}
		blank := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
		if i < names {
			out.WriteString(cell + blank)
		} else {
			out.WriteString(blank + cell)
		}
	}
	out.WriteByte('\n')
}

// thousands puts a comma at each thousand of a number without one.
func thousands(number string) string {
	whole, part, _ := strings.Cut(number, ".")
	var b strings.Builder
	for i, digit := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(digit)
	}
	if part != "" {
		b.WriteString("." + part)
	}
	return b.String()
}

// printable is a name without signs that a terminal would obey.
func printable(name string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, name)
}
