package otlp_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"spillway/tests/fakes/otlp"
)

// post sends a body and returns the answer's status; 0: there was none.
func post(ctx context.Context, t *testing.T, url, kind, body string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", kind)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0
	}
	answer.Body.Close()
	return answer.StatusCode
}

// What is no OTLP is refused, and why is kept; what is OTLP is taken.
func TestCollectorReadsProtobuf(t *testing.T) {
	c := otlp.Start()
	defer c.Close()
	for _, request := range []struct {
		path, kind, body string
		want             int
	}{
		{"/v1/metrics", "application/x-protobuf", "", 200},
		{"/v1/traces", "application/x-protobuf", "", 200},
		{"/v1/traces", "application/x-protobuf", "\xff\xff", 400},
		{"/v1/metrics", "application/json", "{}", 400},
		{"/v1/logs", "application/x-protobuf", "", 404},
	} {
		if got := post(t.Context(), t, c.URL()+request.path, request.kind, request.body); got != request.want {
			t.Errorf("%s of %q as %s is answered %d, want %d", request.path, request.body, request.kind, got, request.want)
		}
	}
	if got := len(c.Refused()); got != 2 {
		t.Errorf("%d requests could not be read, want 2", got)
	}
	if c.Calls("/v1/metrics") != 2 || c.Calls("/v1/traces") != 2 {
		t.Errorf("calls: %d of metrics, %d of traces, want 2 of each", c.Calls("/v1/metrics"), c.Calls("/v1/traces"))
	}
}

// A collector can fail, and can take a request and not answer it.
func TestCollectorFails(t *testing.T) {
	c := otlp.Start()
	defer c.Close()
	c.Fail(http.StatusServiceUnavailable)
	if got := post(t.Context(), t, c.URL()+"/v1/traces", "application/x-protobuf", ""); got != 503 {
		t.Errorf("the answer is %d, want 503", got)
	}
	c.Fail(0)
	c.Hang()
	ctx, cancel := context.WithCancel(t.Context())
	answered := make(chan int, 1)
	go func() { answered <- post(ctx, t, c.URL()+"/v1/traces", "application/x-protobuf", "") }()
	if !c.Wait(t.Context(), func() bool { return c.Calls("/v1/traces") == 2 }) {
		t.Fatal("the request did not come")
	}
	cancel()
	if got := <-answered; got != 0 {
		t.Errorf("the answer is %d, want none", got)
	}
}
