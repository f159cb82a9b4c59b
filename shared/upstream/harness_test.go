package upstream

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"spillway/shared/openai"
	"spillway/shared/upstream/wire"
)

const chatRequest = `{"model":"gpt-4o","messages":[{"role":"user","content":"Hello!"}]}`

const chatAnswer = `{"id":"c1","choices":[{"index":0,"message":{"role":"assistant","content":"Hi."},"finish_reason":"stop"}],` +
	`"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}`

// bodyOf is a request body of the given bytes.
func bodyOf(text string) *openai.Body {
	return &openai.Body{Segments: [][]byte{[]byte(text)}, Length: int64(len(text))}
}

// chat is a plain call, stream one for a stream.
func chat() Call {
	return Call{
		Operation: openai.ChatCompletions, Deployment: "gpt-4o-ptu", APIVersion: "2024-10-21",
		Header: http.Header{"Content-Type": {"application/json"}}, Body: bodyOf(chatRequest),
	}
}

func stream() Call {
	call := chat()
	call.Stream = true
	return call
}

// backendAt is an Azure backend at the address.
func backendAt(t testing.TB, address string) *Backend {
	t.Helper()
	endpoint, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	return &Backend{Name: "test", Endpoint: endpoint, Dialect: openai.Azure, Credential: None{}}
}

// serve starts a backend, and a client of it whose connections end with the test.
func serve(t testing.TB, handler http.HandlerFunc) (*Client, *Backend) {
	t.Helper()
	server := httptest.NewServer(handler)
	client := New(Options{})
	t.Cleanup(func() {
		client.CloseIdleConnections()
		server.Close()
	})
	return client, backendAt(t, server.URL)
}

// events is a stream's answer: each piece is one write and flush.
func events(pieces ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for _, piece := range pieces {
			_, _ = io.WriteString(w, piece)
			w.(http.Flusher).Flush()
		}
	}
}

// answer is a plain answer.
func answer(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// delta is an event with a piece of text.
func delta(text string) string {
	return `data: {"id":"c1","choices":[{"index":0,"delta":{"content":"` + text + `"},"finish_reason":null}]}` + "\n\n"
}

const (
	preamble  = `data: {"choices":[],"created":0,"id":"","prompt_filter_results":[{"prompt_index":0}]}` + "\n\n"
	finish    = `data: {"id":"c1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\n"
	usageOnly = `data: {"id":"c1","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}` + "\n\n"
	done      = "data: [DONE]\n\n"
)

var usageOfAnswer = openai.Usage{Prompt: 9, Completion: 2, Total: 11}

// relayed is what a client sees of a result, and how the delivery went.
func relayed(r *Result) (string, Delivery) {
	var seen strings.Builder
	d := r.Relay(&seen, nil)
	return seen.String(), d
}

// checkResult asserts what holds of every result.
func checkResult(t *testing.T, r *Result) {
	t.Helper()
	if (r.Outcome == OK) != (r.Err == nil) || (r.Outcome == OK) != (r.Reason == "") {
		t.Errorf("outcome %v with reason %q and error %v", r.Outcome, r.Reason, r.Err)
	}
	var typed *Error
	if r.Err != nil && (!errors.As(r.Err, &typed) || typed.Reason != r.Reason) {
		t.Errorf("error %v does not carry the reason %q", r.Err, r.Reason)
	}
	if r.Status != 0 && !r.Sent {
		t.Errorf("status %d of a request that was not sent", r.Status)
	}
	if r.CountsOnBreaker() && r.Outcome != Failed && r.Outcome != Broken {
		t.Errorf("outcome %v counts on the breaker", r.Outcome)
	}
	if r.Outcome != OK && r.Outcome != ClientFault {
		if text, d := relayed(r); text != "" || d.Bytes != 0 {
			t.Errorf("outcome %v relays %q", r.Outcome, text)
		}
		if r.body != nil || r.alarms != nil && r.life.Err() == nil {
			t.Errorf("outcome %v still holds its connection", r.Outcome)
		}
	}
}

// pipeListener is a network of one backend inside this process, so that time can
// be virtual.
type pipeListener struct {
	connections chan net.Conn
	closed      chan struct{}
	once        sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.connections:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.connections <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// servePipe is serve without a network, for tests inside a synctest bubble. The
// returned function must be called before the bubble ends.
func servePipe(t *testing.T, o Options, handler http.HandlerFunc) (*Client, *Backend, func()) {
	t.Helper()
	listener := &pipeListener{connections: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Only a server that has read the request notices that the client is gone.
		_, _ = io.Copy(io.Discard, r.Body)
		handler(w, r)
	})}
	go server.Serve(listener)
	settings := transportSettings(5*time.Second, nil)
	settings.Proxy = nil
	settings.DialContext = listener.dial
	transport := wire.New(settings)
	o.Transport = transport
	return New(o), backendAt(t, "http://backend.test"), func() {
		transport.CloseIdleConnections()
		server.Close()
	}
}
