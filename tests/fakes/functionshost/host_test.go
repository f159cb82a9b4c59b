package functionshost

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"spillway/tests/await"
)

// Only what function.json routes gets through, after dots are resolved.
func TestRoutes(t *testing.T) {
	h := mustStart(t, "good", Options{})
	tests := []struct {
		method, path string
		status       int
		handled      string
	}{
		{"GET", "/api/echo/a/b", 200, "/api/echo/a/b"},
		{"GET", "/API/Echo/a", 404, ""}, // routed, and not the handler's
		{"GET", "/api/echo/a%2Fb%20c", 200, "/api/echo/a%2Fb%20c"},
		{"GET", "/api/echo/x/../y", 200, "/api/echo/y"},
		{"GET", "/api/echo/x%2e%2e", 200, "/api/echo/x.."},
		{"GET", "/api/echo/%2e%2e/%2e%2e/tick", 404, ""},
		{"POST", "/tick", 404, ""},
		{"POST", "/api/tick", 404, ""},
		{"POST", "/api/echo/../../tick", 404, ""},
		{"GET", "/", 404, ""},
		{"PUT", "/api/echo/a", 404, ""},
		{"POST", "/echo/a", 404, ""},
		{"POST", "/admin/functions/tick", 404, ""},
	}
	for _, test := range tests {
		t.Run(test.method+" "+test.path, func(t *testing.T) {
			status, body := send(t, h, test.method, test.path, "")
			var seen struct{ Path string }
			_ = json.Unmarshal([]byte(body), &seen) // a refusal has none
			if status != test.status || seen.Path != test.handled {
				t.Errorf("status %d, handled as %q; want %d and %q", status, seen.Path, test.status, test.handled)
			}
		})
	}
}

// The handler sees the request as it was sent, but for the Host and what the host
// adds. What a client says of the way here is replaced.
func TestForwardedRequest(t *testing.T) {
	h := mustStart(t, "good", Options{})
	_, body := send(t, h, "POST", "/api/echo/a?code=x&y=%zz;z", "the body", "Authorization", "Bearer x", "X-Functions-Key", "k",
		"X-Forwarded-For", "192.0.2.1", "Connection", "X-Forwarded-Host", "X-Forwarded-Host", "evil")
	var seen struct {
		Query, Host, Body string
		Header            http.Header
	}
	if err := json.Unmarshal([]byte(body), &seen); err != nil {
		t.Fatal(err)
	}
	if seen.Query != "code=x&y=%zz;z" || seen.Body != "the body" || seen.Host != "127.0.0.1:"+h.port {
		t.Errorf("the handler saw %+v, want Query %q, Body %q, Host %v", seen, "code=x&y=%zz;z", "the body", "127.0.0.1:"+h.port)
	}
	want := map[string]string{
		"Authorization": "Bearer x", "X-Functions-Key": "k", "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http",
		"X-Forwarded-Host": strings.TrimPrefix(h.URL(), "http://"), "X-Azure-Functions-Hostversion": hostVersion,
	}
	for name, value := range want {
		if got := seen.Header.Get(name); got != value {
			t.Errorf("%s is %q, want %q", name, got, value)
		}
	}
	for _, name := range []string{"X-Azure-Functions-InvocationId", "X-Ms-Invocation-Id"} {
		if seen.Header.Get(name) == "" {
			t.Errorf("there is no %s", name)
		}
	}
}

// Bytes go through as they come, and the handler is told when the client
// leaves, or when nothing moves any more.
func TestStreams(t *testing.T) {
	tests := []struct {
		name string
		idle time.Duration
	}{
		{"the client leaves", 0},
		{"nothing moves", 300 * time.Millisecond},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			left := make(chan struct{}, 1)
			h := mustStart(t, "good", Options{Idle: test.idle, Console: func(l Line) {
				if l.Text == "the client has left" {
					left <- struct{}{}
				}
			}})
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL()+"/api/echo/stream", strings.NewReader("{}"))
			if err != nil {
				t.Fatal(err)
			}
			response, err := http.DefaultTransport.RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			lines := bufio.NewReader(response.Body)
			for n := range 3 {
				if n > 0 {
					send(t, h, "GET", "/api/echo/more", "")
				}
				if line, err := lines.ReadString('\n'); line != fmt.Sprintln(n) {
					t.Fatalf("line %d is %q, want %q: %v", n, line, fmt.Sprintln(n), err)
				}
			}
			if test.idle == 0 {
				cancel()
			}
			if _, err := io.ReadAll(lines); err == nil {
				t.Error("the stream that was cut looks complete")
			}
			select {
			case <-left:
			case <-time.After(patience):
				t.Error("the handler was not told")
			}
		})
	}
}

// The call of a timer has the real host's form, and an answer must have the form
// that the real host takes.
func TestTimer(t *testing.T) {
	refused := map[string]string{
		"text": "text/plain", "fails": "status 500", "empty": "wait for ever", "null": "wait for ever", "other": "form", "outputs": "Outputs",
	}
	for behaviour, want := range refused {
		t.Run(behaviour, func(t *testing.T) {
			h := mustStart(t, behaviour, Options{})
			if logs, err := h.Trigger(t.Context(), "tick"); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q, %v; want an error with %q", logs, err, want)
			}
		})
	}
	h := mustStart(t, "echo", Options{})
	logs, err := h.Trigger(t.Context(), "tick")
	if err != nil || len(logs) != 2 {
		t.Fatalf("%q: %v", logs, err)
	}
	if !strings.HasPrefix(logs[0], `{"Data":{"timer":{"Schedule":{"AdjustForDST":true},"ScheduleStatus":null,"IsPastDue":false}},"Metadata":{"sys":{"MethodName":"tick","UtcNow":"`) {
		t.Errorf("it was called with %s", logs[0])
	}
	if strings.Contains(logs[1], "Forwarded") || !strings.Contains(logs[1], "Azure-Functions-Host/") || !strings.HasSuffix(logs[1], " -1") {
		t.Errorf("it was called with %s", logs[1])
	}
	for _, name := range []string{"echo", "nothing"} {
		if _, err := h.Trigger(t.Context(), name); err == nil {
			t.Errorf("%s has no timer, and was called", name)
		}
	}
}

// A timer is called when it is due, and what it wants logged is logged.
func TestTimersRunByThemselves(t *testing.T) {
	called := make(chan struct{}, 100)
	mustStart(t, "good", Options{Timers: true, Console: func(l Line) {
		if l == (Line{Level: "Information", Text: "done", Function: "tick"}) {
			called <- struct{}{}
		}
	}})
	for range 2 {
		select {
		case <-called:
		case <-time.After(patience):
			t.Fatal("it was not called")
		}
	}
}

// An instance may run some functions alone.
func TestOnly(t *testing.T) {
	timers := mustStart(t, "good", Options{Only: []string{"tick"}})
	if status, _ := send(t, timers, "GET", "/api/echo/a", ""); status != 404 {
		t.Errorf("status %d from an instance without HTTP, want 404", status)
	}
	requests := mustStart(t, "good", Options{Only: []string{"echo"}})
	if _, err := requests.Trigger(t.Context(), "tick"); err == nil {
		t.Error("an instance without timers was called for one")
	}
}

// A killed handler is started again, and the third failure is the host's end. Its
// wish to be started again is none. A request that comes meanwhile is served later.
func TestRestarts(t *testing.T) {
	h := mustStart(t, "good", Options{})
	first := h.Process()
	// It gets no answer, and is sent again until the host gives it up. A GET on a connection that was used
	// before is sent again by net/http, which tells nobody.
	send(t, h, "POST", "/api/echo/exit/200", "")
	await.That(t, "the handler was started again", func() bool { p := h.Process(); return p != 0 && p != first })
	if h.Dropped() == 0 {
		t.Error("that requests were dropped is not counted")
	}
	if status, _ := send(t, h, "GET", "/api/echo/a", ""); status != 200 {
		t.Errorf("status %d after a restart, want 200", status)
	}
	for range maxFailures {
		pid := h.Process()
		h.Kill()
		await.That(t, "the handler was killed", func() bool { return h.Process() != pid })
		ended := false
		await.That(t, "the handler was started again, or the host has ended", func() bool {
			select {
			case <-h.Stopped():
				ended = true
			default:
			}
			return ended || h.Process() != 0
		})
		if ended {
			return
		}
	}
	t.Error("the host goes on after three failures")
}
