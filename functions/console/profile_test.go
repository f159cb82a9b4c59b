package console_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"spillway/functions/console"
	"spillway/shared/openai"
)

// An admin gets profiles that go tool pprof reads, and nobody else gets any.
func TestProfiles(t *testing.T) {
	admin := true
	c := console.New(console.Options{
		Admin:    func(*http.Request) (string, bool) { return "ops", admin },
		Consumer: func(context.Context, *http.Request) (string, *openai.Error) { return "", openai.Unauthorized() },
	})
	ask := func(name string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		c.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/spillway/debug/pprof/"+name, nil))
		return w
	}
	for _, name := range []string{"heap", "allocs", "goroutine", "mutex", "block"} {
		w := ask(name)
		unpacked, err := gzip.NewReader(bytes.NewReader(w.Body.Bytes()))
		if err != nil {
			t.Fatalf("%s: %d, %v", name, w.Code, err)
		}
		if text, err := io.ReadAll(unpacked); err != nil || !bytes.Contains(text, []byte("runtime")) && name != "mutex" && name != "block" {
			t.Errorf("%s holds no profile: %v", name, err)
		}
	}
	for _, name := range []string{"", "cmdline", "symbol", "nonsense"} {
		if w := ask(name); w.Code != http.StatusNotFound {
			t.Errorf("%q is served: %d, want %d", name, w.Code, http.StatusNotFound)
		}
	}
	admin = false
	if w := ask("heap"); w.Code != http.StatusUnauthorized {
		t.Errorf("a stranger gets %d, want %d", w.Code, http.StatusUnauthorized)
	}
}
