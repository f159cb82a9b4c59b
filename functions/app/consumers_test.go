package app_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"spillway/functions/app"
	"spillway/tests/fakes/azureopenai"
	"spillway/tests/rig"
)

// reportsKey is the key of the consumer reports, which lives in the table.
const reportsKey = "the key of team reports"

// runKeyed runs a scenario whose callers need keys; one consumer is in the file.
func runKeyed(t *testing.T, scenario func(t *testing.T, r *rig.Rig)) {
	t.Helper()
	yaml := strings.Replace(ordinary, "access: open\n", "access: keys\nconsumers: [{ name: search, keys: [\"the key of team search\"] }]\n", 1)
	run(t, yaml, app.Options{}, func(t *testing.T, r *rig.Rig, _, _ *azureopenai.Server) { scenario(t, r) })
}

// define puts the consumer reports into the table.
func define(t *testing.T, r *rig.Rig, settings string) {
	t.Helper()
	body := fmt.Sprintf("keys: [%q]\n%s", reportsKey, settings)
	w := r.Send(t.Context(), rig.Call{Method: http.MethodPut, Path: "/spillway/consumers/reports", Key: adminKey, Body: body})
	if w.Code != http.StatusOK && w.Code != http.StatusCreated {
		t.Fatalf("PUT: %d %s", w.Code, w.Body)
	}
	wait(5 * time.Second)
}

// wantChat asks as reports and checks the status of the answer.
func wantChat(t *testing.T, r *rig.Rig, what string, status int) {
	t.Helper()
	w := r.Send(t.Context(), rig.Call{Path: "/v1/chat/completions", Key: reportsKey, Body: chat})
	if w.Code != status {
		t.Errorf("%s: status %d, want %d: %s", what, w.Code, status, w.Body)
	}
}

// A consumer of the table calls as one of the file does, and its limits change while
// the gateway runs: a quota that is lowered below what is used blocks at once, and
// one that is raised lets it go on.
func TestConsumerOfTheTable(t *testing.T) {
	runKeyed(t, func(t *testing.T, r *rig.Rig) {
		wantChat(t, r, "before it is there", http.StatusUnauthorized)
		define(t, r, "quotas: [{ tokens: 1000, per: month }]")
		for range 3 {
			wantChat(t, r, "with room in its quota", http.StatusOK) // 13 tokens each
		}
		define(t, r, "quotas: [{ tokens: 30, per: month }]")
		wantChat(t, r, "its quota is below what is used", http.StatusTooManyRequests)
		define(t, r, "quotas: [{ tokens: 60, per: month }]")
		wantChat(t, r, "its quota has room again", http.StatusOK)
		define(t, r, "")
		for range 3 {
			wantChat(t, r, "it has no quota any more", http.StatusOK)
		}
	})
}

// Removed, a consumer is nobody. Who comes back under its name finds what is used of
// its quota: it is the name's, and the month is the same.
func TestConsumerThatIsRemoved(t *testing.T) {
	runKeyed(t, func(t *testing.T, r *rig.Rig) {
		define(t, r, "quotas: [{ tokens: 40, per: month }]")
		wantChat(t, r, "the first", http.StatusOK)
		wantChat(t, r, "the second", http.StatusOK)
		wantChat(t, r, "beyond its quota", http.StatusTooManyRequests)
		w := r.Send(t.Context(), rig.Call{Method: http.MethodDelete, Path: "/spillway/consumers/reports", Key: adminKey})
		if w.Code >= 300 {
			t.Fatalf("DELETE: %d %s, want less than 300", w.Code, w.Body)
		}
		wait(5 * time.Second)
		wantChat(t, r, "removed", http.StatusUnauthorized)
		define(t, r, "quotas: [{ tokens: 40, per: month }]")
		wantChat(t, r, "back again", http.StatusTooManyRequests)
	})
}

// A consumer of the file is nobody else's to define.
func TestConsumerOfTheFileIsReadOnly(t *testing.T) {
	runKeyed(t, func(t *testing.T, r *rig.Rig) {
		w := r.Send(t.Context(), rig.Call{Method: http.MethodPut, Path: "/spillway/consumers/search", Key: adminKey, Body: "{}"})
		if w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), "file") {
			t.Errorf("PUT: %d %s", w.Code, w.Body)
		}
	})
}

// What was used is told to an admin for all, and to a consumer for itself.
func TestUsageIsTold(t *testing.T) {
	runKeyed(t, func(t *testing.T, r *rig.Rig) {
		define(t, r, "")
		wantChat(t, r, "a request", http.StatusOK)
		r.Settle(t.Context())
		for key, want := range map[string]string{adminKey: "reports,1,", reportsKey: "reports,1,", "the key of team search": "total"} {
			w := r.Send(t.Context(), rig.Call{Method: http.MethodGet, Path: "/spillway/usage?by=consumer&format=csv", Key: key})
			if text := w.Body.String(); w.Code != http.StatusOK || strings.Contains(text, "reports,1,") != (want != "total") {
				t.Errorf("asked with another key of three: %d\n%s", w.Code, text)
			}
		}
	})
}
