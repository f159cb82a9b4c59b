package wire

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// sorted puts the fields of a message in order: their order means nothing.
func sorted(message []byte) string {
	head, body, _ := strings.Cut(string(message), "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	slices.Sort(lines[1:])
	return strings.Join(lines, "\n") + "\n\n" + body
}

// messageOf is what is sent of a request, if that is not left to net/http.
func messageOf(transport *Transport, r *http.Request) (m *message, ordinary bool) {
	to := transport.target(r)
	if special(r) || to.shelf == nil {
		return nil, false
	}
	var header []Field
	for name, values := range r.Header {
		header = append(header, Field{name, values})
	}
	var body Body
	if hasBody(r) {
		body = &readBody{request: r, next: r.Body}
	}
	m = new(message)
	if !m.begin(to, header, body) {
		return nil, false
	}
	return m, m.load(body) == nil
}

// checkMessage holds what is sent of a request, if it is ordinary, against what net/http
// sends.
func checkMessage(t *testing.T, r *http.Request, body string) (ordinary bool) {
	t.Helper()
	again := *r
	if hasBody(r) {
		r.Body, again.Body = io.NopCloser(strings.NewReader(body)), io.NopCloser(strings.NewReader(body))
	}
	m, ordinary := messageOf(New(new(http.Transport)), r)
	if !ordinary {
		return false
	}
	var want bytes.Buffer
	if err := again.Write(&want); err != nil {
		t.Fatalf("net/http refuses what is ordinary here: %v", err)
	}
	if got, want := sorted(m.bytes), sorted(want.Bytes()); got != want {
		t.Errorf("sent\n%s\nwant\n%s", got, want)
	}
	if _, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(m.bytes))); err != nil && !strings.Contains(err.Error(), "missing required Host") {
		_, oracle := http.ReadRequest(bufio.NewReader(bytes.NewReader(want.Bytes())))
		if oracle == nil {
			t.Errorf("a server refuses it: %v", err)
		}
	}
	return true
}

// What is sent is what net/http sends.
func TestMessages(t *testing.T) {
	header := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h[pairs[i]] = append(h[pairs[i]], pairs[i+1])
		}
		return h
	}
	tests := []struct {
		name, method, url, host string
		header                  http.Header
		body                    string
	}{
		{"GET", "GET", "http://contoso.test", "", header(), ""},
		{"no method", "", "http://contoso.test/", "", header(), ""},
		{"POST", "POST", "http://contoso.test:8080/a/b?x=1&y=%20", "", header("Content-Type", "application/json"), "{}"},
		{"POST without a body", "POST", "https://contoso.test/a", "", header(), ""},
		{"DELETE without a body", "DELETE", "https://contoso.test/a", "", header(), ""},
		{"another Host", "PUT", "http://[::1]:80/a", "other.test", header(), "x"},
		{"path to escape", "GET", "http://contoso.test/a%2Fb/ü x", "", header(), ""},
		{"empty query", "GET", "http://contoso.test/a?", "", header(), ""},
		{"agent", "GET", "http://contoso.test/", "", header("User-Agent", " contoso/1 ", "User-Agent", "2"), ""},
		{"no agent", "GET", "http://contoso.test/", "", header("User-Agent", ""), ""},
		{"many values", "GET", "http://contoso.test/", "", header("Accept", "a", "Accept", " b\t", "X-Empty", ""), ""},
		{"no values", "GET", "http://contoso.test/", "", http.Header{"Idempotency-Key": {}}, ""},
		{"what it writes itself", "POST", "http://contoso.test/", "", header("Host", "x", "Content-Length", "9", "Transfer-Encoding", "chunked", "Trailer", "x"), "body"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			u, err := url.Parse(test.url)
			if err != nil {
				t.Fatal(err)
			}
			r := &http.Request{Method: test.method, URL: u, Host: test.host, Header: test.header, ContentLength: int64(len(test.body))}
			if test.body != "" {
				r.Body = http.MaxBytesReader(nil, nil, 0) // any: checkMessage puts in its own
			}
			if !checkMessage(t, r, test.body) {
				t.Error("not ordinary")
			}
		})
	}
}

func FuzzMessage(f *testing.F) {
	f.Add("POST", "http", "contoso.test:443", "/a b/", "api-version=1", "", "Content-Type", "application/json", "{}")
	f.Add("GET", "https", "[::1]", "//x", "a b", "host:1", "X-Y", " v\t", "")
	f.Add("G T", "http", "a/b", "*", "\r\nX: y", "a\r\nb", "A\r\nB", "c\r\nd", "x")
	f.Fuzz(func(t *testing.T, method, scheme, host, path, query, hostField, name, value, body string) {
		r := &http.Request{
			Method: method, URL: &url.URL{Scheme: scheme, Host: host, Path: path, RawQuery: query}, Host: hostField,
			Header: http.Header{name: {value}}, ContentLength: int64(len(body)),
		}
		if body != "" {
			r.Body = io.NopCloser(strings.NewReader(body))
		}
		checkMessage(t, r, body)
	})
}

// Whatever is not ordinary is left to net/http: what it refuses, too.
func TestOrdinary(t *testing.T) {
	base := func() *http.Request {
		r, err := http.NewRequest("POST", "http://contoso.test/a?b=c", strings.NewReader("body"))
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	transport := New(new(http.Transport))
	if _, ordinary := messageOf(transport, base()); !ordinary {
		t.Fatal("an ordinary request is not ordinary")
	}
	for name, change := range map[string]func(*http.Request){
		"no URL":             func(r *http.Request) { r.URL = nil },
		"no header":          func(r *http.Request) { r.Header = nil },
		"another scheme":     func(r *http.Request) { r.URL.Scheme = "ftp" },
		"opaque URL":         func(r *http.Request) { r.URL.Opaque = "//x/y" },
		"no host":            func(r *http.Request) { r.URL.Host = "" },
		"host to convert":    func(r *http.Request) { r.URL.Host = "bücher.test" },
		"host without port":  func(r *http.Request) { r.URL.Host = "contoso.test:" },
		"zone":               func(r *http.Request) { r.URL.Host = "[fe80::1%25eth0]" },
		"bad Host":           func(r *http.Request) { r.Host = "a b" },
		"query with a line":  func(r *http.Request) { r.URL.RawQuery = "a\r\nb" },
		"query with a space": func(r *http.Request) { r.URL.RawQuery = "a b" },
		"bad method":         func(r *http.Request) { r.Method = "GE T" },
		"CONNECT":            func(r *http.Request) { r.Method = "CONNECT" },
		"close":              func(r *http.Request) { r.Close = true },
		"encoding":           func(r *http.Request) { r.TransferEncoding = []string{"chunked"} },
		"trailer":            func(r *http.Request) { r.Trailer = http.Header{"X": nil} },
		"unknown length":     func(r *http.Request) { r.ContentLength = -1 },
		"length 0 of a body": func(r *http.Request) { r.ContentLength = 0 },
		"large body":         func(r *http.Request) { r.ContentLength = MaxCopied + 1 },
		"length of no body":  func(r *http.Request) { r.Body = nil },
		"Connection":         func(r *http.Request) { r.Header.Set("Connection", "close") },
		"Upgrade":            func(r *http.Request) { r.Header.Set("Upgrade", "x") },
		"Expect":             func(r *http.Request) { r.Header.Set("Expect", "100-continue") },
		"bad name":           func(r *http.Request) { r.Header["A B"] = []string{"x"} },
		"empty name":         func(r *http.Request) { r.Header[""] = []string{"x"} },
		"bad value":          func(r *http.Request) { r.Header["A"] = []string{"x", "a\r\nb: c"} },
	} {
		r := base()
		change(r)
		if _, ordinary := messageOf(transport, r); ordinary {
			t.Errorf("%s: ordinary", name)
		}
	}
}

// closing notes that it was closed.
type closing struct {
	io.Reader
	closed int
	err    error
}

func (c *closing) Close() error {
	c.closed++
	return c.err
}

// A body of another length than was said, or one that cannot be read, is not
// sent, and its connection is not lost.
func TestBadBodies(t *testing.T) {
	broken := errors.New("broken")
	b := listen(t, answering(okAnswer))
	transport := newTransport(t)
	for name, body := range map[string]*closing{
		"short":               {Reader: strings.NewReader("abc")},
		"empty":               {Reader: strings.NewReader("")},
		"long":                {Reader: strings.NewReader("abcde")},
		"broken":              {Reader: iotest.ErrReader(broken)},
		"broken at the end":   {Reader: io.MultiReader(strings.NewReader("abcd"), iotest.ErrReader(broken))},
		"cut":                 {Reader: io.MultiReader(strings.NewReader("abcd"), iotest.ErrReader(io.ErrUnexpectedEOF))},
		"that fails to close": {Reader: strings.NewReader("abcd"), err: broken},
	} {
		r := request(t.Context(), t, "POST", b.url, "abcd")
		r.Body = body
		if got := fetch(transport, r); got.err == nil || body.closed != 1 {
			t.Errorf("%s: got %+v, closed %d times", name, got, body.closed)
		}
	}
	slow := &closing{Reader: iotest.OneByteReader(strings.NewReader("abcd"))}
	r := request(t.Context(), t, "POST", b.url, "abcd")
	r.Body = slow
	if got := fetch(transport, r); got.err != nil || slow.closed != 1 {
		t.Errorf("byte by byte: got %+v, closed %d times", got, slow.closed)
	}
	if got := b.connections.Load(); got != 1 {
		t.Errorf("%d connections, want 1", got)
	}
}

// However a request fails, its body is closed.
func TestBodyIsClosed(t *testing.T) {
	refused := errors.New("refused")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, ctx := range map[string]context.Context{"no connection": t.Context(), "canceled before": ended} {
		transport := newTransport(t, refusing(refused))
		body := &closing{Reader: strings.NewReader("abcd")}
		r := request(ctx, t, "POST", "http://contoso.test", "abcd")
		r.Body = body
		if got := fetch(transport, r); got.err == nil || body.closed != 1 {
			t.Errorf("%s: got %+v, closed %d times", name, got, body.closed)
		}
	}
}
