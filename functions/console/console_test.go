package console_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"sync"
	"testing"
	"time"

	"spillway/functions/console"
	"spillway/shared/openai"
	"spillway/shared/usage"
)

// call sends a request to a console whose admin is who says so in a header.
func call(t *testing.T, method, path, admin string) *httptest.ResponseRecorder {
	t.Helper()
	c := console.New(console.Options{
		Admin: func(r *http.Request) (string, bool) { return "on-call", r.Header.Get("Admin") == "yes" },
		Consumer: func(_ context.Context, r *http.Request) (string, *openai.Error) {
			if r.Header.Get("Admin") == "a consumer" {
				return "team", nil
			}
			return "", openai.Unauthorized()
		},
		Ready: func() bool { return admin != "not ready" },
		Status: func(time.Time) console.Status {
			return console.Status{
				Version: "v1", Instance: "one", Now: time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
				Deployments: []console.Deployment{{ID: "ptu/gpt-4o", Breaker: "closed", Tokens: &console.Limit{Limit: 10, Remaining: 4}}},
			}
		},
	})
	r := httptest.NewRequest(method, path, nil)
	r.Header.Set("Admin", admin)
	w := httptest.NewRecorder()
	c.ServeHTTP(w, r)
	return w
}

// Anybody may ask whether the process is alive and ready, and nobody but an admin
// anything else.
func TestWhoMaySeeWhat(t *testing.T) {
	tests := []struct {
		path, admin string
		status      int
	}{
		{"/spillway/healthz", "no", 200},
		{"/spillway/healthz", "yes", 200},
		{"/spillway/readyz", "no", 200},
		{"/spillway/readyz", "not ready", 503},
		{"/spillway/healthz", "not ready", 200},
		{"/spillway/status", "no", 401},
		{"/spillway/status", "", 401},
		{"/spillway/status", "a consumer", 403},
		{"/spillway/status", "yes", 200},
		{"/spillway/", "no", 200},
		{"/spillway", "no", 307},
		{"/spillway/status/", "yes", 404},
		{"/spillway/STATUS", "yes", 404},
		{"/spillway/other", "no", 404},
	}
	for _, test := range tests {
		t.Run(test.path+" admin "+test.admin, func(t *testing.T) {
			w := call(t, http.MethodGet, test.path, test.admin)
			if w.Code != test.status {
				t.Errorf("status %d, want %d: %s", w.Code, test.status, w.Body)
			}
			if w.Code < 400 || w.Code == 503 {
				return
			}
			var body struct {
				Error struct{ Message, Type string }
			}
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || body.Error.Message == "" || body.Error.Type == "" {
				t.Errorf("the error has not the API's shape: %s", w.Body)
			}
		})
	}
}

// The status is JSON that no cache may keep. What does not apply is absent.
func TestStatus(t *testing.T) {
	w := call(t, http.MethodGet, "/spillway/status", "yes")
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type is %q, want %q", got, "application/json")
	}
	if got := w.Header().Get("Cache-Control"); got != "no-store" {
		t.Errorf("Cache-Control is %q, want %q", got, "no-store")
	}
	var status map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &status); err != nil {
		t.Fatal(err)
	}
	deployment := status["deployments"].([]any)[0].(map[string]any)
	if limit := deployment["tokens"].(map[string]any); limit["limit"] != 10.0 || limit["remaining"] != 4.0 {
		t.Errorf("the limit is %v", limit)
	}
	for _, absent := range []string{"requests", "openUntil", "throttledUntil"} {
		if _, ok := deployment[absent]; ok {
			t.Errorf("%s is shown and does not apply", absent)
		}
	}
}

// Each request is counted once, under what became of it.
func TestTotals(t *testing.T) {
	tests := []struct {
		name   string
		record usage.Record
		want   console.Totals
	}{
		{"served", usage.Record{Backend: "ptu", Status: 200, Tokens: usage.Tokens{Prompt: 8, Completion: 20}, Attempts: make([]usage.Attempt, 1)},
			console.Totals{Requests: 1, Served: 1, Attempts: 1, Prompt: 8, Completion: 20}},
		{"spilled", usage.Record{Backend: "payg", Status: 200, Spillover: "quota", Attempts: make([]usage.Attempt, 2)},
			console.Totals{Requests: 1, Served: 1, Spilled: 1, Attempts: 2}},
		{"the client's fault, as a backend says", usage.Record{Backend: "ptu", Status: 400, Attempts: make([]usage.Attempt, 1)},
			console.Totals{Requests: 1, Served: 1, Attempts: 1}},
		{"refused", usage.Record{Status: 429}, console.Totals{Requests: 1, RateLimited: 1}},
		{"not let in", usage.Record{Status: 401}, console.Totals{Requests: 1}},
		{"broken", usage.Record{Status: 503, Attempts: make([]usage.Attempt, 3)}, console.Totals{Requests: 1, Failed: 1, Attempts: 3}},
		{"left", usage.Record{Status: 499}, console.Totals{Requests: 1, ClientGone: 1}},
		{"left in a stream", usage.Record{Backend: "ptu", Status: 499, Tokens: usage.Tokens{Prompt: 8, Completion: 3}, Attempts: make([]usage.Attempt, 1)},
			console.Totals{Requests: 1, Served: 1, ClientGone: 1, Attempts: 1, Prompt: 8, Completion: 3}},
	}
	var all console.Counter
	var sum console.Totals
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var one console.Counter
			one.Add(&test.record)
			if got := one.Totals(); got != test.want {
				t.Errorf("counted %+v, want %+v", got, test.want)
			}
		})
		all.Add(&test.record)
		into := reflect.ValueOf(&sum).Elem()
		for i := range into.NumField() {
			into.Field(i).SetInt(into.Field(i).Int() + reflect.ValueOf(test.want).Field(i).Int())
		}
	}
	if got := all.Totals(); got != sum {
		t.Errorf("together they are %+v, want %+v", got, sum)
	}
}

// Requests end at the same time, and none is lost.
func TestTotalsOfParallelRequests(t *testing.T) {
	var c console.Counter
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				c.Add(&usage.Record{Backend: "ptu", Status: 200, Attempts: make([]usage.Attempt, 1)})
			}
		})
	}
	all.Wait()
	want := console.Totals{Requests: 8000, Served: 8000, Attempts: 8000}
	if got := c.Totals(); got != want {
		t.Errorf("counted %+v, want %+v", got, want)
	}
}
