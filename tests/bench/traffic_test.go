package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"spillway/tests/bench/load"
	openloop "spillway/tests/bench/openloop/seen"
	"spillway/tests/bench/stand"
	"spillway/tests/bench/streams/seen"
	"spillway/tests/bench/tool"
	"spillway/tests/program"
)

func TestPromptIsJSONOfItsSize(t *testing.T) {
	for _, size := range promptSizes {
		body := prompt(size)
		if !json.Valid(body) || len(body) < size || len(body) > size+100 {
			t.Errorf("%d bytes for %d, valid: %v", len(body), size, json.Valid(body))
		}
	}
}

// Streams that ended well but lack events, or have too many, count as errors.
func TestStreamsTurn(t *testing.T) {
	const whole = 2 * (streamEvents + 1)
	for events, want := range map[int64]int64{whole: 0, whole - 3: 3, whole + 1: 1} {
		turn := streamsTurn(seen.Seen{Streams: 2, Events: events, Seconds: 4, Median: 0.1}, time.Second)
		if turn.Errors != want || turn.Requests != events || turn.Generator != time.Second || turn.Median != 0.1 {
			t.Errorf("%d events: got %+v, want %d errors", events, turn, want)
		}
	}
}

// What the open-loop generator has seen becomes a turn with all its times, and errors
// say what they were.
func TestPacedTurn(t *testing.T) {
	good := openloop.Seen{Requests: 100, Seconds: 2, Median: 0.1, P90: 0.2, P99: 0.3, P999: 0.4, Lag: 0.5}
	want := load.Turn{Requests: 100, Connections: 7, Seconds: 2, Generator: time.Second, Median: 0.1, P90: 0.2, P99: 0.3, P999: 0.4, Lag: 0.5}
	if got, err := pacedTurn(good, pace{connections: 7}, time.Second); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	good.Errors, good.Why = 3, "status 429"
	if got, err := pacedTurn(good, pace{}, 0); err == nil || !strings.Contains(err.Error(), "3 errors in 100 requests: status 429") {
		t.Errorf("got %+v, %v; want an error that says what was wrong", got, err)
	}
}

var (
	openloopProgram = program.Builder("spillway/tests/bench/openloop")
	upstreamProgram = program.Builder("spillway/tests/bench/upstream")
)

// A turn of the open-loop generator is a real one: the upstream has got its requests,
// and one that ends instead of measuring is an error with its last words.
func TestPaced(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("its generator runs on Linux only")
	}
	generator, err := openloopProgram()
	if err != nil {
		t.Fatal(err)
	}
	backend, err := upstreamProgram()
	if err != nil {
		t.Fatal(err)
	}
	u, err := stand.StartReading(t.Context(), t.TempDir(), tool.Tool{Path: backend})
	if err != nil {
		t.Fatal(err)
	}
	defer u.Stop()
	tr := new(traffic)
	tr.tools.openloop.Path = generator
	p := pace{rate: 500, connections: 5, long: time.Second, seed: 1}
	turn, err := tr.paced(t.Context(), t.TempDir(), u, stand.Direct(u), p)
	if err != nil || turn.Errors != 0 || turn.Requests == 0 || turn.Median <= 0 || turn.P999 < turn.P90 || turn.Generator <= 0 {
		t.Errorf("got %+v, %v; want requests and their times", turn, err)
	}
	if first := int64(p.connections); turn.Reached != turn.Requests+first {
		t.Errorf("%d requests reached the upstream, want %d and the first of each of %d connections", turn.Reached, turn.Requests, first)
	}
	tr.tools.openloop = tool.Tool{Path: "/bin/false"}
	if turn, err := tr.paced(t.Context(), t.TempDir(), u, stand.Direct(u), p); !errors.Is(err, errNothingSeen) {
		t.Errorf("a generator that ends: got %+v, %v", turn, err)
	}
}

func TestOpenGoals(t *testing.T) {
	good := held{Streams: 10, PerStream: 40 << 10}
	for _, test := range []struct {
		name  string
		round held
		ok    bool
		want  string
		voids int
	}{
		{"reached", good, true, "rr", 0},
		{"too large", held{Streams: 10, PerStream: 40<<10 + 1}, true, "mr", 0},
		{"a goroutine left", held{Streams: 10, Left: 1}, true, "rm", 0},
		{"goroutines are not told", held{Streams: 10, NotTold: "they are not told"}, true, "rv", 1},
		{"a round is missing", good, false, "vv", 0},
	} {
		goals, voids := openGoals(10, []held{good, test.round, test.round}, test.ok)
		if test.round.NotTold != "" {
			goals, voids = openGoals(10, []held{test.round}, test.ok)
		}
		if got := verdicts(goals); got != test.want || len(voids) != test.voids {
			t.Errorf("%s: got %s and %q, want %s and %d voids", test.name, got, voids, test.want, test.voids)
		}
	}
}

// What is left is counted when it does not get less any more, and never below none.
func TestLeft(t *testing.T) {
	counts := []int{90, 40, 12, 9}
	n := 0
	got, err := left(t.Context(), 10, func() (int, error) { n++; return counts[n-1], nil })
	if got != 0 || err != nil || n != 4 {
		t.Errorf("got %d, %v after %d counts; want 0 after 4", got, err, n)
	}
	broken := errors.New("gone")
	if _, err := left(t.Context(), 10, func() (int, error) { return 0, broken }); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
	done, cancel := context.WithCancel(t.Context())
	cancel() // nothing is waited for
	if got, err := left(done, 10, func() (int, error) { return 13, nil }); got != 3 || err != nil {
		t.Errorf("got %d, %v; want 3", got, err)
	}
}

// Memory is flat if its last fifth is that of the second; without errors, and seen
// often enough.
func TestSoakVerdict(t *testing.T) {
	samples := func(last float64) (all []moment) {
		for i := range 100 {
			m := moment{float64(i), 100}
			if i >= 80 {
				m.Resident = last
			}
			all = append(all, m)
		}
		return all
	}
	good := map[string]load.Turn{"requests": {Requests: 10, Seconds: 1}}
	for _, test := range []struct {
		name    string
		samples []moment
		turns   map[string]load.Turn
		want    string
		void    string
	}{
		{"flat", samples(105), good, "r", ""},
		{"growing", samples(106), good, "m", ""},
		{"errors", samples(100), map[string]load.Turn{"requests": {Requests: 10, Errors: 1, Seconds: 1}}, "v", "requests: 1 errors in 10"},
		{"no load", samples(100), map[string]load.Turn{"requests": {}}, "v", "requests: 0 errors in 0"},
		{"too short", samples(100)[:49], good, "v", "the memory was seen 49 times only"},
	} {
		r := soakResult(time.Minute, test.samples, test.turns)
		if got := verdicts(r.Goals); got != test.want || !strings.Contains(strings.Join(r.Voids, "\n"), test.void) || (test.void == "") != (len(r.Voids) == 0) {
			t.Errorf("%s: got %s and %q, want %s and %q", test.name, got, r.Voids, test.want, test.void)
		}
	}
}

// Profiles are asked for with the administrator's key while the load runs.
func TestProfiles(t *testing.T) {
	if testing.Short() {
		t.Skip("it may install a Debian package")
	}
	generator, err := tool.Wrk(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	busy := make(chan struct{}, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPost:
			select {
			case busy <- struct{}{}:
			default:
			}
		case r.Header.Get("Authorization") != "Bearer "+stand.AdminKey:
			w.WriteHeader(http.StatusUnauthorized)
		default:
			<-busy
			_, _ = io.WriteString(w, r.URL.Path+"?"+r.URL.RawQuery)
		}
	}))
	defer server.Close()
	folder := t.TempDir()
	tr := &traffic{profiles: folder}
	tr.tools.wrk = generator
	contender := &stand.Contender{Address: strings.TrimPrefix(server.URL, "http://")}
	rows, err := profiling{tr, time.Second}.under(t.Context(), contender, "short", stand.Short)
	if err != nil || len(rows) != len(profiles) {
		t.Fatalf("got %q, %v; want %d files", rows, err, len(profiles))
	}
	content, err := os.ReadFile(filepath.Join(folder, "cpu-short.pprof"))
	if want := "/spillway/debug/pprof/profile?seconds=10"; err != nil || string(content) != want {
		t.Errorf("the processor's profile is %q, %v; want %q", content, err, want)
	}
}
