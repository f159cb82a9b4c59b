package wrk

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"spillway/tests/bench/tool"
)

func TestParse(t *testing.T) {
	got, err := parse("Running 1s test\n\nfigures {\"requests\":200,\"errors\":3,\"duration\":2000000,\"p50\":1500,\"p99\":9000}\nmore\n")
	want := Result{Requests: 200, Errors: 3, Seconds: 2, Median: 0.0015, P99: 0.009}
	if err != nil || got != want || got.Rate() != 100 {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	for _, out := range []string{"", "unable to connect\n", "\nfigures {}\n", "\nfigures what\n", "\nfigures {\"requests\":-1,\"duration\":1}\n"} {
		if got, err := parse(out); !errors.Is(err, errNoFigures) {
			t.Errorf("%q: got %+v, %v", out, got, err)
		}
	}
}

// Every request has the body and the headers, the keys take turns, and a status from
// 400 on is an error.
func TestRun(t *testing.T) {
	if testing.Short() {
		t.Skip("it may install a Debian package")
	}
	tool, err := tool.Wrk(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const body = "a body\nof two lines"
	var mu sync.Mutex
	keys := make(map[string]int)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content, _ := io.ReadAll(r.Body)
		key := r.Header.Get("Authorization")
		mu.Lock()
		keys[key]++
		mu.Unlock()
		if string(content) != body || r.Method != http.MethodPost || r.URL.Path != "/path" || r.Header.Get("X-Test") != `"quoted"` {
			w.WriteHeader(http.StatusTeapot)
		}
		if key == "Bearer wrong" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer server.Close()
	// taken are the keys of a run. A request may still be served when the run is over.
	taken := func() map[string]int {
		mu.Lock()
		defer mu.Unlock()
		run := keys
		keys = make(map[string]int)
		return run
	}
	load := Load{URL: server.URL + "/path", Header: map[string]string{"X-Test": `"quoted"`}, Body: []byte(body), Keys: []string{"one", "two"}, Connections: 2, For: time.Second}
	good, err := Run(t.Context(), tool, load)
	if err != nil || good.Requests == 0 || good.Errors > 0 || good.Processor <= 0 {
		t.Errorf("got %+v, %v; want requests without errors", good, err)
	}
	if keys := taken(); keys["Bearer one"] == 0 || keys["Bearer two"] == 0 || len(keys) != 2 {
		t.Errorf("keys: %v; want both", keys)
	}
	load.Keys, load.First = slices.Repeat([]string{"before"}, 1_000_000), 999_998 // more than are sent in a second
	load.Keys[999_998], load.Keys[999_999] = "first", "second"
	got, err := Run(t.Context(), tool, load)
	if keys := taken(); err != nil || keys["Bearer first"] != 1 || keys["Bearer second"] != 1 || keys["Bearer before"] == 0 {
		t.Errorf("from the last but one on: %+v, %v, keys %v", got, err, keys)
	}
	load.Keys, load.Pause = []string{"wrong"}, 100*time.Millisecond
	bad, err := Run(t.Context(), tool, load)
	if err != nil || bad.Errors == 0 || bad.Errors != bad.Requests {
		t.Errorf("got %+v, %v; want nothing but errors", bad, err)
	}
	if bad.Requests >= good.Requests {
		t.Errorf("%d requests with pauses, %d without", bad.Requests, good.Requests)
	}
}

// A server that is not there gives errors or no figures, never a result without errors.
func TestNobodyListens(t *testing.T) {
	if testing.Short() {
		t.Skip("it may install a Debian package")
	}
	tool, err := tool.Wrk(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.NotFoundHandler())
	url := server.URL
	server.Close()
	if got, err := Run(t.Context(), tool, Load{URL: url, Connections: 1, For: time.Second}); err == nil && got.Errors == 0 {
		t.Errorf("got %+v", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("\nfigures {\"requests\":200,\"errors\":3,\"duration\":2000000,\"p50\":1500,\"p99\":9000}\n")
	f.Add("figures")
	f.Fuzz(func(t *testing.T, out string) {
		if r, err := parse(out); err == nil && (r.Requests < 0 || r.Errors < 0 || r.Seconds <= 0) {
			t.Errorf("%q gives %+v", out, r)
		}
	})
}
