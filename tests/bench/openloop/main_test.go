package main

import (
	"bufio"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The arguments make a request that a server understands, and say when it is due.
func TestParse(t *testing.T) {
	body := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(body, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := parse([]string{"--url", "http://127.0.0.1:1/path?a=b", "--body", body, "--rate", "1000", "--for", "2s", "--connections", "7", "--header", "X-Test: yes"})
	if err != nil {
		t.Fatal(err)
	}
	if n := len(p.due); p.address != "127.0.0.1:1" || p.connections != 7 || n < 1800 || n > 2200 || p.due[n-1] >= 2*time.Second {
		t.Errorf("got %s, %d connections and %d requests", p.address, p.connections, n)
	}
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(string(p.request))))
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r.Body)
	if err != nil || string(content) != "{}" || r.Method != http.MethodPost || r.URL.String() != "/path?a=b" || r.Header.Get("X-Test") != "yes" {
		t.Errorf("got %s %s, %q, %v: %s", r.Method, r.URL, content, err, p.request)
	}
	for _, args := range [][]string{
		{"--body", "/no/such/file"}, {"--body", body, "--rate", "0"}, {"--body", body, "--for", "0s"}, {"--body", body, "--connections", "0"},
		{"--body", body, "--header", "nonsense"}, {"--body", body, "--url", "http://["}, {"--what"},
	} {
		if _, err := parse(args); err == nil {
			t.Errorf("%q are taken", args)
		}
	}
}

// Numbers leave a queue in the order in which they came, also where its ring closes.
func TestQueue(t *testing.T) {
	q := newQueue(2)
	if n, ok := q.pop(); ok {
		t.Errorf("an empty queue gives %d", n)
	}
	q.push(1)
	for n := 2; n < 10; n++ {
		q.push(n)
		if got, ok := q.pop(); !ok || got != n-1 {
			t.Errorf("got %d, %t; want %d", got, ok, n-1)
		}
	}
}
