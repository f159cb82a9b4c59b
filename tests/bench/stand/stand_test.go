package stand

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"spillway/shared/config"
	"spillway/tests/bench/load"
	"spillway/tests/bench/tool"
	"spillway/tests/bench/wrk"
	"spillway/tests/program"
)

func TestMain(m *testing.M) { program.Main(m) }

var (
	upstreamProgram = program.Builder("spillway/tests/bench/upstream")
	proxyProgram    = program.Builder("spillway/tests/bench/plainproxy")
)

// built is a program of the benchmark.
func built(t *testing.T, build func() (string, error)) tool.Tool {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return tool.Tool{Path: path}
}

// The configuration of each section is one that Spillway takes.
func TestConfigurationsAreValid(t *testing.T) {
	u := &Upstream{Address: "127.0.0.1:1234", Limited: "127.0.0.1:1235"}
	for name, s := range map[string]Settings{
		"default": {}, "tables": {Connection: "UseDevelopmentStorage=true"}, "backends": {Backends: 100}, "consumers": {Consumers: 1000}, "limited": {Limited: true},
	} {
		cfg, err := config.Parse("gateway.yaml", []byte(s.configuration(u)), nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if want := max(s.Consumers, 10); len(cfg.Consumers) != want || len(Keys(want)) != want {
			t.Errorf("%s: %d consumers and %d keys, want %d", name, len(cfg.Consumers), len(Keys(want)), want)
		}
	}
}

func TestParseCount(t *testing.T) {
	const status = "Active connections: 34 \nserver accepts handled requests\n 35 35 135911 \nReading: 0 Writing: 1 Waiting: 33 \n"
	for text, want := range map[string]int64{"7\n": 7, status: 135911} {
		if got, err := parseCount(text); err != nil || got != want {
			t.Errorf("%q: got %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "\n", "what\n", "-1\n", "1\n2\n\n4\n"} {
		if got, err := parseCount(text); err == nil {
			t.Errorf("%q is taken for %d", text, got)
		}
	}
}

func FuzzParseCount(f *testing.F) {
	f.Add("7\n")
	f.Add("a\nb\n 1 2 3\n")
	f.Fuzz(func(t *testing.T, text string) {
		if n, err := parseCount(text); err == nil && n < 0 {
			t.Errorf("%q gives %d", text, n)
		}
	})
}

// A peer that ends instead of starting is an error that shows its last words.
func TestPeerThatDoesNotStart(t *testing.T) {
	u, err := StartReading(t.Context(), t.TempDir(), built(t, upstreamProgram))
	if err != nil {
		t.Fatal(err)
	}
	defer u.Stop()
	ends := tool.Tool{Path: "sh", Args: []string{"-c", "echo my last words; exit 1"}}
	if _, err := StartSpillway(t.Context(), t.TempDir(), ends, u, Settings{}); err == nil || !strings.Contains(err.Error(), "has ended: my last words") {
		t.Errorf("a program that ends: %v", err)
	}
	if _, err := StartSpillway(t.Context(), t.TempDir(), tool.Tool{Path: "/no/such/program"}, u, Settings{}); err == nil || !strings.Contains(err.Error(), "does not start") {
		t.Errorf("a program that is not there: %v", err)
	}
}

// A turn knows what was used and what has reached the upstream; once that is gone, it
// is void by its errors.
func TestTurnOfARealProxy(t *testing.T) {
	if testing.Short() {
		t.Skip("it may install a Debian package")
	}
	generator, err := tool.Wrk(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	u, err := StartReading(t.Context(), t.TempDir(), built(t, upstreamProgram))
	if err != nil {
		t.Fatal(err)
	}
	defer u.Stop()
	proxy, err := StartReverseProxy(t.Context(), t.TempDir(), built(t, proxyProgram), u)
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Stop()
	l := wrk.Load{Body: Short, Connections: 2, For: time.Second}
	turn, err := u.Requests(t.Context(), proxy, generator, l)
	if err != nil || turn.Errors > 0 || turn.Requests == 0 || turn.Contender <= 0 || turn.Generator <= 0 || turn.Seconds <= 0 {
		t.Errorf("got %+v, %v; want requests and what they cost", turn, err)
	}
	if under := int64(l.Connections); turn.Reached < turn.Requests || turn.Reached > turn.Requests+under {
		t.Errorf("%d requests reached the upstream for %d", turn.Reached, turn.Requests)
	}
	other, err := StartReading(t.Context(), t.TempDir(), built(t, upstreamProgram))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Stop()
	u.Stop()
	turn, err = other.Requests(t.Context(), proxy, generator, l)
	if err != nil || !strings.Contains(strings.Join(turn.Voids(load.Rules{}), "\n"), "errors in") {
		t.Errorf("got %+v, %v; want one that is void by its errors", turn, err)
	}
}

// The cheapest upstream counts its requests, and refuses some of those on its limited
// side.
func TestStaticUpstream(t *testing.T) {
	if testing.Short() {
		t.Skip("it may install a Debian package")
	}
	nginx, err := tool.Nginx(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const files = 1024
	u, err := StartStatic(t.Context(), t.TempDir(), nginx, files)
	if err != nil {
		t.Fatal(err)
	}
	defer u.Stop()
	before, err := u.Count(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const requests = 1000
	refused := 0
	for range requests {
		answer, err := http.Post("http://"+u.Limited+path, "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode == http.StatusTooManyRequests && answer.Header.Get("Retry-After-Ms") == "1" {
			refused++
		}
	}
	if refused < requests*3/100 || refused > requests*7/100 {
		t.Errorf("%d of %d requests were refused, want about 5 %%", refused, requests)
	}
	if after, err := u.Count(t.Context()); err != nil || after-before-u.extra != requests {
		t.Errorf("%d requests were counted, %v; want %d", after-before-u.extra, err, requests)
	}
	if err := ask(t.Context(), u.URL(), header(), Short); err != nil {
		t.Error(err)
	}
}

// The goroutines are those of the metrics, or else of the profile.
func TestGoroutines(t *testing.T) {
	for _, test := range []struct {
		name  string
		texts map[string]string
		want  int // -1: they are not told
	}{
		{"metrics", map[string]string{"/spillway/metrics": "# TYPE go_goroutines gauge\ngo_goroutines 42\n"}, 42},
		{"profile", map[string]string{"/spillway/metrics": "x 1\n", "/spillway/debug/pprof/goroutine": "goroutine profile: total 7\n"}, 7},
		{"neither", nil, -1},
		{"nonsense", map[string]string{"/spillway/metrics": "go_goroutines many\n"}, -1},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			text, ok := test.texts[r.URL.Path]
			if !ok || r.Header.Get("Authorization") != "Bearer "+AdminKey {
				w.WriteHeader(http.StatusNotFound)
			}
			_, _ = w.Write([]byte(text))
		}))
		c := &Contender{Address: strings.TrimPrefix(server.URL, "http://")}
		got, err := c.Goroutines(t.Context())
		if err != nil {
			got = -1
		}
		if got != test.want {
			t.Errorf("%s: got %d, %v; want %d", test.name, got, err, test.want)
		}
		server.Close()
	}
}
