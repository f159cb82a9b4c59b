package main

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"spillway/functions/console"
	"spillway/functions/console/activity"
)

const statusKey = "an-admin-key"

// statusOf is a state with something of everything.
func statusOf() console.Status {
	now := time.Date(2026, 8, 1, 14, 0, 0, 0, time.UTC)
	until := now.Add(90 * time.Second)
	return console.Status{
		Version: "v1.2.3", Instance: "one", Now: now, Started: now.Add(-3 * time.Hour), Instances: 3,
		Store: console.Store{Kind: "tables", Degraded: true}, Totals: console.Totals{Requests: 12345, Prompt: 1_000_000},
		Deployments: []console.Deployment{
			{ID: "ptu/gpt-4o", Breaker: "closed", Fill: 0.75, Tokens: &console.Limit{Limit: 10000, Remaining: 2500}, Counts: activity.Counts{Requests: 999_600}, Latency: activity.Percentiles{P50: 412, P95: 1840}},
			{ID: "payg/" + strings.Repeat("long", 20), Breaker: "open", OpenUntil: &until, Fill: activity.Share(math.NaN())},
			{ID: "evil\x1b[2J\u202e\u009b1m", Breaker: "closed", ThrottledUntil: &until, Fill: activity.Share(math.NaN())},
		},
		Consumers: console.Consumers{Seen: 40, MostActive: []console.Consumer{{Name: "team-search", Usage: activity.Usage{Requests: 7}, Limits: []console.ConsumerLimit{
			{Name: "tokens/minute", Limit: console.Limit{Limit: 100, Remaining: 80}},
			{Name: "tokens/month", Limit: console.Limit{Limit: 100, Remaining: 5}},
		}}}},
	}
}

// gatewayOf is a gateway that answers with a status and a body, and counts who asks.
func gatewayOf(t *testing.T, status int, body any) (address string, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		if r.Header.Get("Api-Key") != statusKey || r.URL.Path != "/behind/spillway/status" {
			t.Errorf("%s is asked with the key %q, want %s, %q", r.URL.Path, r.Header.Get("Api-Key"), "/behind/spillway/status", statusKey)
		}
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body)
	}))
	t.Cleanup(server.Close)
	return server.URL + "/behind", asked
}

func askStatus(address string, args ...string) outcome {
	return spillway(map[string]string{adminKeyVariable: statusKey}, append([]string{"status", "--url", address}, args...)...)
}

// The state is drawn in lines of at most 100 columns, without anything that a terminal
// would obey where it is none.
func TestStatusAsText(t *testing.T) {
	address, _ := gatewayOf(t, 200, statusOf())
	got := askStatus(address)
	if got.code != 0 || got.err != "" {
		t.Fatalf("exit code %d, want 0, and nothing on stderr: %s", got.code, got.err)
	}
	for _, want := range []string{
		"one  v1.2.3, up 3 h 0 min, 3 instances", "store   down", "12,345", "1,000,000 tokens",
		"#########---  75% 2,500", "in service", "1M", "412 ms", "1.8 s", "open, 1 min", "throttled, 1 min",
		"team-search", "5% tokens/month", "and 25 more",
	} {
		if !strings.Contains(got.out, want) {
			t.Errorf("%q is not in\n%s", want, got.out)
		}
	}
	for line := range strings.Lines(got.out) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > 100 {
			t.Errorf("a line has %d columns, want at most 100: %s", n, line)
		}
	}
	if strings.ContainsAny(got.out, "\x1b\u202e\u009b") {
		t.Errorf("a terminal would obey %q", got.out)
	}
}

// The JSON is what the gateway sent, also of fields that this version does not know,
// and its texts cannot move a cursor.
func TestStatusAsJSON(t *testing.T) {
	address, _ := gatewayOf(t, 200, map[string]any{"instance": "one\u009b\u202e", "new": 1})
	got := askStatus(address, "--format", "json")
	var read struct {
		Instance string
		New      int
	}
	if err := json.Unmarshal([]byte(got.out), &read); err != nil || read.New != 1 || read.Instance != "one\u009b\u202e" {
		t.Errorf("read %+v, want New 1, Instance %q, %v of %s", read, "one\u009b\u202e", err, got.out)
	}
	if strings.ContainsAny(got.out, "\u009b\u202e") {
		t.Errorf("a terminal would obey %q", got.out)
	}
}

// What is wrong is said with its mend, on stderr, without the key.
func TestStatusFailures(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	serving := func(status int, body any) string {
		address, _ := gatewayOf(t, status, body)
		return address
	}
	tests := []struct {
		name    string
		address string
		env     map[string]string
		args    []string
		code    int
		want    string
	}{
		{"no key", serving(200, statusOf()), map[string]string{adminKeyVariable: ""}, nil, 2, "spillway keys new"},
		{"a key with a line end", serving(200, statusOf()), map[string]string{adminKeyVariable: "a key\n"}, nil, 2, "the key alone"},
		{"no address", "gateway.contoso.com", nil, nil, 2, "https://gateway.contoso.com"},
		{"an address with a key", "http://key@gateway.contoso.com", nil, nil, 2, "no address"},
		{"another form", serving(200, statusOf()), nil, []string{"--format", "xml"}, 2, "text or json"},
		{"an argument", serving(200, statusOf()), nil, []string{"x"}, 2, "unexpected"},
		{"nobody there", gone.URL, nil, nil, 1, "is the gateway running"},
		{"a wrong key", serving(401, nil), nil, nil, 1, "admin.keys"},
		{"a consumer's key", serving(403, nil), nil, nil, 1, "is a consumer's"},
		{"another address", serving(302, nil), nil, nil, 1, "the address that it sends to"},
		{"an older version", serving(400, nil), nil, nil, 1, "of this version"},
		{"a fault", serving(502, nil), nil, nil, 1, "its log says why"},
		{"another service", serving(200, "hello"), nil, nil, 1, "no gateway"},
		{"another service's JSON", serving(200, map[string]string{"status": "ok"}), nil, []string{"--watch"}, 1, "no gateway"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			env := map[string]string{adminKeyVariable: statusKey}
			for name, value := range test.env {
				env[name] = value
			}
			got := spillway(env, append([]string{"status", "--url", test.address}, test.args...)...)
			if got.code != test.code || !strings.Contains(got.err, test.want) {
				t.Errorf("exit code %d, want %d: %q, want %q in it", got.code, test.code, got.err, test.want)
			}
			if got.out != "" || strings.Contains(got.err, statusKey) {
				t.Errorf("it says %q and %q", got.out, got.err)
			}
		})
	}
}

// A redirect is not followed: it might lead the key to somebody else.
func TestStatusKeepsItsKey(t *testing.T) {
	address, asked := gatewayOf(t, 307, nil)
	askStatus(address)
	if asked.Load() != 1 {
		t.Errorf("%d calls, want 1", asked.Load())
	}
}

// scripted answers one call after the other.
type scripted []func() (*http.Response, error)

func (s *scripted) RoundTrip(*http.Request) (*http.Response, error) {
	next := (*s)[0]
	*s = (*s)[1:]
	return next()
}

// Watching goes on while the gateway is away, tells so above what it showed last, and
// ends where asking again is in vain.
func TestStatusWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answering := func(status int) func() (*http.Response, error) {
			return func() (*http.Response, error) {
				w := httptest.NewRecorder()
				w.WriteHeader(status)
				_ = json.NewEncoder(w).Encode(statusOf())
				return w.Result(), nil
			}
		}
		away := func() (*http.Response, error) { return nil, http.ErrServerClosed }
		calls := scripted{answering(200), away, answering(200), answering(401)}
		var out bytes.Buffer
		std := streams{&out, &out, func(string) (string, bool) { return statusKey, true }}
		asked, err := newInquiry("https://gateway.contoso.com", std)
		if err != nil {
			t.Fatal(err)
		}
		asked.client.Transport = &calls
		began := time.Now()
		show := &statusScreen{out: &out, inPlace: true}
		err = watchStatus(t.Context(), asked, show, watchEvery)
		if err == nil || !strings.Contains(err.Error(), "does not know the key") {
			t.Errorf("it ends with %v", err)
		}
		if took := time.Since(began); took != 3*watchEvery || len(calls) != 0 {
			t.Errorf("it ends after %s, with %d calls left, want %s, 0", took, len(calls), 3*watchEvery)
		}
		text := out.String()
		if n := strings.Count(text, goHome); n != 3 {
			t.Errorf("%d frames, want 3", n)
		}
		if n := strings.Count(text, "no answer: "); n != 1 {
			t.Errorf("%d frames tell that there is no answer, want 1", n)
		}
		if !strings.HasPrefix(text, enterScreen) || !strings.HasSuffix(text, leaveScreen) {
			t.Errorf("the terminal is not left as it was: %q", text)
		}
	})
}

// Counts are as short as three digits allow.
func TestBrief(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 9999: "9,999", 10_000: "10k", 12_345: "12.3k", 999_400: "999k", 999_600: "1M", 1_234_567: "1.23M", 1 << 62: "4.61E"} {
		if got := brief(n); got != want {
			t.Errorf("brief(%d) = %q, want %q", n, got, want)
		}
	}
}
