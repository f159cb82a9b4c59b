package lambdaruntime_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"spillway/tests/fakes/lambdaruntime"
)

// What a request to the URL becomes: the event as AWS's own types read it.
func TestURLEvent(t *testing.T) {
	text, binary := []byte(`{"a":"b"}`), []byte{0, 1, 0xff}
	tests := []struct {
		contentType string
		body        []byte
		want        string
		encoded     bool
	}{
		{"application/json", text, string(text), false},
		{"application/json; charset=utf-8", text, string(text), false},
		{"application/octet-stream", binary, base64.StdEncoding.EncodeToString(binary), true},
		{"", text, base64.StdEncoding.EncodeToString(text), true},
		{"application/json", nil, "", false},
	}
	for _, test := range tests {
		r := httptest.NewRequest(http.MethodPost, "http://x/a%2fb/c?q=1&q=2", bytes.NewReader(test.body))
		r.Header.Set("Content-Type", test.contentType)
		r.Header.Set("Api-Key", "k")
		raw, err := lambdaruntime.URLEvent(r, test.body)
		if err != nil {
			t.Fatal(err)
		}
		decoder := json.NewDecoder(bytes.NewReader(raw))
		var e events.LambdaFunctionURLRequest
		if err := decoder.Decode(&e); err != nil {
			t.Fatal(err)
		}
		if e.Version != "2.0" || e.RawPath != "/a%2fb/c" || e.RawQueryString != "q=1&q=2" || e.QueryStringParameters["q"] != "1,2" ||
			e.Headers["api-key"] != "k" || e.RequestContext.HTTP.Method != http.MethodPost || e.RequestContext.DomainName != e.Headers["host"] {
			t.Errorf("the event is %s", raw)
		}
		if e.Body != test.want || e.IsBase64Encoded != test.encoded {
			t.Errorf("%q of the type %q is %q, base64 %t, want %q, %t", test.body, test.contentType, e.Body, e.IsBase64Encoded, test.want, test.encoded)
		}
	}
}

func serveURL(t *testing.T, e *lambdaruntime.Environment) string {
	t.Helper()
	server := httptest.NewServer(e)
	t.Cleanup(server.Close)
	return server.URL
}

// The answer has the prelude's status, headers and cookies, and then the body.
func TestURLAnswer(t *testing.T) {
	e := start(t, lambdaruntime.Options{})
	response, err := http.Post(serveURL(t, e)+"/echo?y=z", "application/json", strings.NewReader(`{}`))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusCreated || response.Header.Get("X-Part") != "a" || response.Header.Get("Set-Cookie") != "c=1" {
		t.Errorf("%s, %v: %v", response.Status, response.Header, err)
	}
	var event events.LambdaFunctionURLRequest
	if err := json.Unmarshal(text, &event); err != nil || event.RawPath != "/echo" || event.Body != "{}" {
		t.Errorf("the body is %q: %v", text, err)
	}
	wantViolations(t, e)
}

// Parts arrive as they are sent: the program sends the second one when the first has
// been read.
func TestURLStream(t *testing.T) {
	gate := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-gate }))
	defer server.Close()
	e := start(t, lambdaruntime.Options{Settings: map[string]string{"GATE": server.URL}})
	response, err := http.Get(serveURL(t, e) + "/do/parts")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	first := make([]byte, 3)
	if _, err := io.ReadFull(response.Body, first); err != nil || string(first) != "one" {
		t.Fatalf("the first part is %q: %v", first, err)
	}
	close(gate)
	if rest, err := io.ReadAll(response.Body); err != nil || string(rest) != "two" {
		t.Errorf("the rest is %q: %v", rest, err)
	}
	wantViolations(t, e)
}

// The last byte of an answer whose length is known arrives when the program has ended
// the answer: a client that has it all calls again at once, and is not refused. It was,
// by chance, because the end of a call was noticed after the client had read its answer.
func TestURLWhole(t *testing.T) {
	read := make(chan struct{}, 1)
	early := make(chan bool, 1)
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		select {
		case <-read:
			early <- true
		case <-time.After(100 * time.Millisecond): // longer than a client needs for what it has
			early <- false
		}
	}))
	defer server.Close()
	e := start(t, lambdaruntime.Options{Settings: map[string]string{"GATE": server.URL}})
	url := serveURL(t, e)
	for range 2 { // the second at once
		response, err := http.Get(url + "/do/whole")
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		if err != nil || string(text) != "one" || response.StatusCode != http.StatusCreated {
			t.Errorf("%s, %q: %v", response.Status, text, err)
		}
		response.Body.Close()
		read <- struct{}{}
		if <-early {
			t.Error("the client has the whole answer before the program has ended it")
		}
		select {
		case <-read:
		default:
		}
	}
	wantViolations(t, e)
}

// An answer that the program reports as broken reaches the client as one.
func TestURLBroken(t *testing.T) {
	e := start(t, lambdaruntime.Options{})
	response, err := http.Get(serveURL(t, e) + "/do/broken")
	if err == nil {
		defer response.Body.Close()
		_, err = io.ReadAll(response.Body)
	}
	if err == nil {
		t.Error("it looks complete")
	}
	wantViolations(t, e)
}

// A program's failures are Lambda's 502, and its mistakes are kept.
func TestURLFailures(t *testing.T) {
	tests := []struct{ word, want string }{
		{"header", `a Function URL is answered by "application/json"`},
		{"formless", "the prelude of an answer"},
		{"fail", ""},
		{"exit", ""},
	}
	for _, test := range tests {
		t.Run(test.word, func(t *testing.T) {
			e := start(t, lambdaruntime.Options{})
			response, err := http.Get(serveURL(t, e) + "/do/" + test.word)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if response.StatusCode != http.StatusBadGateway {
				t.Errorf("status %d, want %d", response.StatusCode, http.StatusBadGateway)
			}
			if test.want == "" {
				wantViolations(t, e)
			} else {
				wantViolations(t, e, test.want)
			}
		})
	}
}
