package upstream

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"spillway/shared/form"
	"spillway/shared/openai"
	"spillway/shared/upstream/wire"
)

// Each operation has its method and its path; what of the client's query is passed on
// follows the api-version; and a request without a body says nothing of one.
func TestMethodsAndPaths(t *testing.T) {
	tests := []struct {
		call   Call
		method string
		uri    string
		length string // of the body, "" if it is not said
	}{
		{Call{Operation: openai.GetResponse, ID: "resp_1", Query: "stream=true&starting_after=4"}, "GET", "/openai/responses/resp_1?api-version=2025-03-01-preview&stream=true&starting_after=4", ""},
		{Call{Operation: openai.DeleteResponse, ID: "resp_1"}, "DELETE", "/openai/responses/resp_1?api-version=2025-03-01-preview", ""},
		{Call{Operation: openai.CancelResponse, ID: "resp_1"}, "POST", "/openai/responses/resp_1/cancel?api-version=2025-03-01-preview", "0"},
		{Call{Operation: openai.Responses, Deployment: "d", Body: bodyOf("{}")}, "POST", "/openai/responses?api-version=2025-03-01-preview", "2"},
		{Call{Operation: openai.ListFiles, Query: "purpose=batch"}, "GET", "/openai/files?api-version=2025-03-01-preview&purpose=batch", ""},
		{Call{Operation: openai.FileContent, ID: "file-1"}, "GET", "/openai/files/file-1/content?api-version=2025-03-01-preview", ""},
		{Call{Operation: openai.Speech, Deployment: "tts", Body: bodyOf("{}")}, "POST", "/openai/deployments/tts/audio/speech?api-version=2025-03-01-preview", "2"},
	}
	for _, test := range tests {
		t.Run(test.call.Operation.String(), func(t *testing.T) {
			client, backend := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if length := r.Header.Get("Content-Length"); r.Method != test.method || r.RequestURI != test.uri || length != test.length || len(r.TransferEncoding) > 0 {
					t.Errorf("got %s %s, length %q, %v, want %s %s, length %q", r.Method, r.RequestURI, length, r.TransferEncoding, test.method, test.uri, test.length)
				}
				answer(200, json, `{"id":"x"}`)(w, r)
			})
			test.call.APIVersion = "2025-03-01-preview"
			r := client.Do(t.Context(), backend, test.call)
			defer r.Close()
			checkResult(t, r)
			if r.Outcome != OK {
				t.Errorf("got %v, want %v: %v", r.Outcome, OK, r.Err)
			}
		})
	}
}

// Whatever a backend was asked before, each request goes where it is meant to.
func TestRequestsToOneBackend(t *testing.T) {
	got := make(chan string, 1)
	client, backend := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got <- r.RequestURI
		answer(200, json, `{"id":"x"}`)(w, r)
	})
	one, other := chat(), chat()
	other.Deployment = "another"
	version, query := chat(), Call{Operation: openai.GetResponse, ID: "resp_1", Query: "stream=true"}
	version.APIVersion = "2025-01-01-preview"
	for _, call := range []Call{one, one, other, one, version, query, query, one} {
		path := "chat/completions"
		if call.ID != "" {
			path = "responses/" + call.ID
		} else {
			path = "deployments/" + call.Deployment + "/" + path
		}
		want := "/openai/" + path + "?api-version=" + cmp.Or(call.APIVersion, call.Operation.DefaultAPIVersion())
		if call.Query != "" {
			want += "&" + call.Query
		}
		client.Do(t.Context(), backend, call).Close()
		if uri := <-got; uri != want {
			t.Errorf("got %s, want %s", uri, want)
		}
	}
}

// A backend's fixed fields replace the client's, and its credential replaces both. What
// steers the gateway is for no backend.
func TestFixedHeader(t *testing.T) {
	client, backend := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for name, want := range map[string]string{"Api-Key": "ours", "Ocp-Apim-Subscription-Key": "fixed", "X-Tenant": "contoso", "X-Many": "a"} {
			if got := r.Header.Get(name); got != want {
				t.Errorf("%s: got %q, want %q", name, got, want)
			}
		}
		for name := range r.Header {
			if strings.HasPrefix(name, "X-Spillway") {
				t.Errorf("the backend gets %s", name)
			}
		}
		answer(200, json, chatAnswer)(w, r)
	})
	backend.Credential = NewAPIKey("ours", openai.Azure)
	backend.Header = http.Header{"Api-Key": {"fixed"}, "Ocp-Apim-Subscription-Key": {"fixed"}, "X-Tenant": {"contoso"}}
	call := chat()
	call.Header = http.Header{
		"X-Tenant": {"theirs"}, "X-Many": {"a"},
		"X-Spillway-Tags": {"team=a"}, "X-Spillway-Backend": {"b"}, "X-Spillway-Anything-New": {"1"},
	}
	fixed := fmt.Sprint(backend.Header)
	for range 2 {
		r := client.Do(t.Context(), backend, call)
		if r.Outcome != OK {
			t.Errorf("got %v, want %v: %v", r.Outcome, OK, r.Err)
		}
		r.Close()
	}
	if got := fmt.Sprint(backend.Header); got != fixed {
		t.Errorf("the backend's own header was changed: %s, want %s", got, fixed)
	}
}

// formOf is a form with a file of the given size.
func formOf(t *testing.T, content io.Reader) *form.Form {
	t.Helper()
	const head = "--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n" +
		"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp3\"\r\n\r\n"
	body := io.MultiReader(strings.NewReader(head), content, strings.NewReader("\r\n--b--\r\n"))
	f, err := form.Read(body, "multipart/form-data; boundary=b", form.Options{Folder: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// upload is a call with the form.
func upload(f *form.Form) Call {
	return Call{
		Operation: openai.Transcriptions, Deployment: "whisper",
		Header: http.Header{"Content-Type": {f.ContentType()}}, Body: f.Body("our-whisper"),
	}
}

// A form is sent again where a kept connection turns out to be closed, and each time it
// is the whole one. So is a request without a body.
func TestStaleConnectionsAreHealedForEveryBody(t *testing.T) {
	f := formOf(t, strings.NewReader(strings.Repeat("x", 3<<20)))
	want := sha256.New()
	_, _ = io.Copy(want, f.Body("our-whisper").NewReader())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := sha256.New()
		if n, err := io.Copy(got, r.Body); err == nil && r.Method == http.MethodPost && string(got.Sum(nil)) != string(want.Sum(nil)) {
			t.Errorf("the backend gets another form, of %d bytes", n)
		}
		answer(200, json, `{"text":"Hi."}`)(w, r)
	}))
	defer server.Close()
	client, backend := New(Options{}), backendAt(t, server.URL)
	defer client.CloseIdleConnections()
	for i := range 30 {
		for _, call := range []Call{upload(f), {Operation: openai.GetFile, ID: "file-1"}, {Operation: openai.DeleteFile, ID: "file-1"}} {
			r := client.Do(t.Context(), backend, call)
			checkResult(t, r)
			if r.Outcome != OK {
				t.Errorf("%v %d: %v, want %v, %q: %v", call.Operation, i, r.Outcome, OK, r.Reason, r.Err)
			}
			r.Close()
			server.CloseClientConnections()
		}
	}
}

// A request without a body may have been sent, unless it is known that it was not.
func TestWhetherARequestWithoutABodyWasSent(t *testing.T) {
	hangsUp := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer hangsUp.Close()
	for address, sent := range map[string]bool{"http://" + deadAddress(t): false, hangsUp.URL: true} {
		client := New(Options{})
		r := client.Do(t.Context(), backendAt(t, address), Call{Operation: openai.GetFile, ID: "file-1"})
		checkResult(t, r)
		if r.Outcome != Failed || r.Sent != sent {
			t.Errorf("got %v, %q, sent %t, want %t", r.Outcome, r.Reason, r.Sent, sent)
		}
		r.Close()
		client.CloseIdleConnections()
	}
}

// Where requests go is found out once, as long as the target and the transport stay the same.
func TestAddressIsKept(t *testing.T) {
	backend := backendAt(t, "http://backend.test")
	chats, files := openai.Target{Operation: openai.ChatCompletions, Deployment: "d"}, openai.Target{Operation: openai.GetFile, ID: "f"}
	one, other := NewTransport(time.Second, nil), NewTransport(time.Second, nil)
	var before *address
	for _, test := range []struct {
		name   string
		target openai.Target
		by     http.RoundTripper
		same   bool
	}{
		{"first", chats, one, false},
		{"again", chats, one, true},
		{"another target", files, one, false},
		{"another transport", files, other, false},
		{"again there", files, other, true},
		{"a transport of another kind", files, roundTripper(nil), false},
		{"again there", files, roundTripper(nil), true},
	} {
		got := backend.address(test.target, test.by)
		if _, ours := test.by.(*wire.Transport); got.target != test.target || ours != (got.direct != nil) || (got == before) != test.same {
			t.Errorf("%s: got %+v, before %+v", test.name, got, before)
		}
		before = got
	}
}
