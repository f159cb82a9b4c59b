package gateway_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"spillway/tests/rig"
)

// A body that is no request is refused in OpenAI's shape before anything is
// counted or any backend asked.
func TestBadBodies(t *testing.T) {
	const chat = `"messages":[{"role":"user","content":"Hello!"}]`
	deep := strings.Repeat(`[`, 10_000) + strings.Repeat(`]`, 10_000)
	tests := []struct {
		name, body string
		status     int
		param      string
	}{
		{"empty", "", 400, ""},
		{"white space", " \n\t ", 400, ""},
		{"not JSON", "model=gpt-4o", 400, ""},
		{"half of it", `{"model":"gpt-4o",` + chat, 400, ""},
		{"more than it", `{"model":"gpt-4o",` + chat + `}{}`, 400, ""},
		{"an array", `[{"model":"gpt-4o"}]`, 400, ""},
		{"null", `null`, 400, ""},
		{"a byte order mark", "\xef\xbb\xbf" + `{"model":"gpt-4o",` + chat + `}`, 400, ""},
		{"UTF-16", "\xff\xfe{\x00}\x00", 400, ""},
		{"invalid UTF-8", `{"model":"gpt-4o","messages":[{"role":"user","content":"` + "\xff\xfe" + `"}]}`, 400, ""},
		{"a lone surrogate in the model", `{"model":"gpt-4o\ud800",` + chat + `}`, 404, "model"},
		{"nested 10,000 deep", `{"model":"gpt-4o","messages":` + deep + `}`, 400, ""},
		{"nested 10,000 deep where nobody looks", `{"model":"gpt-4o",` + chat + `,"metadata":` + deep + `}`, 400, ""},
		{"a NUL", `{"model":"gpt-4o",` + "\x00" + chat + `}`, 400, ""},

		{"no model", `{` + chat + `}`, 400, "model"},
		{"model null", `{"model":null,` + chat + `}`, 400, "model"},
		{"model empty", `{"model":"",` + chat + `}`, 400, "model"},
		{"model a number", `{"model":4,` + chat + `}`, 400, "model"},
		{"model unknown", `{"model":"gpt-5000",` + chat + `}`, 404, "model"},
		{"model like a path", `{"model":"../../spillway/status",` + chat + `}`, 404, "model"},
		{"model like a header", `{"model":"gpt-4o\r\nX-Evil: 1",` + chat + `}`, 400, "model"},
		{"model of 10 KB", `{"model":"` + strings.Repeat("m", 10<<10) + `",` + chat + `}`, 400, "model"},
		{"model in another case", `{"model":"GPT-4O",` + chat + `}`, 404, "model"},
		{"two models", `{"model":"gpt-4o",` + chat + `,"model":"other"}`, 400, "model"},
		{"two models, one in disguise", `{"model":"gpt-4o",` + chat + `,"mod\u0065l":"other"}`, 400, "model"},
		{"a second model in capitals", `{"model":"gpt-4o",` + chat + `,"Model":"other"}`, 400, "Model"},

		{"messages a string", `{"model":"gpt-4o","messages":"Hello!"}`, 400, "messages"},
		{"stream a string", `{"model":"gpt-4o",` + chat + `,"stream":"true"}`, 400, "stream"},
		{"stream_options an array", `{"model":"gpt-4o",` + chat + `,"stream":true,"stream_options":[]}`, 400, "stream_options"},
		{"max_tokens negative", `{"model":"gpt-4o",` + chat + `,"max_tokens":-1}`, 400, "max_tokens"},
		{"max_tokens fractional", `{"model":"gpt-4o",` + chat + `,"max_tokens":1.5}`, 400, "max_tokens"},
		{"max_tokens huge", `{"model":"gpt-4o",` + chat + `,"max_tokens":1e300}`, 400, "max_tokens"},
		{"max_tokens beyond any number", `{"model":"gpt-4o",` + chat + `,"max_tokens":1e999}`, 400, "max_tokens"},
		{"max_tokens as long as a book", `{"model":"gpt-4o",` + chat + `,"max_tokens":` + strings.Repeat("9", 5000) + `}`, 400, "max_tokens"},
		{"max_tokens a string", `{"model":"gpt-4o",` + chat + `,"max_tokens":"10"}`, 400, "max_tokens"},
		{"max_completion_tokens an object", `{"model":"gpt-4o",` + chat + `,"max_completion_tokens":{}}`, 400, "max_completion_tokens"},
		{"n of a billion", `{"model":"gpt-4o",` + chat + `,"n":1000000000}`, 400, "n"},
		{"n of none", `{"model":"gpt-4o",` + chat + `,"n":0}`, 400, "n"},
		{"two ns", `{"model":"gpt-4o",` + chat + `,"n":1,"n":100}`, 400, "n"},
		{"the largest that is read", `{"model":"gpt-4o",` + chat + `,"n":128,"max_tokens":2147483648}`, 429, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			run(t, limited("tokensPerMinute: 1000, requestsPerMinute: 10"), func(s *site) {
				w := s.Send(s.t.Context(), rig.Call{Path: "/v1/chat/completions", Key: teamKey, Body: test.body})
				if w.Code != test.status {
					s.t.Fatalf("status %d, want %d: %s", w.Code, test.status, w.Body)
				}
				if e := errorOf(s.t, w); text(e.Param) != test.param {
					t.Errorf("the parameter at fault is %q, want %q: %s", text(e.Param), test.param, e.Message)
				} else if len(e.Message) > 1000 {
					t.Errorf("the message has %d bytes, want at most 1000", len(e.Message))
				}
				if n := len(s.ptu.Requests()) + len(s.payg.Requests()); n != 0 {
					t.Errorf("%d requests reached a backend, want 0", n)
				}
				w = s.chatAs(teamKey, 10)
				if got := w.Header().Get("X-Ratelimit-Remaining-Requests"); got != "9" {
					t.Errorf("%s requests are left, want 9: the bad one was counted", got)
				}
			})
		})
	}
}

// A body is bounded, whether it says its length or not. What is too large is not
// read to its end.
func TestBodyThatIsTooLarge(t *testing.T) {
	const limit = 1 << 20
	start := `{"model":"gpt-4o","max_tokens":1,"messages":[{"role":"user","content":"`
	fill := func(size int) string {
		end := `"}]}`
		return start + strings.Repeat("a", size-len(start)-len(end)) + end
	}
	for _, declared := range []bool{true, false} {
		name := map[bool]string{true: "with its length", false: "in chunks"}[declared]
		t.Run(name, func(t *testing.T) {
			run(t, with("tokensPerMinute: 10000", "spillBelow: 0", "access: open\n", "access: keys\nconsumers:\n"+consumer("team", teamKey, ""))+"limits: { requestBody: 1MiB }\n", func(s *site) {
				send := func(size int) (*httptest.ResponseRecorder, *counted) {
					body := &counted{Reader: strings.NewReader(fill(size))}
					r := rig.Call{Path: "/v1/chat/completions", Key: teamKey}.Request(s.t.Context())
					r.Body, r.ContentLength = io.NopCloser(body), -1
					if declared {
						r.ContentLength = int64(size)
					}
					w := httptest.NewRecorder()
					s.ServeHTTP(w, r)
					return w, body
				}
				w, _ := send(limit)
				if w.Code != 200 {
					s.t.Fatalf("a body of just the limit: status %d, want 200: %s", w.Code, w.Body)
				}
				for _, size := range []int{limit + 1, 64 * limit} {
					w, body := send(size)
					e := s.refused(w, 413, "request_too_large")
					if !strings.Contains(e.Message, "1048576") {
						t.Errorf("the answer does not name the limit: %s", e.Message)
					}
					s.noRetry(w)
					if declared && body.read > 0 || body.read > limit+1 {
						t.Errorf("%d bytes were read of a body of %d", body.read, size)
					}
				}
			})
		})
	}
}

// counted counts what is read of it.
type counted struct {
	io.Reader
	read int
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read += n
	return n, err
}

// A body that ends before its length is the client's fault.
func TestBodyThatEndsEarly(t *testing.T) {
	run(t, ordinary, func(s *site) {
		r := rig.Call{Path: "/v1/chat/completions"}.Request(s.t.Context())
		r.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"model":`), failingReader{}))
		r.ContentLength = 1000
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		s.refused(w, 400, "")
	})
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// A client that stops sending in the middle of its body is told so, and does not
// hold a connection for ever.
func TestBodyThatStopsArriving(t *testing.T) {
	run(t, ordinary+"timeouts: { streamIdle: 20s }\n", func(s *site) {
		client, connection := net.Pipe()
		listener := &single{connection: make(chan net.Conn, 1), closed: make(chan struct{})}
		listener.connection <- connection
		server := &http.Server{Handler: s}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = server.Serve(listener)
		}()
		start := time.Now()
		if _, err := io.WriteString(client, "POST /v1/chat/completions HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: 1000\r\n\r\n{"); err != nil {
			s.t.Fatal(err)
		}
		s.wait(15 * time.Second)
		if _, err := io.WriteString(client, `"model":`); err != nil { // slow, and not yet too slow
			s.t.Fatal(err)
		}
		answer, err := http.ReadResponse(bufio.NewReader(client), nil)
		if err != nil {
			s.t.Fatal(err)
		}
		if took := time.Since(start); answer.StatusCode != http.StatusRequestTimeout || took != 35*time.Second {
			t.Errorf("status %d after %v, want 408 20 s after the last byte", answer.StatusCode, took)
		}
		if got := s.last().Refused; got != "body_timeout" {
			t.Errorf("recorded %q, want %q", got, "body_timeout")
		}
		client.Close()
		server.Close()
		<-ended
	})
}

// single is a listener of one connection.
type single struct {
	connection chan net.Conn
	closed     chan struct{}
}

func (l *single) Accept() (net.Conn, error) {
	select {
	case c := <-l.connection:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *single) Close() error {
	close(l.closed)
	return nil
}

func (l *single) Addr() net.Addr { return &net.TCPAddr{} }
