package azureopenai_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"testing"
	"time"

	"spillway/tests/fakes/azureopenai"
)

const (
	chatPath  = "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"
	textPath  = "/openai/deployments/gpt-4o/completions?api-version=2024-10-21"
	embedPath = "/openai/deployments/text-embedding-3-small/embeddings?api-version=2024-10-21"
	hello     = `{"messages":[{"role":"user","content":"Hello!"}]}`
)

// one returns a resource with one deployment, gpt-4o.
func one(d azureopenai.Deployment, change ...func(*azureopenai.Options)) *azureopenai.Server {
	d.Name = "gpt-4o"
	o := azureopenai.Options{Name: "test", Deployments: []azureopenai.Deployment{d, {Name: "text-embedding-3-small"}}}
	for _, c := range change {
		c(&o)
	}
	return azureopenai.New(o)
}

// send posts a body in memory. The answer's body is closed at the test's end.
func send(t *testing.T, s *azureopenai.Server, path, body string, header ...string) *http.Response {
	t.Helper()
	resp, err := trySend(t.Context(), s, path, body, header...)
	if err != nil {
		t.Fatalf("POST %s: %v", path, err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func trySend(ctx context.Context, s *azureopenai.Server, path, body string, header ...string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://fake"+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return s.RoundTripper().RoundTrip(r)
}

func read(t *testing.T, resp *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("reading the answer: %v", err)
	}
	return string(body)
}

// object decodes a JSON object.
func object(t *testing.T, text string) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("answer is not a JSON object: %v\n%s", err, text)
	}
	return v
}

// at walks into decoded JSON: names for objects, numbers for arrays.
func at(v any, path ...any) any {
	for _, step := range path {
		switch key := step.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[key]
		case int:
			a, _ := v.([]any)
			if key >= len(a) {
				return nil
			}
			v = a[key]
		}
	}
	return v
}

// events reads a stream to its end: the data of each event.
func events(t *testing.T, r io.Reader) []string {
	t.Helper()
	body, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("reading the stream: %v", err)
	}
	var all []string
	for event := range bytes.SplitSeq(bytes.TrimSuffix(body, []byte("\n\n")), []byte("\n\n")) {
		data, found := strings.CutPrefix(string(event), "data: ")
		if !found {
			t.Fatalf("event without data: %q", event)
		}
		all = append(all, data)
	}
	return all
}

// nextEvent reads one event of a stream.
func nextEvent(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	line, err := r.ReadString('\n')
	if err == nil {
		_, err = r.ReadString('\n')
	}
	if err != nil {
		t.Fatalf("reading an event: %v", err)
	}
	return strings.TrimSuffix(strings.TrimPrefix(line, "data: "), "\n")
}

// advance lets virtual time pass.
func advance(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
		t.Fatal("test ended")
	}
}

// check asserts what holds at every moment: all requests are accounted for, no
// window of a fixed limiter holds more than its limit, nothing is negative.
func check(t *testing.T, s *azureopenai.Server, limit int64) {
	t.Helper()
	for name, stats := range s.Stats() {
		if sum := stats.Accepted + stats.Rejected429 + stats.Failed + stats.Canceled; sum < stats.Requests-stats.InFlight {
			t.Errorf("%s: %d requests, but only %d accounted for, want at least %d: %+v", name, stats.Requests, sum, stats.Requests-stats.InFlight, stats)
		}
		if stats.InFlight < 0 || stats.CompletionTokens < 0 || stats.PromptTokens < stats.CachedTokens {
			t.Errorf("%s: impossible counters %+v", name, stats)
		}
		for window, charged := range stats.TokensCharged {
			if limit > 0 && charged > limit {
				t.Errorf("%s: window %d charged %d of %d", name, window, charged, limit)
			}
		}
		if s.Room(name, time.Now()) < 0 && limit > 0 {
			t.Errorf("%s: negative room", name)
		}
	}
}

// call sends a request of any method in memory.
func call(t *testing.T, s *azureopenai.Server, method, path, body string, header ...string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://fake"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := s.RoundTripper().RoundTrip(r)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// answer sends a request and decodes the answer, which must be 200.
func answer(t *testing.T, s *azureopenai.Server, method, path, body string) map[string]any {
	t.Helper()
	resp := call(t, s, method, path, body)
	text := read(t, resp)
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: status %d, want %d: %s", method, path, resp.StatusCode, http.StatusOK, text)
	}
	return object(t, text)
}

// refused sends a request and returns the error in the answer, with its status.
func refused(t *testing.T, s *azureopenai.Server, method, path, body string, header ...string) (int, map[string]any) {
	t.Helper()
	resp := call(t, s, method, path, body, header...)
	problem, _ := object(t, read(t, resp))["error"].(map[string]any)
	return resp.StatusCode, problem
}

// typedEvents reads a stream of typed events to its end: the data of each.
func typedEvents(t *testing.T, r io.Reader) []map[string]any {
	t.Helper()
	body, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("reading the stream: %v", err)
	}
	var all []map[string]any
	for event := range strings.SplitSeq(strings.TrimSuffix(string(body), "\n\n"), "\n\n") {
		name, data, _ := strings.Cut(event, "\n")
		if !strings.HasPrefix(event, "event: ") {
			name, data = "", event
		}
		decoded := object(t, strings.TrimPrefix(data, "data: "))
		if name != "" && name != "event: "+decoded["type"].(string) {
			t.Errorf("event %q of type %v", name, decoded["type"])
		}
		all = append(all, decoded)
	}
	return all
}

// typesOf are the types of events, runs of the same one as one.
func typesOf(all []map[string]any) []string {
	var types []string
	for _, event := range all {
		if kind, _ := event["type"].(string); len(types) == 0 || types[len(types)-1] != kind {
			types = append(types, kind)
		}
	}
	return types
}

// studio returns a resource with a model of each kind, whose answers have five
// tokens.
func studio(change ...func(*azureopenai.Options)) *azureopenai.Server {
	o := azureopenai.Options{Name: "studio", Output: azureopenai.Output{Exact: 5}}
	for _, name := range []string{"gpt-4o", "text-embedding-3-small", "gpt-image-1", "dall-e-3", "gpt-4o-mini-tts", "tts-1",
		"gpt-4o-transcribe", "whisper-1", "omni-moderation-latest"} {
		o.Deployments = append(o.Deployments, azureopenai.Deployment{Name: name})
	}
	for _, c := range change {
		c(&o)
	}
	return azureopenai.New(o)
}

// form is a multipart body. A value that begins with @ is a file: @name=content.
func form(t *testing.T, pairs ...string) (body, contentType string) {
	t.Helper()
	var out strings.Builder
	w := multipart.NewWriter(&out)
	for i := 0; i+1 < len(pairs); i += 2 {
		var err error
		if file, ok := strings.CutPrefix(pairs[i+1], "@"); ok {
			name, content, _ := strings.Cut(file, "=")
			var part io.Writer
			if part, err = w.CreateFormFile(pairs[i], name); err == nil {
				_, err = io.WriteString(part, content)
			}
		} else {
			err = w.WriteField(pairs[i], pairs[i+1])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String(), w.FormDataContentType()
}

// sendForm posts a form.
func sendForm(t *testing.T, s *azureopenai.Server, path string, pairs ...string) *http.Response {
	t.Helper()
	body, content := form(t, pairs...)
	return call(t, s, http.MethodPost, path, body, "Content-Type", content)
}
