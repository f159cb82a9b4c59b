package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"spillway/tests/bench/post"
)

// Each stream is read to its end, and one that is refused or cut is an error.
func TestDrive(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer func(w http.ResponseWriter)
		errors int
		why    string
		events int64
	}{
		{"whole streams", func(w http.ResponseWriter) { fmt.Fprint(w, "data: 1\n\ndata: 2\n\ndata: [DONE]\n\n") }, 0, "", 6},
		{"refused", func(w http.ResponseWriter) { w.WriteHeader(http.StatusTooManyRequests) }, 3, "429", 0},
		{"cut", func(w http.ResponseWriter) { fmt.Fprint(w, "data: 1\n\n") }, 3, "without [DONE]", 3},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if body, err := io.ReadAll(r.Body); err != nil || string(body) != "{}" {
				t.Errorf("the body is %q, %v", body, err)
			}
			test.answer(w)
		}))
		request, err := post.New(server.URL, nil, []byte("{}"))
		if err != nil {
			t.Fatal(err)
		}
		g := generator{Request: request, count: 3, over: time.Millisecond, opened: make(chan struct{})}
		got := g.drive()
		<-g.opened // also when none has an event
		if got.Streams != 3 || got.Errors != test.errors || !strings.Contains(got.Why, test.why) || got.Events != test.events {
			t.Errorf("%s: got %+v, want %d errors (%s) and %d events", test.name, got, test.errors, test.why, test.events)
		}
		server.Close()
	}
}
