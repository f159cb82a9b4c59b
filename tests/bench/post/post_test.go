package post

import (
	"bufio"
	"bytes"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// described is the request that a command with only these arguments sends.
func described(args []string) (Request, error) {
	flags := flag.NewFlagSet("test", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	described := Define(flags)
	if err := flags.Parse(args); err != nil {
		return Request{}, err
	}
	return described.Request()
}

// bodyFile holds the body of a request.
func bodyFile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(file, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// What Args describes, Define understands, and a server reads: the target, the body and
// the header, in which the content's type may be another than JSON.
func TestArgumentsMakeTheRequest(t *testing.T) {
	file := bodyFile(t)
	for _, test := range []struct {
		name   string
		header map[string]string
		want   http.Header
	}{
		{"no header", nil, http.Header{"Content-Type": {"application/json"}}},
		{"two fields", map[string]string{"Authorization": "Bearer a: b", "X-Test": "yes"},
			http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer a: b"}, "X-Test": {"yes"}}},
		{"another type", map[string]string{"Content-Type": "text/plain"}, http.Header{"Content-Type": {"text/plain"}}},
	} {
		got, err := described(Args("http://127.0.0.1:1/path?a=b", file, test.header))
		if err != nil || got.Address != "127.0.0.1:1" {
			t.Errorf("%s: to %q, %v; want to 127.0.0.1:1", test.name, got.Address, err)
			continue
		}
		rest := bufio.NewReader(bytes.NewReader(got.Bytes))
		r, err := http.ReadRequest(rest)
		if err != nil {
			t.Errorf("%s: %v in %q", test.name, err, got.Bytes)
			continue
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != "{}" || r.Method != http.MethodPost || r.URL.String() != "/path?a=b" || r.Host != "127.0.0.1:1" {
			t.Errorf("%s: got %s %s of %s with %q, %v; want POST /path?a=b of 127.0.0.1:1 with {}", test.name, r.Method, r.URL, r.Host, body, err)
		}
		want := test.want.Clone()
		want.Set("Content-Length", "2")
		if len(r.Header) != len(want) {
			t.Errorf("%s: the header is %v, want %v", test.name, r.Header, want)
		}
		for name := range want {
			if r.Header.Get(name) != want.Get(name) {
				t.Errorf("%s: %s is %q, want %q", test.name, name, r.Header.Get(name), want.Get(name))
			}
		}
		if left, _ := io.ReadAll(rest); len(left) > 0 {
			t.Errorf("%s: %q is sent after the request", test.name, left)
		}
	}
}

// A request that cannot be sent is an error before anything is sent.
func TestArgumentsThatAreRefused(t *testing.T) {
	file := bodyFile(t)
	for name, args := range map[string][]string{
		"no file of the body":       {"--body", "/no/such/file"},
		"a header without a value":  {"--body", file, "--header", "nonsense"},
		"a target that is no URL":   {"--body", file, "--url", "http://["},
		"a flag that is not theirs": {"--body", file, "--what"},
	} {
		if got, err := described(args); err == nil {
			t.Errorf("%s: %q are taken, and make %q", name, args, got.Bytes)
		}
	}
}
