package e2e_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"spillway/tests/fakes/azureopenai"
)

// backend is a simulated resource on a socket that keeps every byte it writes.
type backend struct {
	*azureopenai.Server
	url     string
	closing func() // breaks the connections that are open

	mu      sync.Mutex
	answers []*written // guarded by mu
}

// written is an answer as the backend wrote it.
type written struct {
	mu     sync.Mutex
	status int          // guarded by mu
	header http.Header  // guarded by mu
	body   bytes.Buffer // guarded by mu
}

// newBackend starts a backend of its own for a test.
func newBackend(t testing.TB, o azureopenai.Options) *backend {
	t.Helper()
	b := &backend{Server: azureopenai.New(o)}
	server := httptest.NewServer(b)
	b.url, b.closing = server.URL, server.CloseClientConnections
	t.Cleanup(func() {
		b.Clear() // what hangs goes on
		server.CloseClientConnections()
		server.Close()
	})
	return b
}

// ServeHTTP answers as the simulated resource does.
func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := new(written)
	b.mu.Lock()
	b.answers = append(b.answers, answer)
	b.mu.Unlock()
	b.Server.ServeHTTP(&tap{w, answer}, r)
}

// last is the latest request, and what was answered to it.
func (b *backend) last(t testing.TB) (azureopenai.Recorded, *written) {
	t.Helper()
	request, ok := b.LastRequest()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !ok || len(b.answers) == 0 {
		t.Fatalf("%s has got no request", b.Name())
	}
	return request, b.answers[len(b.answers)-1]
}

// requests is how many requests the backend has got, of whatever kind.
func (b *backend) requests() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.answers)
}

// awaitCanceled waits until the backend has noticed that the client of a
// request is gone.
func (b *backend) awaitCanceled(t testing.TB, request int64) time.Time {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	event, err := b.Await(ctx, func(e azureopenai.Event) bool {
		return e.Request == request && e.Kind == azureopenai.EventCanceled
	})
	if err != nil {
		t.Fatalf("%s does not notice that the client of request %d is gone: %v", b.Name(), request, err)
	}
	return event.Time
}

// awaitAccepted waits until the backend works on the next request after so many
// others, and returns its number.
func (b *backend) awaitAccepted(t testing.TB, after int) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	event, err := b.Await(ctx, func(e azureopenai.Event) bool {
		return e.Kind == azureopenai.EventAccepted && e.Request > int64(after)
	})
	if err != nil {
		t.Fatalf("%s accepts no request: %v", b.Name(), err)
	}
	return event.Request
}

// bytes is the body as far as it is written.
func (w *written) bytes() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return bytes.Clone(w.body.Bytes())
}

// headers are those that were sent.
func (w *written) headers() http.Header {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.header.Clone()
}

// id is the id by which the backend knows the request.
func (w *written) id() string {
	h := w.headers()
	return cmp.Or(h.Get("Apim-Request-Id"), h.Get("X-Request-Id"))
}

// text is the generated text of the answer's first choice, of a plain answer or
// of a stream, read without the client under test.
func (w *written) text(t testing.TB) string {
	t.Helper()
	type choice struct {
		Index   int
		Text    string
		Message struct{ Content string }
		Delta   struct{ Content string }
	}
	var text strings.Builder
	for _, event := range dataOf(w.bytes()) {
		var chunk struct{ Choices []choice }
		if err := json.Unmarshal([]byte(event), &chunk); err != nil {
			t.Fatalf("the backend wrote %q: %v", event, err)
		}
		for _, c := range chunk.Choices {
			if c.Index == 0 {
				text.WriteString(c.Text + c.Message.Content + c.Delta.Content)
			}
		}
	}
	return text.String()
}

// dataOf are the data fields of a stream, without the end mark; a body that is
// no stream is taken whole.
func dataOf(body []byte) []string {
	if !bytes.HasPrefix(body, []byte("data: ")) {
		return []string{string(body)}
	}
	var all []string
	for _, event := range eventsOf(body) {
		if data := strings.TrimSuffix(strings.TrimPrefix(event, "data: "), "\n\n"); data != "[DONE]" {
			all = append(all, data)
		}
	}
	return all
}

// eventsOf cuts a stream into its events, each with its blank line.
func eventsOf(stream []byte) []string {
	return slices.DeleteFunc(strings.SplitAfter(string(stream), "\n\n"), func(event string) bool { return event == "" })
}

// tap keeps what is written through it.
type tap struct {
	http.ResponseWriter
	answer *written
}

// Unwrap lets http.ResponseController reach the connection.
func (w *tap) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader sends the status and the headers.
func (w *tap) WriteHeader(status int) {
	w.answer.mu.Lock()
	w.answer.status, w.answer.header = status, w.Header().Clone()
	w.answer.mu.Unlock()
	w.ResponseWriter.WriteHeader(status)
}

// Write sends bytes of the body.
func (w *tap) Write(p []byte) (int, error) {
	w.answer.mu.Lock()
	if w.answer.header == nil {
		w.answer.status, w.answer.header = http.StatusOK, w.Header().Clone()
	}
	w.answer.body.Write(p)
	w.answer.mu.Unlock()
	return w.ResponseWriter.Write(p)
}
