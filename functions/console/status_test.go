package console_test

import (
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"spillway/functions/console"
	"spillway/functions/console/activity"
)

// statusSince asks for the status with a query, and returns the answer and the moment
// that the history was asked from.
func statusSince(query string) (w *httptest.ResponseRecorder, since time.Time) {
	c := console.New(console.Options{
		Admin: func(*http.Request) (string, bool) { return "on-call", true },
		Status: func(moment time.Time) console.Status {
			since = moment
			return console.Status{Instance: "one", Deployments: []console.Deployment{{Fill: activity.Share(math.NaN())}}}
		},
	})
	r := httptest.NewRequest(http.MethodGet, "/spillway/status", nil)
	r.URL.RawQuery = query
	w = httptest.NewRecorder()
	c.ServeHTTP(w, r)
	return w, since
}

// The history begins where the question says; what is no moment is refused with the
// mend.
func TestSince(t *testing.T) {
	for query, want := range map[string]int64{"": 0, "since=0": 0, "since=1785600000": 1785600000} {
		if w, since := statusSince(query); w.Code != 200 || since.Unix() != want {
			t.Errorf("%q: status %d since %d, want 200 since %d", query, w.Code, since.Unix(), want)
		}
	}
	for _, query := range []string{"since=", "since=-1", "since=x", "since=1.5", "since=9223372036854775807", "since=1&since=2", "since=1&more=2", "until=1", "%zz"} {
		if w, _ := statusSince(query); w.Code != 400 || !strings.Contains(w.Body.String(), "since 1970") {
			t.Errorf("%q: status %d, want 400: %s", query, w.Code, w.Body)
		}
	}
}

// What is not known is null, not a number that means something else.
func TestStatusWithoutLimits(t *testing.T) {
	w, _ := statusSince("")
	var read struct{ Deployments []map[string]any }
	if err := json.Unmarshal(w.Body.Bytes(), &read); err != nil {
		t.Fatal(err)
	}
	if fill, ok := read.Deployments[0]["fill"]; !ok || fill != nil {
		t.Errorf("without a limit the fill is %v, want null", fill)
	}
}

// FuzzSince: whatever the query is, it is answered or refused, and the moment can be
// calculated with.
func FuzzSince(f *testing.F) {
	for _, query := range []string{"", "since=1785600000", "since=-1", "since=%00", "since=1&since=2", "a;b", "since=99999999999999999999"} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		w, since := statusSince(query)
		if w.Code != 200 && w.Code != 400 {
			t.Errorf("%q: status %d", query, w.Code)
		}
		if w.Code == 200 && (since.Unix() < 0 || since.Unix() > 1<<40) {
			t.Errorf("%q: since %d", query, since.Unix())
		}
		if _, err := url.ParseQuery(query); err != nil && w.Code == 200 {
			t.Errorf("%q is no query, and is answered", query)
		}
	})
}
