package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"spillway/tests/bench/openloop/arrivals"
	"spillway/tests/bench/openloop/seen"
	"spillway/tests/bench/post"
)

// planFor asks a server with so many requests that are due at once.
func planFor(t *testing.T, server *httptest.Server, requests, connections int) plan {
	t.Helper()
	request, err := post.New(server.URL, nil, []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	return plan{Request: request, connections: connections, due: make([]time.Duration, requests), patience: 10 * time.Second}
}

// driven carries out a plan on a goroutine of its own, which keeps its thread.
func driven(p plan) (got seen.Seen, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		got, err = drive(p)
	}()
	<-done
	return got, err
}

// Each connection asks once before the load begins; every request has the body, and
// its answer is waited for.
func TestDrive(t *testing.T) {
	var requests atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if body, err := io.ReadAll(r.Body); err != nil || string(body) != "{}" {
			t.Errorf("the body is %q, %v", body, err)
		}
		fmt.Fprint(w, "an answer")
	}))
	defer server.Close()
	p := planFor(t, server, 0, 3)
	p.due = arrivals.Poisson(1000, 200*time.Millisecond, 1)
	got, err := driven(p)
	if err != nil || got.Errors != 0 || got.Requests != int64(len(p.due)) || got.Median <= 0 || got.P999 < got.Median || got.Seconds < p.due[len(p.due)-1].Seconds() {
		t.Errorf("got %+v, %v; want %d answers after %v at the earliest", got, err, len(p.due), p.due[len(p.due)-1])
	}
	if n := requests.Load(); n != int64(len(p.due)+p.connections) {
		t.Errorf("the server got %d requests, want %d and one for each of %d connections", n, len(p.due), p.connections)
	}
}

// Three requests are due at once on one connection, and the server takes its time for
// each: the times of the second and the third count from when they were due.
func TestWaitingForAConnectionCounts(t *testing.T) {
	const each = 50 * time.Millisecond
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-time.After(each)
		fmt.Fprint(w, "an answer")
	}))
	defer server.Close()
	got, err := driven(planFor(t, server, 3, 1))
	if err != nil || got.Errors != 0 || got.Waited != 2 {
		t.Fatalf("got %+v, %v; want two that have waited", got, err)
	}
	if got.Median < 2*each.Seconds() || got.P999 < 3*each.Seconds() {
		t.Errorf("the second took %v s and the third %v s, want at least %v and %v", got.Median, got.P999, 2*each, 3*each)
	}
}

// What is no answer with status 200 is an error that says why. The first request of
// each connection is answered well.
func TestDriveSeesErrors(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer func(w http.ResponseWriter)
		seen   int64 // answers
		why    string
	}{
		{"refused", func(w http.ResponseWriter) { w.WriteHeader(http.StatusTooManyRequests) }, 3, "status 429"},
		{"cut", func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, 0, "the connection was closed"},
		{"without a length", func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }, 0, "no Content-Length"},
		{"too large", func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "100000")
			_, _ = w.Write(make([]byte, 100_000)) // it is not read to the end
		}, 0, "the answer is too large"},
	} {
		var requests atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if requests.Add(1) > 1 {
				test.answer(w)
			}
		}))
		got, err := driven(planFor(t, server, 3, 1))
		if err != nil || got.Requests != test.seen || got.Errors != 3 || !strings.Contains(got.Why, test.why) {
			t.Errorf("%s: got %+v, %v; want %d answers, 3 errors (%s)", test.name, got, err, test.seen, test.why)
		}
		server.Close()
	}
}

// A server that never answers does not hold the generator up for ever.
func TestPatienceEnds(t *testing.T) {
	var requests atomic.Int64
	gone := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		if requests.Add(1) > 1 {
			<-gone
		}
	}))
	defer server.Close()
	defer close(gone)
	p := planFor(t, server, 1, 1)
	p.patience = 50 * time.Millisecond
	got, err := driven(p)
	if err != nil || got.Errors != 1 || got.Requests != 0 || !strings.Contains(got.Why, "no answer") {
		t.Errorf("got %+v, %v; want one that is not answered", got, err)
	}
}

// Where the first requests are not answered well, nothing is measured.
func TestNothingBeginsWithErrors(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	p := planFor(t, server, 1, 1)
	if got, err := driven(p); err == nil || !strings.Contains(err.Error(), "status 404") {
		t.Errorf("got %+v, %v; want an error", got, err)
	}
	server.Close()
	if got, err := driven(p); err == nil {
		t.Errorf("nobody listens: got %+v", got)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		if c, err := listener.Accept(); err == nil {
			_ = c.Close()
		}
	}()
	p.Address = listener.Addr().String()
	if got, err := driven(p); err == nil {
		t.Errorf("somebody hangs up: got %+v", got)
	}
}
