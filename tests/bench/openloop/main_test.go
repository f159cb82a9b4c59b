package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"spillway/tests/bench/post"
)

// The arguments say what is sent and when it is due.
func TestParse(t *testing.T) {
	body := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(body, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	request := post.Args("http://127.0.0.1:1/path", body, nil)
	p, err := parse(append(request, "--rate", "1000", "--for", "2s", "--connections", "7"))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(p.due); p.Address != "127.0.0.1:1" || p.connections != 7 || n < 1800 || n > 2200 || p.due[n-1] >= 2*time.Second {
		t.Errorf("got %s, %d connections and %d requests; want 127.0.0.1:1, 7 and about 2000 in two seconds", p.Address, p.connections, n)
	}
	for _, wrong := range [][]string{{"--rate", "0"}, {"--for", "0s"}, {"--connections", "0"}, {"--body", "/no/such/file"}, {"--what"}} {
		if _, err := parse(append(request, wrong...)); err == nil {
			t.Errorf("%q are taken", wrong)
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
