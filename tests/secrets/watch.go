package secrets

import (
	"bytes"
	"fmt"
	"net/http"
	"sync"
	"testing"
)

// Watch looks at all that a test lets it see, and fails the test when it ends if
// there was a secret. It is an io.Writer for what comes in parts, such as a log. It
// is safe for concurrent use.
type Watch struct {
	mu    sync.Mutex
	rest  []byte   // guarded by mu; of the line that is not complete yet
	finds []string // guarded by mu
	seen  int64    // guarded by mu; bytes
}

// mostFinds is how many finds of one test are told.
const mostFinds = 5

// NewWatch returns a Watch for a test.
func NewWatch(t testing.TB) *Watch {
	t.Helper()
	w := new(Watch)
	t.Cleanup(func() {
		for _, find := range w.Finds() {
			t.Errorf("a secret is seen: %s", find)
		}
	})
	return w
}

// Finds tells what was found so far, what a line that is not complete holds
// included.
func (w *Watch) Finds() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.rest) > 0 {
		w.look("a line", w.rest)
		w.rest = nil
	}
	return w.finds
}

// Seen is how many bytes were looked at.
func (w *Watch) Seen() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen
}

// Write looks at lines, which may come in any parts. It never fails.
func (w *Watch) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	end := bytes.LastIndexByte(p, '\n') + 1
	switch {
	case end > 0 && len(w.rest) == 0:
		w.look("a line", p[:end])
	case end > 0:
		w.look("a line", append(w.rest, p[:end]...))
		w.rest = w.rest[:0]
	}
	w.rest = append(w.rest, p[end:]...)
	return len(p), nil
}

// Text looks at a text as a whole; what it is called in a report.
func (w *Watch) Text(what string, text []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.look(what, text)
}

// Answer looks at the headers and the body of an answer.
func (w *Watch) Answer(what string, h http.Header, body []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.look("a header of "+what, headerText(h))
	w.look("the body of "+what, body)
}

// look requires mu.
func (w *Watch) look(what string, text []byte) {
	w.seen += int64(len(text))
	if name, around, found := Find(text); found && len(w.finds) < mostFinds {
		w.finds = append(w.finds, fmt.Sprintf("%s, in %s: …%s…", name, what, around))
	}
}

// headerText are the fields as lines.
func headerText(h http.Header) []byte {
	var text bytes.Buffer
	_ = h.Write(&text) // a buffer takes all
	return text.Bytes()
}

// None asserts that an answer holds no secret.
func None(t testing.TB, what string, h http.Header, body []byte) {
	t.Helper()
	for _, text := range [][]byte{headerText(h), body} {
		if name, around, found := Find(text); found {
			t.Errorf("a secret is seen: %s, in %s: …%s…", name, what, around)
		}
	}
}
