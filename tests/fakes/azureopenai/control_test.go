package azureopenai_test

import (
	"encoding/json"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"spillway/tests/fakes/azureopenai"
)

// control makes a request to the remote control and returns its answer.
func control(t *testing.T, s *azureopenai.Server, method, path, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://fake/_fake/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.RoundTripper().RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestRemoteFaults(t *testing.T) {
	s := one(azureopenai.Deployment{TokensPerMinute: 1000})
	status, body := control(t, s, "POST", "faults", `{"kind":"delay","delay":"150ms","times":3,"match":{"deployment":"gpt-4o","stream":"true"}}`)
	if status != 200 || body != `{"ids":[1]}` {
		t.Errorf("status %d: %s", status, body)
	}
	if _, body = control(t, s, "POST", "faults", `[{"kind":"status","status":503},{"kind":"throttle","retryAfter":"7s","for":"1m"}]`); body != `{"ids":[2,3]}` {
		t.Errorf("a list: %s, want %s", body, `{"ids":[2,3]}`)
	}
	want := []azureopenai.Fault{
		{Kind: azureopenai.FaultDelay, Delay: 150 * time.Millisecond, Times: 3, Match: azureopenai.Match{Deployment: "gpt-4o", Stream: "true"}},
		{Kind: azureopenai.FaultStatus, Status: 503},
		{Kind: azureopenai.FaultThrottle, RetryAfter: 7 * second, For: time.Minute},
	}
	for i, a := range s.Faults() {
		if a.ID != int64(i+1) || !reflect.DeepEqual(a.Fault, want[i]) {
			t.Errorf("fault %d: %+v, want %+v", a.ID, a.Fault, want[i])
		}
	}
	if resp := send(t, s, chatPath, hello); resp.StatusCode != 503 {
		t.Errorf("status %d, want 503", resp.StatusCode)
	}
	_, body = control(t, s, "GET", "faults", "")
	if !strings.Contains(body, `"id":2,"fired":1,"fault":{"kind":"status"`) || !strings.Contains(body, `"delay":"150ms"`) {
		t.Errorf("faults %s", body)
	}
	if _, body = control(t, s, "DELETE", "faults?id=2", ""); body != `{"removed":true}` || len(s.Faults()) != 2 {
		t.Errorf("removed: %s, %d left", body, len(s.Faults()))
	}
	if _, body = control(t, s, "DELETE", "faults?id=2", ""); body != `{"removed":false}` {
		t.Errorf("removed twice: %s, want %s", body, `{"removed":false}`)
	}
	if _, body = control(t, s, "DELETE", "faults", ""); len(s.Faults()) != 0 {
		t.Errorf("cleared: %s, %d left, want 0", body, len(s.Faults()))
	}
}

func TestRemoteFaultErrors(t *testing.T) {
	s := one(azureopenai.Deployment{})
	for name, body := range map[string]string{
		"not JSON": `{`, "unknown kind": `{"kind":"meteor"}`, "probability": `{"kind":"cut","probability":2}`, "duration": `{"kind":"delay","delay":"soon"}`,
		"stream": `{"kind":"cut","match":{"stream":"maybe"}}`, "status": `{"kind":"status","status":99}`, "negative": `{"kind":"cut","events":-1}`,
		"lower to nothing": `{"kind":"lower-limit"}`, "one of a list": `[{"kind":"cut"},{"kind":""}]`,
	} {
		if status, answer := control(t, s, "POST", "faults", body); status != 400 || !strings.Contains(answer, `"error"`) {
			t.Errorf("%s: status %d: %s", name, status, answer)
		}
	}
	if len(s.Faults()) != 0 {
		t.Error("a wrong fault became active")
	}
	if status, _ := control(t, s, "PUT", "faults", ""); status != 404 {
		t.Errorf("unknown control: %d, want 404", status)
	}
}

func TestRemoteStats(t *testing.T) {
	s := one(azureopenai.Deployment{TokensPerMinute: 1000, Phase: phaseFarFromNow()}, func(o *azureopenai.Options) { o.Key = "secret" })
	send(t, s, chatPath, sized(100), "api-key", "secret")
	var stats struct {
		Name        string
		Deployments map[string]struct {
			azureopenai.Stats
			Charged int64
			Room    *int64
		}
	}
	_, body := control(t, s, "GET", "stats", "")
	if err := json.Unmarshal([]byte(body), &stats); err != nil {
		t.Fatal(err)
	}
	d := stats.Deployments["gpt-4o"]
	if stats.Name != "test" || d.Accepted != 1 || d.Charged != 100 || d.Room == nil || *d.Room != 900 || len(d.TokensCharged) != 1 {
		t.Errorf("stats %s", body)
	}
	if other := stats.Deployments["text-embedding-3-small"]; other.Room != nil {
		t.Errorf("room without a limit: %d", *other.Room)
	}
	if _, body := control(t, s, "GET", "requests", ""); !strings.Contains(body, `"uri":"/openai/deployments/gpt-4o/`) || !strings.Contains(body, `"status":200`) {
		t.Errorf("requests %s", body)
	}
	if _, body := control(t, s, "GET", "events", ""); !strings.Contains(body, `"Kind":"accepted"`) {
		t.Errorf("events %s", body)
	}
}

// FuzzFaults: whatever is posted is refused, or active and shown again.
func FuzzFaults(f *testing.F) {
	f.Add(`{"kind":"delay","delay":"1ms"}`)
	f.Add(`[{"kind":"status","status":503,"match":{"stream":"true"}},{"kind":"cut","events":3}]`)
	f.Fuzz(func(t *testing.T, body string) {
		s := one(azureopenai.Deployment{})
		status, _ := control(t, s, "POST", "faults", body)
		if status != 200 && (status != 400 || len(s.Faults()) != 0) {
			t.Fatalf("status %d, %d faults", status, len(s.Faults()))
		}
		var list []any
		if _, shown := control(t, s, "GET", "faults", ""); json.Unmarshal([]byte(shown), &list) != nil || len(list) != len(s.Faults()) {
			t.Fatalf("shown %s", shown)
		}
	})
}

// FuzzRoute: no path makes the service panic or answer something else than an
// error or an answer of a deployment that exists.
func FuzzRoute(f *testing.F) {
	for _, path := range []string{chatPath, "/openai/v1/chat/completions", "/v1/embeddings", "/openai/deployments/a%2Fb/completions?api-version=x", "/openai/deployments//", "/_fake/../v1/x",
		"/v1/responses", "/openai/v1/responses/r/cancel", "/openai/models/m?api-version=x", "/v1/files"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "/_fake/") {
			return
		}
		s := one(exactly(1))
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://fake"+path, strings.NewReader(`{"model":"gpt-4o","messages":[{"role":"user","content":"x"}]}`))
		if err != nil || strings.HasPrefix(r.URL.Path, "/_fake/") {
			return
		}
		resp, err := s.RoundTripper().RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if !slices.Contains([]int{200, 400, 404, 405, 415}, resp.StatusCode) {
			t.Fatalf("status %d", resp.StatusCode)
		}
		if got, _ := s.LastRequest(); resp.StatusCode == 200 && got.Deployment != "gpt-4o" {
			t.Fatalf("status %d from deployment %q", resp.StatusCode, got.Deployment)
		}
	})
}
