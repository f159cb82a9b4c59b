package console_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"spillway/functions/console"
	"spillway/shared/openai"
	"spillway/shared/usage"
)

// askUsage asks for usage with the key of somebody: "admin", the name of a consumer, or
// nobody. It returns the answer and the query that reached the ledger, if one did.
func askUsage(method, query, key string, fails error) (*httptest.ResponseRecorder, *usage.Query) {
	var asked *usage.Query
	c := console.New(console.Options{
		Admin: func(r *http.Request) (string, bool) { return "ops", r.Header.Get("Api-Key") == "admin" },
		Consumer: func(_ context.Context, r *http.Request) (string, *openai.Error) {
			if name := r.Header.Get("Api-Key"); name != "" {
				return name, nil
			}
			return "", openai.Unauthorized()
		},
		Usage: func(_ context.Context, q usage.Query) (usage.Report, error) {
			asked = &q
			row := usage.Row{Keys: make([]string, len(q.By)), Counts: usage.Counts{Requests: 3, Cost: 2_500_000_000}}
			for i := range row.Keys {
				row.Keys[i] = "team"
			}
			return usage.Report{From: q.From, To: q.To, By: q.By, Rows: []usage.Row{row}, Total: row.Counts}, fails
		},
	})
	r := httptest.NewRequest(method, "/spillway/usage?"+query, nil)
	r.Header.Set("Api-Key", key)
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	return w, asked
}

// An admin sees all, or the consumer asked for; a consumer itself alone; nobody else
// anything. The ledger is not asked in vain.
func TestUsageWhoMaySeeWhat(t *testing.T) {
	tests := []struct {
		name, key, query string
		status           int
		consumer         string // whose usage was read
	}{
		{"an admin, all", "admin", "", 200, ""},
		{"an admin, one", "admin", "consumer=team", 200, "team"},
		{"a consumer", "team", "", 200, "team"},
		{"a consumer, itself", "team", "consumer=team", 200, "team"},
		{"a consumer, another", "team", "consumer=other", 403, ""},
		{"nobody", "", "", 401, ""},
		{"nobody, with nonsense", "", "from=nonsense", 401, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w, asked := askUsage(http.MethodGet, test.query, test.key, nil)
			if w.Code != test.status {
				t.Errorf("status %d, want %d: %s", w.Code, test.status, w.Body)
			}
			if (asked != nil) != (test.status == 200) || asked != nil && asked.Consumer != test.consumer {
				t.Errorf("read was %+v, want the usage of %q", asked, test.consumer)
			}
			if got := w.Header().Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control is %q, want %q", got, "no-store")
			}
			if challenge := w.Header().Get("WWW-Authenticate"); (challenge != "") != (test.status == 401) {
				t.Errorf("WWW-Authenticate is %q", challenge)
			}
		})
	}
}

// Usage may be told apart by tags, and asked for of one tag.
func TestUsageOfTags(t *testing.T) {
	w, asked := askUsage(http.MethodGet, "by=tags&tag=project%3Dweb", "team", nil)
	if w.Code != 200 || asked == nil || asked.Tag != "project=web" || !slices.Equal(asked.By, []string{"tags"}) || asked.Consumer != "team" {
		t.Fatalf("status %d, read %+v; want 200 and the tag project=web of the consumer by tags: %s", w.Code, asked, w.Body)
	}
	if !strings.Contains(w.Body.String(), `{"tags": "team", "requests": 3`) {
		t.Errorf("got %s, want a row with tags", w.Body)
	}
}

// The forms of a report, each with its type. A file of commas has a name.
func TestUsageFormats(t *testing.T) {
	w, _ := askUsage(http.MethodGet, "from=1d&by=model", "admin", nil)
	var report struct{ Rows []map[string]any }
	if err := json.Unmarshal(w.Body.Bytes(), &report); err != nil || len(report.Rows) != 1 || report.Rows[0]["cost"] != 2.5 || w.Header().Get("Content-Type") != "application/json" {
		t.Errorf("by default it is %q: %s (%v)", w.Header().Get("Content-Type"), w.Body, err)
	}
	w, asked := askUsage(http.MethodGet, "from=2d&to=1d&by=model&format=csv", "admin", nil)
	lines, err := csv.NewReader(w.Body).ReadAll()
	if err != nil || len(lines) != 2 || lines[1][0] != "team" || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/csv") {
		t.Errorf("%q: %q (%v)", w.Header().Get("Content-Type"), lines, err)
	}
	want := `attachment; filename="usage-` + asked.From.Format("20060102T15") + "-" + asked.To.Format("20060102T15") + `.csv"`
	if got := w.Header().Get("Content-Disposition"); got != want {
		t.Errorf("Content-Disposition is %s, want %s", got, want)
	}
	w, _ = askUsage(http.MethodGet, "format=table", "admin", nil)
	if !strings.Contains(w.Body.String(), "2.5000") || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		t.Errorf("%q: %s", w.Header().Get("Content-Type"), w.Body)
	}
}

// What was wrong with a request is said with its mend, and nothing is read.
func TestUsageErrors(t *testing.T) {
	tests := []struct {
		method, query string
		status        int
		says          string
	}{
		{http.MethodPost, "", 405, "GET or HEAD"},
		{http.MethodGet, "from=yesterday", 400, "write a date"},
		{http.MethodGet, "by=team", 400, "take some of consumer, model"},
		{http.MethodGet, "form=7d", 400, "Use from, to, by, consumer, tag, format"},
		{http.MethodGet, "tag=web", 400, "write it as name=value"},
		{http.MethodGet, "format=xlsx", 400, "Use json, csv or table"},
		{http.MethodGet, "from=%zz", 400, "Encode"},
	}
	for _, test := range tests {
		w, asked := askUsage(test.method, test.query, "admin", nil)
		if w.Code != test.status || !strings.Contains(w.Body.String(), test.says) || asked != nil {
			t.Errorf("%s %q: %d %s, read %v; want %d and %q", test.method, test.query, w.Code, w.Body, asked, test.status, test.says)
		}
	}
}

// A ledger that cannot be read is a matter of time; what it says stays here.
func TestUsageUnavailable(t *testing.T) {
	w, _ := askUsage(http.MethodGet, "", "admin", errors.New("secret of the store"))
	if w.Code != 503 || w.Header().Get("Retry-After") != "5" || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("%d, Retry-After %q: %s", w.Code, w.Header().Get("Retry-After"), w.Body)
	}
	w, _ = askUsage(http.MethodGet, "", "admin", usage.ErrTooManyRows)
	if w.Code != 400 || !strings.Contains(w.Body.String(), "shorter time") {
		t.Errorf("%d: %s", w.Code, w.Body)
	}
}

// HEAD tells what GET would, to the length of the answer.
func TestUsageHead(t *testing.T) {
	get, _ := askUsage(http.MethodGet, "from=2h", "admin", nil)
	head, _ := askUsage(http.MethodHead, "from=2h", "admin", nil)
	if head.Code != 200 || head.Header().Get("Content-Length") != get.Header().Get("Content-Length") || head.Header().Get("Content-Length") == "" {
		t.Errorf("HEAD says %d, %v; GET %v", head.Code, head.Header(), get.Header())
	}
}
