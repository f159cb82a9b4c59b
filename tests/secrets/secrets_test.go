package secrets_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"spillway/tests/secrets"
)

const planted = "planted/secret+of these tests=1234567890"

func init() { secrets.Register("the planted one", planted) }

// recorder is a test that notes that it failed instead of failing.
type recorder struct {
	testing.TB
	errors   []string
	cleanups []func()
}

func (r *recorder) Helper()          {}
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

// end ends the test.
func (r *recorder) end() {
	for _, f := range r.cleanups {
		f()
	}
}

// A secret is found in whichever form it is written, and its beginning is enough.
func TestFind(t *testing.T) {
	tests := []struct {
		name, text string
		found      bool
	}{
		{"nothing", "", false},
		{"ordinary", `{"message":"request","credential":"sha256:0011aabb…"}`, false},
		{"as it is", "key=" + planted + "\n", true},
		{"in a URL", "GET /?key=" + url.QueryEscape(planted), true},
		{"in base64", base64.StdEncoding.EncodeToString([]byte(planted)), true},
		{"cut in half", planted[:len(planted)/2], true},
		{"its first letters", planted[:8], false},
		{"a token of anybody", "Bearer eyJhbGciOiJSUzI1NiIsImtpZCI6ImsifQ.e30.AAAA", true},
		{"the emulator's key", "AccountKey=Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==", true},
	}
	for _, test := range tests {
		if name, around, found := secrets.Find([]byte(test.text)); found != test.found {
			t.Errorf("%s: found %t (%s in %q), want %t", test.name, found, name, around, test.found)
		}
	}
}

// A secret in a log fails the test that the log is of, in whatever parts the line
// comes; a log without one does not.
func TestPlantedSecretFailsTheTest(t *testing.T) {
	clean := strings.Repeat(`{"level":"info","message":"request"}`+"\n", 50)
	for _, test := range []struct {
		name, log string
		fails     bool
	}{
		{"clean", clean, false},
		{"in the middle", clean + `{"error":"key ` + planted + ` is wrong"}` + "\n" + clean, true},
		{"in a line that never ends", clean + planted, true},
	} {
		for _, size := range []int{1, 7, 1000, 1 << 20} {
			r := &recorder{TB: t}
			w := secrets.NewWatch(r)
			for rest := test.log; rest != ""; {
				n, err := w.Write([]byte(rest[:min(size, len(rest))]))
				if err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			r.end()
			if (len(r.errors) > 0) != test.fails {
				t.Errorf("%s, in parts of %d: the test's errors are %q, want some: %t", test.name, size, r.errors, test.fails)
			}
			if int(w.Seen()) != len(test.log) {
				t.Errorf("%s, in parts of %d: %d bytes were looked at, want %d", test.name, size, w.Seen(), len(test.log))
			}
		}
	}
}

// Headers are looked at like bodies.
func TestPlantedSecretInAnAnswer(t *testing.T) {
	for _, test := range []struct {
		name   string
		header http.Header
		body   string
		fails  bool
	}{
		{"clean", http.Header{"X-Request-Id": {"req_1"}}, "{}", false},
		{"in a header", http.Header{"X-Debug": {planted}}, "{}", true},
		{"in the body", nil, `{"error":{"message":"` + planted + `"}}`, true},
	} {
		r := &recorder{TB: t}
		secrets.None(r, "an answer", test.header, []byte(test.body))
		w := secrets.NewWatch(r)
		w.Answer("an answer", test.header, []byte(test.body))
		r.end()
		if want := map[bool]int{true: 2}[test.fails]; len(r.errors) != want {
			t.Errorf("%s: errors %q, want %d", test.name, r.errors, want)
		}
	}
}

// Many may write, and secrets may come, at once.
func TestWatchOfManyWriters(t *testing.T) {
	r := &recorder{TB: t}
	w := secrets.NewWatch(r)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			secrets.Register("one of many", fmt.Sprintf("a secret of writer %d", i))
			for range 100 {
				_, _ = w.Write([]byte("an ordinary line\n"))
			}
		})
	}
	all.Wait()
	if r.end(); len(r.errors) > 0 {
		t.Errorf("errors %q", r.errors)
	}
}

// What it costs: a line of the log of 700 bytes.
func BenchmarkWatch(b *testing.B) {
	line := []byte(strings.Repeat(`{"level":"info","request_id":"req_0123456789abcdef","status":200},`, 11) + "\n")
	w := secrets.NewWatch(b)
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		_, _ = w.Write(line)
	}
}
