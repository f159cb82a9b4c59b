package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"spillway/functions/console"
)

// statusScreen draws states. On a terminal --watch draws in place, with colour unless
// NO_COLOR (no-color.org) is set; elsewhere it is plain text, one state below the
// other.
type statusScreen struct {
	out     io.Writer
	json    bool
	watch   bool
	inPlace bool
	color   bool
	frames  int
}

func newStatusScreen(std streams, asJSON, watch bool) *statusScreen {
	terminal := false
	if file, ok := std.out.(*os.File); ok {
		info, err := file.Stat()
		term, _ := std.env("TERM")
		terminal = err == nil && info.Mode()&os.ModeCharDevice != 0 && term != "dumb"
	}
	noColor, _ := std.env("NO_COLOR")
	return &statusScreen{
		out: std.out, json: asJSON, watch: watch,
		inPlace: terminal && watch && !asJSON, color: terminal && noColor == "" && !asJSON,
	}
}

// Of the terminal: a second screen, which leaves the first one as it was.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	goHome      = "\x1b[H"
	eraseLine   = "\x1b[K"
	eraseRest   = "\x1b[J"
)

func (s *statusScreen) open() {
	if s.inPlace {
		_, _ = io.WriteString(s.out, enterScreen)
	}
}

func (s *statusScreen) close() {
	if s.inPlace {
		_, _ = io.WriteString(s.out, leaveScreen)
	}
}

// frame shows a state; trouble is why there is no newer one.
func (s *statusScreen) frame(a answer, trouble error) error {
	s.frames++
	if s.json {
		return s.object(a, trouble)
	}
	text := s.draw(a.Status)
	if trouble != nil {
		text = s.paint(red, "no answer: "+plain(trouble.Error())) + "\n" + text
	}
	if s.inPlace {
		return s.write([]byte(goHome + strings.ReplaceAll(text, "\n", eraseLine+"\n") + eraseRest))
	}
	if s.frames > 1 {
		text = "\n" + text
	}
	return s.write([]byte(text))
}

// object writes a state as the gateway sent it: in lines, or in one where more follow.
func (s *statusScreen) object(a answer, trouble error) error {
	var b bytes.Buffer
	var err error
	switch {
	case trouble != nil:
		return nil // each line is a state
	case s.watch:
		err = json.Compact(&b, a.text)
	default:
		err = json.Indent(&b, bytes.TrimSpace(a.text), "", "  ")
	}
	if err != nil {
		return err
	}
	return s.write(append(plainJSON(b.Bytes()), '\n'))
}

func (s *statusScreen) write(text []byte) error {
	_, err := s.out.Write(text)
	return err
}

// The colours, as parameters of SGR.
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	purple = "35"
	cyan   = "36"
)

func (s *statusScreen) paint(color, text string) string {
	if !s.color || text == "" {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// draw is a state as text of at most 100 columns.
func (s *statusScreen) draw(st console.Status) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s  %s, up %s, %s\n", s.paint(bold, "Spillway"), plain(st.Instance), plain(st.Version),
		span(st.Now.Sub(st.Started)), counted(st.Instances, "instance"))
	fmt.Fprintf(&b, "store   %s\n", s.store(st.Store))
	t := st.Totals
	fmt.Fprintf(&b, "calls   %s, %s spilled, %s refused (429), %s failed (5xx), %s tokens\n\n",
		thousands(t.Requests), thousands(t.Spilled), thousands(t.RateLimited), thousands(t.Failed), thousands(t.Prompt+t.Completion))
	s.deployments(&b, st)
	s.consumers(&b, st)
	fmt.Fprintf(&b, "%s\n%s\n", s.paint(dim, "Calls and tokens are this instance's since its start, latency that of five minutes;"),
		s.paint(dim, "breakers and limits are all instances', as this one last saw them."))
	return b.String()
}

func (s *statusScreen) store(store console.Store) string {
	switch {
	case store.Degraded:
		return s.paint(red, "down: this instance counts alone; its log says why")
	case store.Kind == "memory":
		return "memory: nothing is shared"
	default:
		return s.paint(green, "up") + " (" + plain(store.Kind) + ")"
	}
}

func (s *statusScreen) deployments(b *strings.Builder, st console.Status) {
	fmt.Fprintln(b, s.paint(dim, fmt.Sprintf("%-28s %-26s %-17s %7s %8s %8s", "DEPLOYMENT", "FILL", "STATE", "CALLS", "P50", "P95")))
	for _, d := range st.Deployments {
		state, color := condition(d, st.Now)
		fmt.Fprintf(b, "%s %s %s %7s %8s %8s\n", fit(d.ID, 28), s.bar(float64(d.Fill), d.Tokens),
			s.paint(color, fit(state, 17)), brief(d.Counts.Requests), milliseconds(d.Latency.P50), milliseconds(d.Latency.P95))
	}
	b.WriteByte('\n')
}

// condition is what a deployment is doing, in a few words.
func condition(d console.Deployment, now time.Time) (state, color string) {
	switch {
	case d.Breaker == "open" && d.OpenUntil != nil:
		return "open, " + span(d.OpenUntil.Sub(now)), red
	case d.Breaker == "open":
		return "open, trial due", red
	case d.Breaker != "closed":
		return plain(d.Breaker), yellow
	case d.ThrottledUntil != nil:
		return "throttled, " + span(d.ThrottledUntil.Sub(now)), purple
	default:
		return "in service", green
	}
}

// barWidth is the cells of a bar.
const barWidth = 12

// bar is how full a limit is, in 26 columns.
func (s *statusScreen) bar(fill float64, tokens *console.Limit) string {
	if math.IsNaN(fill) {
		return fmt.Sprintf("%-26s", "no limit")
	}
	full := int(math.Round(min(max(fill, 0), 1) * barWidth))
	note := fmt.Sprintf(" %3.0f%%", 100*fill)
	if tokens != nil {
		note += " " + brief(tokens.Remaining)
	}
	return s.paint(cyan, strings.Repeat("#", full)) + s.paint(dim, strings.Repeat("-", barWidth-full)) + fmt.Sprintf("%-*s", 26-barWidth, note)
}

// shownConsumers is how many consumers are drawn.
const shownConsumers = 15

func (s *statusScreen) consumers(b *strings.Builder, st console.Status) {
	all := st.Consumers.MostActive
	if len(all) == 0 {
		return
	}
	fmt.Fprintln(b, s.paint(dim, fmt.Sprintf("%-28s %7s %9s %7s %6s %6s  %s", "CONSUMER", "CALLS", "TOKENS", "SPILLED", "429", "5XX", "LEFT")))
	for _, c := range all[:min(len(all), shownConsumers)] {
		fmt.Fprintf(b, "%s %7s %9s %7s %6s %6s  %s\n", fit(c.Name, 28), brief(c.Usage.Requests), brief(c.Prompt+c.Completion),
			brief(c.Spilled), brief(c.Limited), brief(c.Errors), tightest(c.Limits))
	}
	if more := st.Consumers.Seen - shownConsumers; more > 0 {
		fmt.Fprintf(b, "%s\n", s.paint(dim, fmt.Sprintf("and %d more", more)))
	}
	b.WriteByte('\n')
}

// tightest is the limit of which the smallest share is left.
func tightest(limits []console.ConsumerLimit) string {
	var least *console.ConsumerLimit
	share := func(l *console.ConsumerLimit) float64 { return float64(l.Remaining) / float64(max(l.Limit.Limit, 1)) }
	for i := range limits {
		if least == nil || share(&limits[i]) < share(least) {
			least = &limits[i]
		}
	}
	if least == nil {
		return "no limit"
	}
	return fmt.Sprintf("%.0f%% %s", 100*share(least), plain(least.Name))
}

// plain is a text without letters that a terminal would obey, or that are not seen.
func plain(text string) string {
	return strings.Map(func(letter rune) rune {
		if letter == utf8.RuneError || unprintable(letter) {
			return '?'
		}
		return letter
	}, text)
}

// fit is a text in so many columns.
func fit(text string, width int) string {
	letters := []rune(plain(text))
	if len(letters) > width {
		letters = append(letters[:width-1], '~')
	}
	return string(letters) + strings.Repeat(" ", width-len(letters))
}

func counted(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// thousands writes 1234567 as 1,234,567.
func thousands(n int64) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// brief writes a count in at most six letters: 9,999 as it is, larger ones to three
// digits.
func brief(n int64) string {
	if n < 10_000 {
		return thousands(n)
	}
	size, unit := float64(n), 0
	for ; size >= 999.5; unit++ { // from there on three digits are those of the next unit
		size /= 1000
	}
	return fmt.Sprintf("%.3g", size) + []string{"", "k", "M", "G", "T", "P", "E"}[unit]
}

func milliseconds(ms float64) string {
	switch {
	case ms == 0:
		return "-"
	case ms < 1000:
		return fmt.Sprintf("%.0f ms", ms)
	default:
		return fmt.Sprintf("%.1f s", ms/1000)
	}
}

// span writes a time in its two largest units at most.
func span(d time.Duration) string {
	d = max(d, 0).Round(time.Second)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	default:
		return fmt.Sprintf("%d d %d h", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	}
}
