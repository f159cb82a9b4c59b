package gateway_test

import (
	"encoding/json"
	"math"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"spillway/shared/usage"
	"spillway/tests/fakes/azureopenai"
)

// checkEnd asserts the invariants: nothing is in flight, every request left
// exactly one record that makes sense, no limit was overdrawn, and no caller's
// key has reached a backend.
func (s *site) checkEnd() {
	s.t.Helper()
	status := s.status()
	for _, d := range status.Deployments {
		if d.InFlight != 0 {
			s.t.Errorf("%s has %d requests in flight after all have ended, want 0", d.ID, d.InFlight)
		}
		if l := d.Tokens; l != nil && (l.Remaining < 0 || l.Remaining > l.Limit) {
			s.t.Errorf("%s has %d of %d tokens left", d.ID, l.Remaining, l.Limit)
		}
	}
	records := s.Records()
	if sent := s.sent.Load(); int64(len(records)) != sent || status.Totals.Requests != sent {
		s.t.Errorf("%d requests left %d records, and %d are in the totals", sent, len(records), status.Totals.Requests)
	}
	seen := map[string]bool{}
	for _, r := range records {
		if seen[r.RequestID] {
			s.t.Errorf("request %s left two records", r.RequestID)
		}
		seen[r.RequestID] = true
		checkRecord(s.t, r)
	}
	for host, backend := range s.hosts {
		checkBackend(s.t, host, backend)
	}
	if s.ptu != nil {
		for window, charged := range s.ptu.Stats()["gpt-4o-ptu"].TokensCharged {
			if charged > 10000 {
				s.t.Errorf("the PTU was charged %d tokens in the minute at %d, over its limit of 10000", charged, window)
			}
		}
	}
}

// checkRecord asserts what every record must say whatever has happened.
func checkRecord(t *testing.T, r usage.Record) {
	t.Helper()
	switch served := r.Backend != ""; {
	case r.RequestID == "" || r.Start.IsZero() || r.Duration < 0 || r.FirstByte > r.Duration || r.Waited > r.Duration:
		t.Errorf("a record without an id or with impossible times: %+v", r)
	case r.Status < 200 || r.Status > 599:
		t.Errorf("a record with the status %d: %+v", r.Status, r)
	case !served && r.Refused == "" && r.Operation != "list_models" && r.Operation != "get_model":
		t.Errorf("a request is either served or refused: %+v", r)
	case served && r.Refused != "" && (r.Tokens.Prompt == 0 || r.Tokens.Completion != 0):
		t.Errorf("a request that was called off has used its prompt at least, or it was served: %+v", r)
	case served && (len(r.Attempts) == 0 || r.Attempts[len(r.Attempts)-1].Deployment != r.Backend+"/"+r.Deployment && r.Spillover != "service"):
		t.Errorf("the last attempt is not the one that served: %+v", r)
	case r.Tokens.Prompt < 0 || r.Tokens.Completion < 0 || r.Tokens.Cached > r.Tokens.Prompt || r.Cost < 0:
		t.Errorf("a record with impossible tokens: %+v", r)
	case len(r.Attempts) == 0 && r.Tokens.Total() != 0:
		t.Errorf("a request that was never sent has used tokens: %+v", r)
	}
}

// clientSecret is part of every client's key in these tests.
const clientSecret = "client-secret"

// checkBackend asserts that a backend has nothing left to do and has seen no
// credential but its own.
func checkBackend(t *testing.T, host string, b *azureopenai.Server) {
	t.Helper()
	for name, stats := range b.Stats() {
		if stats.InFlight != 0 {
			t.Errorf("%s still answers %d requests on %s, want 0", host, stats.InFlight, name)
		}
	}
	for _, r := range b.Requests() {
		if strings.Contains(r.URI, clientSecret) {
			t.Errorf("%s got a client's secret in the URL %s", host, r.URI)
		}
		for name, values := range r.Header {
			if strings.Contains(strings.Join(values, ","), clientSecret) || strings.EqualFold(name, "Cookie") {
				t.Errorf("%s got a client's secret in the header %s: %q", host, name, values)
			}
		}
	}
}

// refusal is an error of ours as a client gets it.
type refusal struct {
	Message string
	Type    string
	Param   *string
	Code    *string
}

// refused asserts an error in OpenAI's shape with this status and code, and
// returns it.
func (s *site) refused(w *httptest.ResponseRecorder, status int, code string) refusal {
	s.t.Helper()
	if w.Code != status {
		s.t.Fatalf("status %d, want %d: %s", w.Code, status, w.Body)
	}
	e := errorOf(s.t, w)
	if got := text(e.Code); got != code {
		s.t.Errorf("the error's code is %q, want %q: %s", got, code, w.Body)
	}
	return e
}

// errorOf reads an error in OpenAI's shape: all four fields are there, and it is
// declared as JSON.
func errorOf(t *testing.T, w *httptest.ResponseRecorder) refusal {
	t.Helper()
	var shape struct {
		Error map[string]json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &shape); err != nil {
		t.Fatalf("the error is not JSON: %v: %q", err, w.Body)
	}
	for _, field := range []string{"message", "type", "param", "code"} {
		if shape.Error[field] == nil {
			t.Errorf("the error lacks %s: %s", field, w.Body)
		}
	}
	var e struct{ Error refusal }
	if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil {
		t.Fatalf("the error's fields have wrong types: %v: %s", err, w.Body)
	}
	if e.Error.Message == "" || e.Error.Type == "" {
		t.Errorf("the error does not say what is wrong: %s", w.Body)
	}
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("the error's Content-Type is %q, want %q", got, "application/json")
	}
	return e.Error
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// retryAfter asserts the waiting time that an answer names: exactly, in
// milliseconds, and rounded up in Retry-After.
func (s *site) retryAfter(w *httptest.ResponseRecorder, want time.Duration) {
	s.t.Helper()
	ms, err := strconv.ParseInt(w.Header().Get("Retry-After-Ms"), 10, 64)
	if err != nil || time.Duration(ms)*time.Millisecond != want.Round(time.Millisecond) {
		s.t.Errorf("retry-after-ms is %q, want %d", w.Header().Get("Retry-After-Ms"), want.Milliseconds())
	}
	if got, want := w.Header().Get("Retry-After"), strconv.Itoa(int(math.Ceil(want.Seconds()))); got != want {
		s.t.Errorf("Retry-After is %q, want %s", got, want)
	}
	if got := w.Header().Get("X-Should-Retry"); got != "" {
		s.t.Errorf("x-should-retry is %q on an answer worth a retry, want %q", got, "")
	}
}

// noRetry asserts that an answer tells clients not to try again.
func (s *site) noRetry(w *httptest.ResponseRecorder) {
	s.t.Helper()
	if got := w.Header().Get("X-Should-Retry"); got != "false" {
		s.t.Errorf("x-should-retry is %q, want false", got)
	}
}
