package e2e_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"spillway/tests/fakes/azureopenai"
)

// sick is a configuration of one backend that fails, in a way of its own, and a
// healthy one. The model alone has only the first, the model both has both.
const sick = `
access: keys
admin: { keys: ["${ADMIN_KEY}"] }
timeouts: { responseHeaders: "${PATIENCE}", streamIdle: "${PATIENCE}" }
backends:
  - { name: sick, endpoint: "${SICK}", auth: { apiKey: "${BACKEND_KEY}" }, deployments: [{ model: alone, deployment: gpt-4o }, { model: both, deployment: gpt-4o }] }
  - { name: healthy, endpoint: "${HEALTHY}", auth: { apiKey: "${BACKEND_KEY}" }, deployments: [{ model: both, deployment: gpt-4o }] }
pools:
  - { model: alone, members: [{ backend: sick }] }
  - { model: both, members: [{ backend: sick, priority: 1 }, { backend: healthy, priority: 2 }] }
consumers:
  - { name: caller, keys: ["${CALLER_KEY}"], requestsPerMinute: 1000 }
`

// A backend that cannot be reached, or not be trusted, or that says nothing,
// costs the client nothing where there is another; where there is none it gets
// a clean error that tells nothing of the inside.
func TestBackendThatFailsBeforeItsAnswer(t *testing.T) {
	faulty := func(f azureopenai.Fault) func(t *testing.T) string {
		return func(t *testing.T) string {
			b := newBackend(t, pair("sick"))
			b.Inject(f)
			return b.url
		}
	}
	tests := []struct {
		name   string
		start  func(t *testing.T) string // starts the backend and returns its URL
		reason string                    // of the failed attempt
	}{
		{"connection refused", deadEndpoint, "dial"},
		{"a certificate that nobody knows", selfSigned, "tls"},
		{"plain HTTP where TLS is spoken to", plainHTTP, "tls"},
		{"no answer", faulty(azureopenai.Fault{Kind: azureopenai.FaultHangBeforeHeaders}), "timeout_headers"},
		{"connection lost", faulty(azureopenai.Fault{Kind: azureopenai.FaultReset}), "reset"},
		{"not HTTP at all", babble, "malformed"},
		{"our key is wrong", faulty(azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 401}), "status_401"},
		{"an error of its own", faulty(azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 500, Body: "panic: secret-of-the-backend"}), "status_500"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			env := settings()
			healthy := newBackend(t, pair("healthy"))
			env["SICK"], env["HEALTHY"] = test.start(t), healthy.url
			if test.reason == "timeout_headers" {
				env["PATIENCE"] = "1s"
			}
			p := start(t, sick, env)
			host := strings.TrimPrefix(strings.TrimPrefix(env["SICK"], "https://"), "http://")
			s := &besieged{p, healthy, []string{callerKey, backendKey, host, "secret-of-the-backend", "127.0.0.1", "x509", "dial"}}
			for i, more := range []string{"", `,"stream":true`} {
				body := func(model string) string { return strings.TrimSuffix(chatBody(model), "}") + more + "}" }

				good := p.send(t, call{path: "/v1/chat/completions", key: callerKey, from: openAI, body: body("both")}).served(t)
				if by, why := good.header.Get("X-Spillway-Backend"), good.header.Get("X-Spillway-Spillover"); by != "healthy" || why != "failed" {
					t.Errorf("served by %q for the reason %q, want healthy for failed", by, why)
				}
				// Only what was served is counted; a new minute may have begun since.
				if left, err := strconv.Atoi(good.header.Get("X-Ratelimit-Remaining-Requests")); err != nil || left < 1000-(i+1) {
					t.Errorf("%d of 1000 requests are left after %d good ones, want at least %d: %v", left, i+1, 1000-(i+1), err)
				}
				if reasons := p.record(t, good.id()).reasons(); !slices.Equal(reasons, []string{test.reason, "ok"}) {
					t.Errorf("the attempts ended with %q, want %q and ok", reasons, test.reason)
				}
				bad := p.send(t, call{path: "/v1/chat/completions", key: callerKey, from: openAI, body: body("alone")})
				if problem := s.refused(t, bad, http.StatusServiceUnavailable); problem.Code != "service_unavailable" {
					t.Errorf("code %q, want %q", problem.Code, "service_unavailable")
				}
				if bad.header.Get("Retry-After") == "" {
					t.Error("the error does not say when to come back")
				}
			}
		})
	}
}

// deadEndpoint is the URL of a port at which nobody listens.
func deadEndpoint(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return "http://" + listener.Addr().String()
}

// selfSigned is the URL of a backend whose certificate no authority has signed.
func selfSigned(t *testing.T) string {
	t.Helper()
	server := httptest.NewUnstartedServer(azureopenai.New(pair("sick")))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of the handshake
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

// plainHTTP is the https URL of a backend that speaks plain HTTP.
func plainHTTP(t *testing.T) string {
	t.Helper()
	return "https" + strings.TrimPrefix(newBackend(t, pair("sick")).url, "http")
}

// babble is the URL of a backend that answers with something else than HTTP.
func babble(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			// An answer before the request is complete would be unsolicited.
			if request, err := http.ReadRequest(bufio.NewReader(connection)); err == nil {
				_, _ = io.Copy(io.Discard, request.Body)
			}
			_, _ = io.WriteString(connection, "220 secret-of-the-backend ESMTP\r\n")
			_ = connection.(*net.TCPConn).CloseWrite()
			go func() {
				_, _ = io.Copy(io.Discard, connection) // closing with bytes unread would reset the connection
				_ = connection.Close()
			}()
		}
	}()
	return "http://" + listener.Addr().String()
}

// A stream that breaks after its first byte cannot be begun anew: its client has
// read some of it. It is told by an error event, and the stream ends.
func TestStreamThatBreaks(t *testing.T) {
	tests := []struct {
		name   string
		fault  azureopenai.Fault
		reason string
		own    bool // the backend's own error event is what the client gets
	}{
		{name: "cut between two events", fault: azureopenai.Fault{Kind: azureopenai.FaultCut, Events: 5}, reason: "cut"},
		{name: "cut inside an event", fault: azureopenai.Fault{Kind: azureopenai.FaultCut, Bytes: 1500}, reason: "cut"},
		{name: "silent", fault: azureopenai.Fault{Kind: azureopenai.FaultHangAfterHeaders, Events: 5}, reason: "timeout_idle"},
		{name: "an error event", fault: azureopenai.Fault{Kind: azureopenai.FaultStreamError, Events: 5}, reason: "stream_error", own: true},
	}
	b, healthy := newBackend(t, pair("sick")), newBackend(t, pair("healthy"))
	env := settings()
	env["SICK"], env["HEALTHY"], env["PATIENCE"] = b.url, healthy.url, "1s"
	p := start(t, sick, env)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			defer b.Clear()
			b.Inject(test.fault)

			body := strings.TrimSuffix(chatBody("both"), "}") + `,"stream":true}`
			got := p.send(t, call{path: "/v1/chat/completions", key: callerKey, from: openAI, body: body}).served(t)
			_, sent := b.last(t)
			events := eventsOf(got.body)
			last := events[len(events)-1]
			if !strings.HasPrefix(last, `data: {"error":{`) || !strings.HasSuffix(last, "}}\n\n") {
				t.Fatalf("the stream ends with %q, want an error event", last)
			}
			if strings.Contains(string(got.body), "[DONE]") {
				t.Error("the stream says that it is complete")
			}
			before := strings.Join(events[:len(events)-1], "")
			wrote := withoutNulls(sent.bytes())
			if before == "" || !strings.HasPrefix(string(wrote), before) {
				t.Errorf("before the error stands %q, the backend wrote %q", before, wrote)
			}
			if test.own {
				same(t, "the stream", got.body, wrote)
			}
			r := p.record(t, got.id())
			if !slices.Equal(r.reasons(), []string{test.reason}) || r.Output == 0 {
				t.Errorf("recorded as %q with %d tokens of output, want %q and what was delivered", r.reasons(), r.Output, test.reason)
			}

			for _, d := range dialects {
				params := chat(d)
				params.Model = "both"
				client := d.client(t, p, callerKey)
				stream := client.Chat.Completions.NewStreaming(t.Context(), params, option.WithMaxRetries(0))
				text := ""
				for stream.Next() {
					for _, c := range stream.Current().Choices {
						text += c.Delta.Content
					}
				}
				if text == "" || stream.Err() == nil {
					t.Errorf("%s client: after %q the error is %v, want text and an error", d, text, stream.Err())
				}
				stream.Close()
			}
			if n := healthy.requests(); n != 0 {
				t.Errorf("%d requests were sent anew, want 0", n)
			}
		})
	}
}

// A kept connection that the backend closes just when a request is sent on it is
// nobody's failure: the request goes out again on a new one, and that is the
// same attempt.
func TestStaleConnectionIsHealed(t *testing.T) {
	b := newBackend(t, pair("sick"))
	server := httptest.NewUnstartedServer(onePerConnection(b))
	server.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		return context.WithValue(ctx, requestsOf{}, new(int))
	}
	server.Start()
	t.Cleanup(server.Close)
	healthy := newBackend(t, pair("healthy"))
	env := settings()
	env["SICK"], env["HEALTHY"] = server.URL, healthy.url
	p := start(t, sick, env)
	const rounds = 20
	for i := range rounds {
		more := []string{"", `,"stream":true`}[i%2]
		got := p.send(t, call{path: "/v1/chat/completions", key: callerKey, from: openAI, body: strings.TrimSuffix(chatBody("both"), "}") + more + "}"}).served(t)
		if by := got.header.Get("X-Spillway-Backend"); by != "sick" {
			t.Errorf("request %d was served by %s, want sick", i, by)
		}
		if reasons := p.record(t, got.id()).reasons(); !slices.Equal(reasons, []string{"ok"}) {
			t.Errorf("the attempts of request %d ended with %q, want one that is ok", i, reasons)
		}
	}
	if n := b.requests(); n != rounds {
		t.Errorf("the backend has answered %d requests, want %d", n, rounds)
	}
}

// requestsOf is the key under which a connection's context counts its requests.
type requestsOf struct{}

// onePerConnection serves the first request of each connection, and closes the
// connection when the second arrives.
func onePerConnection(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		count := r.Context().Value(requestsOf{}).(*int) // one request at a time: it is HTTP/1.1
		if *count++; *count > 1 {
			_, _ = io.Copy(io.Discard, r.Body)
			panic(http.ErrAbortHandler)
		}
		h.ServeHTTP(w, r)
	})
}

// Connections that were closed while they lay idle, as by a backend that was
// restarted, are noticed in time or healed.
func TestRestartedBackend(t *testing.T) {
	b, healthy := newBackend(t, pair("sick")), newBackend(t, pair("healthy"))
	env := settings()
	env["SICK"], env["HEALTHY"] = b.url, healthy.url
	p := start(t, sick, env)
	for i := range 20 {
		got := p.send(t, call{path: "/v1/chat/completions", key: callerKey, from: openAI, body: chatBody("both")}).served(t)
		if reasons := p.record(t, got.id()).reasons(); !slices.Equal(reasons, []string{"ok"}) {
			t.Errorf("the attempts of request %d ended with %q, want one that is ok", i, reasons)
		}
		b.closing()
	}
}

// Many clients at once, some of which leave early, some of which are refused:
// at the end nothing is left over. With the race detector the binary has it too.
func TestManyClientsAtOnce(t *testing.T) {
	s := startSite(t, "")
	const clients, each = 12, 12
	done := make(chan error, clients)
	for i := range clients {
		from, to := dialects[i%3], dialects[i/3%3]
		client := from.client(t, s.process, callerKey)
		go func() { done <- manyCalls(t.Context(), client, to, each) }()
	}
	for range clients {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	left := &besieged{process: s.process}
	now := left.settled(t, clients*each)
	for _, d := range now.Deployments {
		if d["inFlight"] != 0.0 || d["breaker"] != "closed" {
			t.Errorf("%v has %v requests in flight and its breaker %v after all have ended", d["id"], d["inFlight"], d["breaker"])
		}
	}
	const quarter = clients * each / 4
	if now.Totals["served"] != 3*quarter || now.Totals["clientGone"] != quarter || now.Totals["failed"] != 0 {
		t.Errorf("totals %v; of %d requests a quarter left and a quarter was refused", now.Totals, clients*each)
	}
}

// manyCalls makes calls of four kinds in turn.
func manyCalls(ctx context.Context, client openai.Client, to dialect, calls int) error {
	for i := range calls {
		var err error
		switch i % 4 {
		case 0:
			_, err = client.Chat.Completions.New(ctx, chat(to))
		case 1:
			stream := client.Chat.Completions.NewStreaming(ctx, chat(to))
			for stream.Next() {
			}
			err = stream.Err()
			stream.Close()
		case 2:
			params := chat(to)
			params.Model = "slow-" + string(to)
			brief, leave := context.WithCancel(ctx)
			stream := client.Chat.Completions.NewStreaming(brief, params)
			if !stream.Next() {
				err = stream.Err()
			}
			leave()
			stream.Close()
		case 3:
			params := chat(to)
			params.Model = "gpt-99"
			var problem *openai.Error
			if _, refused := client.Chat.Completions.New(ctx, params); !errors.As(refused, &problem) || problem.StatusCode != 404 {
				err = fmt.Errorf("for an unknown model: %w", refused)
			}
		}
		if err != nil {
			return fmt.Errorf("call %d: %w", i, err)
		}
	}
	return nil
}

// settled waits until the gateway has recorded so many requests, and returns
// what it has counted by then.
func (s *besieged) settled(t *testing.T, requests int) state {
	t.Helper()
	ended := 0
	if _, err := s.await(func(line string) bool {
		if strings.Contains(line, `"message":"request"`) {
			ended++
		}
		return ended == requests
	}); err != nil {
		t.Fatalf("%d of %d requests have left a record: %v", ended, requests, err)
	}
	return s.state(t)
}
