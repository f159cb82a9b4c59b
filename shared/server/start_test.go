package server

import (
	"bufio"
	"bytes"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// running is a Server whose clients are on pipes.
type running struct {
	*Server
	t     *testing.T
	queue queue
	ended chan error // what Serve returns
	log   *bytes.Buffer
	logMu sync.Mutex
}

// start starts a Server, which is closed when the test is over.
func start(t *testing.T, h http.HandlerFunc, change ...func(*http.Server)) *running {
	s := &running{t: t, queue: newQueue(), ended: make(chan error, 1), log: new(bytes.Buffer)}
	logging := func(settings *http.Server) { settings.ErrorLog = log.New(s, "", 0) }
	s.Server = New(settings(h, append(change, logging)...))
	go func() { s.ended <- s.Serve(s.queue) }()
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// Write is where the server's log goes.
func (s *running) Write(line []byte) (int, error) {
	s.logMu.Lock()
	defer s.logMu.Unlock()
	return s.log.Write(line)
}

func (s *running) logged() string {
	s.logMu.Lock()
	defer s.logMu.Unlock()
	return s.log.String()
}

// client is one side of a connection to a Server.
type client struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

// dial connects a client, who leaves when the test is over.
func (s *running) dial() *client {
	s.t.Helper()
	ours, theirs := net.Pipe()
	if !s.queue.give(theirs) {
		s.t.Fatal("the server takes no connection")
	}
	s.t.Cleanup(func() { ours.Close() })
	return &client{Conn: ours, t: s.t, r: bufio.NewReader(ours)}
}

// send sends a text, which the server is to take.
func (c *client) send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatalf("sending %.100q: %v", text, err)
	}
}

// receive reads an answer to its end, and expects its body.
func (c *client) receive(want string) *http.Response {
	c.t.Helper()
	answer, err := http.ReadResponse(c.r, nil)
	if err != nil {
		c.t.Fatalf("no answer: %v; want %q", err, want)
	}
	body, err := io.ReadAll(answer.Body)
	if string(body) != want || err != nil {
		c.t.Fatalf("got %d, %q, %v; want %q", answer.StatusCode, body, err, want)
	}
	return answer
}

// ask sends a request, and expects the body of its answer.
func (c *client) ask(text, want string) *http.Response {
	c.t.Helper()
	c.send(text)
	return c.receive(want)
}

// rest is what comes until the server closes the connection.
func (c *client) rest() string {
	rest, _ := io.ReadAll(c.r)
	return string(rest)
}

// path answers with the path that is asked for.
func path(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.URL.Path) }

// at is a request for a path, with more lines in its header.
func at(path string, lines ...string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: contoso.test\r\n" + strings.Join(lines, "") + "\r\n"
}

// odds is a request that is left to net/http.
func odds(path string) string { return at(path, "Connection: x\r\n") }
