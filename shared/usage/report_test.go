package usage_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"iter"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"spillway/shared/usage"
)

// entries yields entries, and then an error if there is one.
func entries(err error, all ...usage.Entry) iter.Seq2[usage.Entry, error] {
	return func(yield func(usage.Entry, error) bool) {
		for _, e := range all {
			if !yield(e, nil) {
				return
			}
		}
		if err != nil {
			yield(usage.Entry{}, err)
		}
	}
}

func entry(at, consumer, model string, spilled bool, requests int64) usage.Entry {
	return usage.Entry{
		Hour: hour(at), Dimensions: usage.Dimensions{Consumer: consumer, Model: model, Spilled: spilled, Status: "2xx"},
		Counts: usage.Counts{Requests: requests, Prompt: 1000 * requests, Completion: 10 * requests, Cost: 1_234_567_890 * requests},
	}
}

// july is a report of some entries.
func july(t *testing.T, by ...string) usage.Report {
	t.Helper()
	r, err := usage.Summarize(entries(nil,
		entry("2026-07-31T23", "b", "gpt-4o", false, 1),
		entry("2026-08-01T00", "a", "gpt-4o", true, 2),
		entry("2026-07-31T23", "b", "gpt-4o", false, 4),
		entry("2026-07-30T07", "=cmd()", "gpt-4o-mini", false, 8000),
	), usage.Query{From: hour("2026-07-30T00"), To: hour("2026-08-01T12"), By: by})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Entries of the same row are added up, rows are sorted, and the total is all of them.
func TestSummarize(t *testing.T) {
	tests := []struct {
		by   []string
		want []string // keys and requests
	}{
		{nil, []string{" 8007"}},
		{[]string{"consumer"}, []string{"=cmd() 8000", "a 2", "b 5"}},
		{[]string{"model", "consumer"}, []string{"gpt-4o a 2", "gpt-4o b 5", "gpt-4o-mini =cmd() 8000"}},
		{[]string{"spilled"}, []string{"no 8005", "yes 2"}},
		{[]string{"month"}, []string{"2026-07 8005", "2026-08 2"}},
		{[]string{"day"}, []string{"2026-07-30 8000", "2026-07-31 5", "2026-08-01 2"}},
		{[]string{"month", "hour"}, []string{"2026-07 2026-07-30T07:00Z 8000", "2026-07 2026-07-31T23:00Z 5", "2026-08 2026-08-01T00:00Z 2"}},
		{[]string{"region", "backend", "deployment", "status"}, []string{"   2xx 8007"}},
	}
	for _, test := range tests {
		r := july(t, test.by...)
		var got []string
		for _, row := range r.Rows {
			got = append(got, strings.Join(row.Keys, " ")+" "+strconv.FormatInt(row.Requests, 10))
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("by %v: %q, want %q", test.by, got, test.want)
		}
		if r.Total.Requests != 8007 || r.Total.Cost != 8007*1_234_567_890 {
			t.Errorf("by %v: total %+v", test.by, r.Total)
		}
	}
}

// An error leaves no report, and there is a bound to its rows.
func TestSummarizeErrors(t *testing.T) {
	broken := errors.New("broken")
	if r, err := usage.Summarize(entries(broken, entry("2026-07-31T23", "b", "m", false, 1)), usage.Query{}); !errors.Is(err, broken) || len(r.Rows) > 0 {
		t.Errorf("report %+v, error %v", r, err)
	}
	endless := func(yield func(usage.Entry, error) bool) {
		for n := 0; yield(usage.Entry{Dimensions: usage.Dimensions{Model: strconv.Itoa(n)}}, nil); n++ {
		}
	}
	if _, err := usage.Summarize(endless, usage.Query{By: []string{"model"}}); !errors.Is(err, usage.ErrTooManyRows) {
		t.Errorf("error %v, want ErrTooManyRows", err)
	}
}

// A report of one consumer holds nothing of another.
func TestSummarizeOneConsumer(t *testing.T) {
	r, err := usage.Summarize(entries(nil, entry("2026-07-31T23", "a", "m", false, 1), entry("2026-07-31T23", "b", "m", false, 2)), usage.Query{Consumer: "b"})
	if err != nil || r.Total.Requests != 2 {
		t.Errorf("total %+v, %v", r.Total, err)
	}
}

// A report of one tag holds the requests that carry it, alone or beside others.
func TestSummarizeOneTag(t *testing.T) {
	tagged := func(tags string, requests int64) usage.Entry {
		e := entry("2026-07-31T23", "a", "m", false, requests)
		e.Tags = tags
		return e
	}
	r, err := usage.Summarize(entries(nil, tagged("project=web", 1), tagged("project=web,team=x", 2), tagged("project=webshop", 4), tagged("", 8), tagged("(other)", 16)),
		usage.Query{Tag: "project=web", By: []string{"tags"}})
	if err != nil || len(r.Rows) != 2 || r.Rows[0].Keys[0] != "project=web" || r.Rows[1].Keys[0] != "project=web,team=x" || r.Total.Requests != 3 {
		t.Errorf("got %+v, %v; want 3 requests in the rows project=web and project=web,team=x", r, err)
	}
}

func TestWriteTable(t *testing.T) {
	var out bytes.Buffer
	if err := july(t, "consumer", "spilled").WriteTable(&out); err != nil {
		t.Fatal(err)
	}
	const want = `usage from 2026-07-30 00:00 to 2026-08-01 12:00 (whole hours, UTC)

consumer  spilled  requests  errors     prompt  cached  completion  reasoning  shadowed        cost
=cmd()    no          8,000       0  8,000,000       0      80,000          0         0  9,876.5431
a         yes             2       0      2,000       0          20          0         0      2.4691
b         no              5       0      5,000       0          50          0         0      6.1728
--------  -------  --------  ------  ---------  ------  ----------  ---------  --------  ----------
total                 8,007       0  8,007,000       0      80,070          0         0  9,885.1851
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

// A spreadsheet sees no formula, and reads what was written.
func TestWriteCSV(t *testing.T) {
	r := july(t, "consumer", "day")
	r.Rows[1].Keys[0] = "with, comma and \"quotes\"\nand lines"
	var out bytes.Buffer
	if err := r.WriteCSV(&out); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(out.String(), "consumer,day,requests,errors,prompt_tokens,cached_tokens,completion_tokens,reasoning_tokens,shadowed,cost\r\n'=cmd(),2026-07-30,8000,0,") {
		t.Errorf("it begins %q", out.String())
	}
	lines, err := csv.NewReader(&out).ReadAll()
	if err != nil || len(lines) != 4 || lines[2][0] != "with, comma and \"quotes\"\nand lines" || lines[3][9] != "6.17283945" {
		t.Errorf("read %q, %v", lines, err)
	}
	for _, formula := range []string{"=1+1", "+1", "-1", "@sum", "\tx"} {
		r.Rows[0].Keys[0] = formula
		var out bytes.Buffer
		if err := r.WriteCSV(&out); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), "'"+formula) {
			t.Errorf("%q is written as %q", formula, out.String())
		}
	}
}

// The JSON is the same each time, exact, and says what it is about.
func TestWriteJSON(t *testing.T) {
	var out bytes.Buffer
	if err := july(t, "consumer", "month").WriteJSON(&out); err != nil {
		t.Fatal(err)
	}
	var read struct {
		From, To   time.Time
		Resolution string
		By         []string
		Rows       []struct {
			Consumer, Month  string
			Requests         int64
			CompletionTokens int64 `json:"completion_tokens"`
			Cost             json.Number
		}
		Total map[string]json.Number
	}
	if err := json.Unmarshal(out.Bytes(), &read); err != nil {
		t.Fatalf("%v\n%s", err, out.Bytes())
	}
	if !read.From.Equal(hour("2026-07-30T00")) || !read.To.Equal(hour("2026-08-01T12")) || read.Resolution != "hour" || !slices.Equal(read.By, []string{"consumer", "month"}) {
		t.Errorf("it is about %+v", read)
	}
	if len(read.Rows) != 3 || read.Rows[2].Consumer != "b" || read.Rows[2].Month != "2026-07" || read.Rows[2].CompletionTokens != 50 || read.Rows[2].Cost != "6.17283945" {
		t.Errorf("rows %+v", read.Rows)
	}
	if len(read.Total) != 8 || read.Total["cost"] != "9885.18509523" {
		t.Errorf("total %v", read.Total)
	}
	out.Reset()
	if err := (usage.Report{By: []string{}}).WriteJSON(&out); err != nil || !json.Valid(out.Bytes()) || !strings.Contains(out.String(), `"rows": []`) {
		t.Errorf("an empty report is %s, %v", out.String(), err)
	}
}

func TestFormatCost(t *testing.T) {
	for nanos, want := range map[int64]string{
		0: "0.00", 1: "0.000000001", 1_500_000_000: "1.50", 12_340_000_000: "12.34", -1: "-0.000000001", 9223372036854775807: "9223372036.854775807", -9223372036854775808: "-9223372036.854775808",
	} {
		if got := usage.FormatCost(nanos); got != want {
			t.Errorf("%d is written %s, want %s", nanos, got, want)
		}
	}
}
