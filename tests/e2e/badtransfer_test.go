package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// What goes wrong below the level of JSON: sizes, framing, connections.
func TestBadTransfers(t *testing.T) {
	const head = "POST /v1/chat/completions HTTP/1.1\r\nHost: spillway\r\nAuthorization: Bearer " + callerKey + "\r\nContent-Type: application/json\r\n"
	large := chatBody("gpt-4o") + strings.Repeat(" ", 400<<10)
	tests := []struct {
		name    string
		request string
		status  int
		code    string
	}{
		{name: "a body said to be too large", request: head + "Content-Length: 999999999\r\n\r\n{", status: 413, code: "request_too_large"},
		{name: "a body too large", request: head + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(large), large), status: 413, code: "request_too_large"},
		{name: "a body too large in chunks", request: head + fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(large), large), status: 413, code: "request_too_large"},
		{name: "chunks that stop coming", request: head + "Transfer-Encoding: chunked\r\n\r\n10\r\n{\"model\":\"gpt-4o", status: 408, code: "body_timeout"},
		{name: "a body that stops coming", request: head + "Content-Length: 100\r\n\r\n{\"model\":", status: 408, code: "body_timeout"},
		{name: "a body that never begins", request: head + "Content-Length: 100\r\n\r\n", status: 408, code: "body_timeout"},
		{name: "no key, and a body that never begins", request: "POST /v1/chat/completions HTTP/1.1\r\nHost: spillway\r\nContent-Length: 100\r\n\r\n", status: 401, code: "invalid_api_key"},
		{name: "an unknown path, and a body that stops coming", request: "POST /v1/nothing HTTP/1.1\r\nHost: spillway\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", status: 404, code: "unknown_url"},
		{name: "a page of ours, and a body that never begins", request: "POST /spillway/nothing HTTP/1.1\r\nHost: spillway\r\nContent-Length: 100\r\n\r\n", status: 404, code: "unknown_url"},
		{name: "chunks that are none", request: head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n", status: 400},
	}
	s := besiege(t, 500*time.Millisecond)
	s.unmoved(t, func() {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				got := s.refused(t, s.raw(t, test.request), test.status)
				if got.Code != test.code {
					t.Errorf("code %q, want %q: %s", got.Code, test.code, got.Message)
				}
			})
		}
		t.Run("a body that ends early", func(t *testing.T) {
			connection := s.dial(t)
			_, _ = io.WriteString(connection, head+"Content-Length: 100\r\n\r\n{\"model\":")
			if err := connection.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			s.refused(t, readAnswer(t, connection), 400)
		})
		t.Run("no key", func(t *testing.T) {
			s.refused(t, s.send(t, call{path: "/v1/chat/completions", body: chatBody("gpt-4o")}), 401)
		})
		t.Run("two keys", func(t *testing.T) {
			s.refused(t, s.send(t, call{path: "/v1/chat/completions", header: http.Header{"Api-Key": {callerKey, "another"}}, body: chatBody("gpt-4o")}), 401)
		})
		t.Run("the admin's key is no caller's", func(t *testing.T) {
			s.refused(t, s.send(t, call{path: "/v1/chat/completions", key: adminKey, from: openAI, body: chatBody("gpt-4o")}), 401)
		})
		t.Run("the caller's key is no admin's", func(t *testing.T) {
			s.refused(t, s.send(t, call{method: http.MethodGet, path: "/spillway/status", key: callerKey, from: openAI}), 403)
		})
	})
}

// What is not HTTP at all is answered by net/http, in its own words or not at
// all. It must only not harm.
func TestNotHTTP(t *testing.T) {
	s := besiege(t, patience)
	s.unmoved(t, func() {
		for name, request := range map[string]string{
			"a NUL in the path":     "POST /v1/chat\x00/completions HTTP/1.1\r\nHost: spillway\r\n\r\n",
			"a line without end":    strings.Repeat("G", 200<<10),
			"headers of 200 KB":     "GET / HTTP/1.1\r\nHost: spillway\r\nX-A: " + strings.Repeat("a", 200<<10) + "\r\n\r\n",
			"two lengths":           "POST /v1/chat/completions HTTP/1.1\r\nHost: spillway\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}}",
			"length and chunks":     "POST /v1/chat/completions HTTP/1.1\r\nHost: spillway\r\nContent-Length: 2\r\nTransfer-Encoding: chunked, gzip\r\n\r\n{}",
			"a greeting of TLS":     "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\xaa", 300),
			"a preface of HTTP/2":   "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
			"a negative length":     "POST /v1/chat/completions HTTP/1.1\r\nHost: spillway\r\nContent-Length: -5\r\n\r\n",
			"a header without name": "GET / HTTP/1.1\r\nHost: spillway\r\n: x\r\n\r\n",
		} {
			t.Run(name, func(t *testing.T) {
				connection := s.dial(t)
				_, _ = io.WriteString(connection, request) // the gateway may close before the end
				_ = connection.(*net.TCPConn).CloseWrite() // likewise
				said, _ := io.ReadAll(connection)          // reset or closed: both end it
				if bytes.HasPrefix(said, []byte("HTTP/1.1 2")) {
					t.Errorf("it is served: %.300q", said)
				}
				s.silent(t, answer{body: said})
			})
		}
	})
}

// A prompt of one endless word is the worst case of every tokenizer. It costs
// the gateway little, whichever way its tokens are counted.
func TestLongUnbrokenPrompt(t *testing.T) {
	s := besiege(t, patience)
	body := `{"model":"«»","messages":[{"role":"user","content":"` + strings.Repeat("a", 100_000) + `"}]` // 25,000 tokens by characters
	ask := func(name, path, more string) {
		t.Run(name, func(t *testing.T) {
			model := "gpt-4o"
			if name == "plain" {
				model = "gpt-4o-mini"
			}
			got := s.send(t, call{path: path, key: callerKey, from: classic, body: strings.Replace(body, "«»", model, 1) + more + "}"}).served(t)
			r := s.record(t, got.id())
			t.Logf("the gateway's own time: %.1f ms; %d tokens of prompt (measured: %v)", r.own(), r.Prompt, r.Measured)
			if r.Prompt < 10_000 {
				t.Errorf("%d tokens of prompt are recorded, want at least 10000", r.Prompt)
			}
		})
	}
	ask("plain", "/v1/chat/completions", ``)
	ask("stream with usage", "/v1/chat/completions", `,"stream":true`)
	ask("stream without usage", "/openai/deployments/gpt-4o/chat/completions?api-version=2024-02-01", `,"stream":true`)
}

// One client's bad input is nothing to the others: while garbage comes on many
// connections, good requests are served.
func TestGoodRequestsAmongBadOnes(t *testing.T) {
	s := besiege(t, patience)
	const floods, connections, good = 4, 500, 30
	stop, done := make(chan struct{}), make(chan int)
	for i := range floods {
		go func() { done <- s.flood(stop, connections, i) }()
	}
	for range good {
		got := s.send(t, call{path: "/v1/chat/completions", key: callerKey, from: openAI, body: chatBody("gpt-4o")}).served(t)
		s.record(t, got.id()) // it is counted
	}
	close(stop)
	total := 0
	for range floods {
		total += <-done
	}
	if total == 0 {
		t.Fatal("no garbage was sent")
	}
	t.Logf("%d good requests were served among %d bad connections", good, total)
	totals := s.state(t).Totals
	if totals["served"] != good || totals["attempts"] != good || s.backend.requests() != good {
		t.Errorf("%d requests were served with %d attempts, and %d came to the backend; want %d",
			totals["served"], totals["attempts"], s.backend.requests(), good)
	}
}

// flood sends the same garbage on one connection after another, at most so many
// and until it is told to stop. It returns how many connections there were.
func (s *besieged) flood(stop <-chan struct{}, most, kind int) int {
	garbage := []string{
		"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{",
		"\x00\x01\x02\r\n\r\n",
		"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + callerKey + "\r\nContent-Length: 2\r\n\r\n[]",
		"GET /spillway/status HTTP/1.1\r\nHost: x\r\n\r\n",
	}[kind]
	for sent := range most {
		select {
		case <-stop:
			return sent
		default:
		}
		connection, err := net.Dial("tcp", s.address)
		if err != nil {
			return sent
		}
		_, _ = io.WriteString(connection, garbage) // the gateway may have closed
		_ = connection.Close()
	}
	return most
}
