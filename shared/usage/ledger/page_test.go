package ledger

import (
	"math"
	"strings"
	"testing"

	"spillway/shared/usage"
)

// A line holds everything of a counter, at its largest too, and is never longer than
// was reckoned with.
func TestLine(t *testing.T) {
	const most = math.MaxInt64
	for _, want := range []usage.Entry{
		{},
		{Dimensions: usage.Dimensions{Consumer: "a", Status: "2xx"}, Counts: usage.Counts{Requests: 1}},
		{Dimensions: usage.Dimensions{Consumer: "büro", Model: "gpt-4o", Deployment: "x y", Backend: "b", Region: "eastus2", Spilled: true, Status: "429", Tags: "project=search,team=web"},
			Counts: usage.Counts{Requests: most, Errors: most, Prompt: most, Cached: most, Completion: most, Reasoning: most, Shadowed: most, Cost: most}},
	} {
		line := string(appendLine(nil, want.Dimensions, want.Counts))
		if len(line) > longestLine(want.Dimensions) {
			t.Errorf("%q is %d long, reckoned with were %d", line, len(line), longestLine(want.Dimensions))
		}
		d, n, ok := parseLine(strings.TrimSuffix(line, "\n"))
		if !ok || d != want.Dimensions || n != want.Counts {
			t.Errorf("%q is read as %+v %+v, want %+v", line, d, n, want)
		}
	}
}

// A line that was written before there were tags has none; one with more than them is
// no line.
func TestLineFields(t *testing.T) {
	const old = "a\tgpt-4o\td\tb\tr\t\t2xx\t1\t\t\t\t\t\t\t"
	for line, want := range map[string]bool{
		old: true, old + "\tproject=web": true, old + "\tproject=web\t": false, strings.TrimSuffix(old, "\t"): false,
	} {
		d, _, ok := parseLine(line)
		if tags := strings.TrimPrefix(strings.TrimPrefix(line, old), "\t"); ok != want || ok && d.Tags != tags {
			t.Errorf("%q is read as %+v, %v; want %v and the tags %q", line, d, ok, want, tags)
		}
	}
}

// Names that would break a line are made harmless, and a long one is cut.
func TestClean(t *testing.T) {
	for name, want := range map[string]string{
		"gpt-4o": "gpt-4o", "a\tb\nc": "a?b?c", "\xff": "?", "": "", strings.Repeat("é", 100): strings.Repeat("é", 64),
	} {
		if got := clean(name, maxNameLength); got != want {
			t.Errorf("%q becomes %q, want %q", name, got, want)
		}
	}
}

// Whatever a row holds, it is read without harm, no count is negative, and what is
// read can be written and read again.
func FuzzPage(f *testing.F) {
	f.Add("")
	f.Add("a\tgpt-4o\td\tb\tr\t1\t2xx\t1\t\t2s\t\t7\t\t\tzz\n")
	f.Add("a\tgpt-4o\td\tb\tr\t\t2xx\t-1\t+1\t\t\t\t\t\t\n")
	f.Add("\t\t\t\t\t\t\t1y2p0ij32e8e7\t\t\t\t\t\t\t")
	f.Add("a\tgpt-4o\td\tb\tr\t\t2xx\t1\t\t\t\t\t\t\t\tproject=web\n")
	f.Add("\t\t\t\t\t2\t\t1\t\t\t\t\t\t\t\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		eachLine(text, func(d usage.Dimensions, n usage.Counts) bool {
			for _, count := range []int64{n.Requests, n.Errors, n.Prompt, n.Cached, n.Completion, n.Reasoning, n.Shadowed, n.Cost} {
				if count < 0 {
					t.Errorf("%q holds %+v", text, n)
				}
			}
			line := string(appendLine(nil, d, n))
			again, counts, ok := parseLine(strings.TrimSuffix(line, "\n"))
			if !ok || again != d || counts != n {
				t.Errorf("%+v %+v is written as %q and read as %+v %+v", d, n, line, again, counts)
			}
			return true
		})
		_, _, _ = parseHour(text)
		_, _ = consumerOf(text)
	})
}
