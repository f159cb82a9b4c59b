package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func post(t *testing.T, url, body string) (int, string) {
	t.Helper()
	answer, err := http.Post(url, "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(content)
}

// A stream has its events, why it has ended, the usage where it was asked for, and
// [DONE]; whatever the size of the prompt.
func TestAnswers(t *testing.T) {
	server := httptest.NewServer(&backend{events: 3, every: time.Millisecond})
	defer server.Close()
	long := strings.Repeat("a long prompt ", 100_000)
	for _, test := range []struct{ name, body, want string }{
		{"plain", `{"messages":[]}`, plain},
		{"long", `{"messages":[{"content":"` + long + `"}]}`, plain},
		{"stream", `{"stream":true}`, chunk + chunk + chunk + finish + done},
		{"stream that tells its usage", `{"stream":true,"stream_options":{"include_usage":true}}`, chunk + chunk + chunk + finish + measured + done},
		{"long stream", `{"stream":true,"messages":[{"content":"` + long + `"}]}`, chunk + chunk + chunk + finish + done},
		{"long stream, asked for at the end", `{"messages":[{"content":"` + long + `"}],"stream":true}`, chunk + chunk + chunk + finish + done},
	} {
		if status, got := post(t, server.URL, test.body); status != http.StatusOK || got != test.want {
			t.Errorf("%s: got %d %q, want %q", test.name, status, got, test.want)
		}
	}
	answer, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if content, err := io.ReadAll(answer.Body); err != nil || string(content) != "6\n" {
		t.Errorf("it counts %q, %v; want 6 requests", content, err)
	}
}

// A stream that is held goes on beyond its events, and ends well when it is released.
func TestHeldStreams(t *testing.T) {
	server := httptest.NewServer(&backend{events: 1, every: time.Millisecond, released: make(chan struct{})})
	defer server.Close()
	answer, err := http.Post(server.URL, "application/json", strings.NewReader(`{"stream":true}`))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	first := make([]byte, 3*len(chunk))
	if _, err := io.ReadFull(answer.Body, first); err != nil || string(first) != chunk+chunk+chunk {
		t.Fatalf("got %q, %v; want three events", first, err)
	}
	for range 2 { // a second release does nothing
		post(t, server.URL+"/release", "")
	}
	rest, err := io.ReadAll(answer.Body)
	if err != nil || !strings.HasSuffix(string(rest), finish+done) {
		t.Errorf("it ends with %q, %v", rest, err)
	}
}

func TestOneOfTwentyIsRefused(t *testing.T) {
	server := httptest.NewServer(&refuser{good: &backend{}})
	defer server.Close()
	refused := 0
	for range 40 {
		if status, _ := post(t, server.URL, "{}"); status == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused != 2 {
		t.Errorf("%d of 40 were refused, want 2", refused)
	}
}
