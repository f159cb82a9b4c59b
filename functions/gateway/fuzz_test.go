package gateway_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"spillway/functions/app"
	"spillway/shared/config"
	"spillway/tests/fakes/azureopenai"
)

// newApp starts a gateway outside of virtual time.
func newApp(t testing.TB, yaml string, o app.Options) *app.App {
	t.Helper()
	cfg, err := config.Parse("gateway.yaml", []byte(yaml), nil)
	if err != nil {
		t.Fatalf("the test's configuration is wrong:\n%v", err)
	}
	a, err := app.New(t.Context(), cfg, o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// FuzzServe sends anything as a request. The gateway never panics, always answers
// as HTTP and the API have it, and nobody without a key reaches a backend.
func FuzzServe(f *testing.F) {
	const good = `{"model":"gpt-4o","max_tokens":3,"messages":[{"role":"user","content":"Hi"}]}`
	key := "Api-Key: " + teamKey
	f.Add("POST", "/v1/chat/completions", key, []byte(good))
	f.Add("POST", "/openai/deployments/gpt-4o/chat/completions?api-version=2024-02-01", "Authorization: Bearer "+teamKey, []byte(`{"stream":true,`+good[1:]))
	f.Add("POST", "/openai/v1/embeddings", key, []byte(`{"model":"gpt-4o","input":[1,2]}`))
	f.Add("POST", "/v1/completions", key+"\nX-Request-Id: a\nTraceparent: 00-a-b-c\nConnection: X-A, close\nX-A: 1", []byte(`{"model":"gpt-4o","prompt":[[1],[2]],"best_of":128,"max_tokens":2147483648}`))
	f.Add("POST", "/v1/chat/completions", "", []byte(good))
	f.Add("GET", "/openai/deployments/%2e%2e/completions", key, []byte(nil))
	f.Add("POST", "/v1/chat/completions", key, []byte(`{"model":"gpt-4o","model":"x"}`))
	f.Add("HEAD", "/", "", []byte(nil))
	f.Add("POST", "/v1/responses", key+"\nX-Spillway-Fresh-Route: true", []byte(`{"model":"gpt-4o","input":"Hi","background":true,"previous_response_id":"resp_1"}`))
	f.Add("GET", "/openai/responses/resp_1/input_items?api-version=2025-04-01-preview&limit=2", key, []byte(nil))
	f.Add("POST", "/v1/audio/transcriptions", key+"\nContent-Type: multipart/form-data; boundary=b", []byte("--b\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\ngpt-4o\r\n--b--\r\n"))
	f.Add("POST", "/v1/files", key+"\nContent-Type: multipart/form-data; boundary=b", []byte("--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n{}\r\n--b--\r\n"))
	f.Add("POST", "/v1/batches", key, []byte(`{"input_file_id":"file-1","completion_window":"24h"}`))
	f.Add("GET", "/v1/files?limit=1&after=x&api-key=k", key+"\nX-Spillway-Tags: project=a", []byte(nil))
	f.Add("GET", "/v1/models", key+"\nX-Spillway-Backend: ptu\nX-Spillway-Exclude: payg\nX-Spillway-Deadline-Ms: 1", []byte(nil))

	open := strings.Replace(limited("mayChooseBackend: true, tags: [project]"), "tokensPerMinute: 10000", "tokensPerMinute: 1000000000", 1)
	open = strings.Replace(open, "name: payg\n", "name: payg\n    files: true\n", 1)
	backends := hosts{
		"ptu.test":  azureopenai.New(azureopenai.Options{Key: "key of ptu", RecordRequests: 1, Deployments: []azureopenai.Deployment{{Name: "gpt-4o-ptu"}}, Output: azureopenai.Output{Exact: 3}}),
		"payg.test": azureopenai.New(azureopenai.Options{Key: "key of payg", RecordRequests: 1, Deployments: []azureopenai.Deployment{{Name: "gpt-4o"}}, Output: azureopenai.Output{Exact: 3}}),
	}
	records := 0
	a := newApp(f, open, app.Options{Transport: azureopenai.Hosts(backends), Observe: countRecords(&records)})
	f.Fuzz(func(t *testing.T, method, path, headers string, body []byte) {
		u, err := url.ParseRequestURI(path)
		if err != nil || method == "" || strings.HasPrefix(u.Path, "/spillway/") {
			t.Skip()
		}
		r := &http.Request{Method: method, URL: u, RequestURI: path, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Host: "gateway.test",
			Header: parseHeaders(headers), Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body))}
		r = r.WithContext(t.Context())
		known := r.Header.Get("Api-Key") == teamKey || r.Header.Get("Authorization") == "Bearer "+teamKey
		before := records
		w := httptest.NewRecorder()
		a.ServeHTTP(w, r)

		alive := u.Path == "/" && (method == http.MethodGet || method == http.MethodHead)
		if !alive && records != before+1 {
			t.Errorf("%d records", records-before)
		}
		served := w.Header().Get("X-Spillway-Backend") != ""
		switch {
		case w.Code < 200 || w.Code > 599 || w.Code == 500:
			t.Errorf("status %d: %s", w.Code, w.Body)
		case served && !known:
			t.Errorf("a caller without a key was served: %v", r.Header)
		case !served && !alive && w.Code < 400 && !strings.HasSuffix(strings.TrimSuffix(u.Path, "/gpt-4o"), "/models"):
			t.Errorf("nobody served, and the status is %d", w.Code)
		case !served && w.Code >= 400:
			errorOf(t, w)
			if !json.Valid(w.Body.Bytes()) || w.Header().Get("Content-Length") != strconv.Itoa(w.Body.Len()) {
				t.Errorf("the error is declared with %s bytes: %q", w.Header().Get("Content-Length"), w.Body)
			}
		}
		for name, values := range w.Header() {
			for _, value := range values {
				if strings.ContainsAny(value, "\r\n\x00") || strings.Contains(value, clientSecret) {
					t.Errorf("the answer's header %s is %q", name, value)
				}
			}
		}
	})
}

// parseHeaders reads lines of "Name: value"; what is none is left out, as a
// server would have refused it.
func parseHeaders(lines string) http.Header {
	header := http.Header{}
	for line := range strings.SplitSeq(lines, "\n") {
		name, value, ok := strings.Cut(line, ":")
		if value = strings.Trim(value, " \t"); !ok || name == "" || strings.ContainsAny(name+value, "\r\x00") || strings.ContainsAny(name, " \t") {
			continue
		}
		header.Add(name, value)
	}
	return header
}
