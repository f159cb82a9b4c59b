// Package report shows the outcomes of a replay, and says whether they prove
// what they are to prove.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"spillway/tests/prove/judge"
	"spillway/tests/prove/replay"
)

// columns are the table's, right-aligned after the gateway's name.
var columns = []struct {
	head  [2]string
	width int
}{
	{[2]string{"", "requests"}, 9},
	{[2]string{"client", "429s"}, 8},
	{[2]string{"backend", "429s"}, 8},
	{[2]string{"PTU fill", "per window"}, 16},
	{[2]string{"", "spilled"}, 9},
	{[2]string{"of these", "would fit"}, 10},
	{[2]string{"by its", "setting"}, 8},
	{[2]string{"un-", "decided"}, 8},
	{[2]string{"largest", "overshoot"}, 10},
}

const gatewayWidth = 34

// Table prints the outcomes, one row each.
func Table(w io.Writer, outcomes []replay.Outcome) {
	for line := range 2 {
		fmt.Fprintf(w, "%-*s", gatewayWidth, "")
		for _, c := range columns {
			fmt.Fprintf(w, "%*s", c.width, c.head[line])
		}
		fmt.Fprintln(w)
	}
	last := ""
	for _, o := range outcomes {
		if name := o.Scenario.Name(); name != last {
			fmt.Fprintf(w, "%s\n", name)
			last = name
		}
		fmt.Fprintf(w, "%-*s", gatewayWidth, "  "+gateway(o.Contender))
		for i, cell := range row(o.Result) {
			fmt.Fprintf(w, "%*s", columns[i].width, cell)
		}
		fmt.Fprintln(w)
	}
}

// gateway names a contender with its setting.
func gateway(c replay.Contender) string {
	if c.SpillBelow == 0 {
		return string(c.Kind)
	}
	return fmt.Sprintf("%s, spillBelow %d", c.Kind, c.SpillBelow)
}

func row(r judge.Result) []string {
	var fill []string
	for _, f := range r.Fill(replay.Limit) {
		fill = append(fill, percent(f))
	}
	return []string{
		count(r.Requests), count(r.Client429), count(r.Backend429), strings.Join(fill, " "),
		percent(share(r.Spilled, r.Requests)), count(r.Fitted), count(r.Kept), count(r.Undecided), count(int(r.Overshoot)),
	}
}

func share(n, of int) float64 {
	if of == 0 {
		return 0
	}
	return float64(n) / float64(of)
}

func percent(f float64) string { return fmt.Sprintf("%.1f%%", 100*f) }

// count writes a number with its thousands apart.
func count(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Footnote says what the table's columns mean and what was replayed.
func Footnote(w io.Writer, windows int, seed uint64) {
	fmt.Fprintf(w, `
Replayed: %[1]d full windows, seed %[2]d. Each gateway has a PTU of %[3]s tokens a minute and two PAYG backends
(%[4]s each) to itself; all get the same requests. The PTU charges a request when it arrives, ⌈characters ÷ 4⌉ +
max_tokens, in windows that begin at the full minute. Backends answer after %[5]s to %[6]s, a 429 at once; a user sends the
next request when the last one has ended, after a 429 %[7]s later.
The post-paid counter knows the PTU's exact charges and windows, and counts a request when its answer arrives.

PTU fill        tokens that the PTU's own limiter booked in the window ÷ its limit. Large requests leave some of it
                unused with any gateway: what is left is smaller than any of them.
would fit       requests sent to PAYG although the PTU had room for them, and for what spillBelow leaves, at every
                moment at which the gateway can have decided: after it had read the request and before it sent it on.
                Room is the limit less what the PTU has charged in this window, less what is on its way to the PTU.
                Requests that were being decided at the same time count as sent to the PTU first.
by its setting  requests that may have fit, but only into what spillBelow leaves unused in each window. That is what
                it is for; it costs fill when requests are small, therefore their scenario is without it. With it, it is
                shown for honesty.
undecided       requests that fit in one order of concurrent decisions and not in another, or that met a window's edge.
overshoot       tokens sent to the PTU in a window beyond its limit.
`, windows, seed, count(replay.Limit), count(replay.PAYGLimit), replay.Fastest, replay.Slowest, replay.Pause)
}

// JSON writes the outcomes for other programs.
func JSON(w io.Writer, outcomes []replay.Outcome, windows int, seed uint64) error {
	type line struct {
		Scenario      string           `json:"scenario"`
		Load          replay.Scenario  `json:"load"`
		Contender     replay.Contender `json:"contender"`
		Requests      int              `json:"requests"`
		Client429     int              `json:"client429"`
		Backend429    int              `json:"backend429"`
		OtherErrors   int              `json:"otherErrors"`
		Fill          []float64        `json:"ptuFill"`
		Spilled       int              `json:"spilled"`
		WouldHaveFit  int              `json:"wouldHaveFit"`
		KeptBySetting int              `json:"keptBySetting"`
		Undecided     int              `json:"undecided"`
		Overshoot     int64            `json:"overshootTokens"`
		RefusedByPTU  int              `json:"spilledAfterRefusal"`
		CertainlyFull int              `json:"certainlyFull"`
		Seconds       []replay.Second  `json:"seconds"`
	}
	lines := make([]line, len(outcomes))
	for i, o := range outcomes {
		r := o.Result
		lines[i] = line{
			Scenario: o.Scenario.Name(), Load: o.Scenario, Contender: o.Contender,
			Requests: r.Requests, Client429: r.Client429, Backend429: r.Backend429, OtherErrors: r.OtherErrors,
			Fill: r.Fill(replay.Limit), Spilled: r.Spilled, WouldHaveFit: r.Fitted, KeptBySetting: r.Kept,
			Undecided: r.Undecided, Overshoot: r.Overshoot, RefusedByPTU: r.Refused, CertainlyFull: r.Full,
			Seconds: o.Seconds,
		}
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(struct {
		Limit     int64    `json:"ptuTokensPerMinute"`
		Windows   int      `json:"windows"`
		Seed      uint64   `json:"seed"`
		Shortfall []string `json:"shortfalls"`
		Outcomes  []line   `json:"outcomes"`
	}{replay.Limit, windows, seed, Shortfalls(outcomes), lines})
}
