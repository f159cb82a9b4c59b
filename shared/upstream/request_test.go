package upstream

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"spillway/shared/openai"
	"spillway/shared/upstream/wire"
)

var dialectTests = []struct {
	name    string
	dialect openai.Dialect
	version string // of the backend's configuration
	url     string
	auth    string
}{
	{"azure, the client's version", openai.Azure, "", "/base/openai/deployments/gpt-4o-ptu/chat/completions?api-version=2024-10-21", "Api-Key"},
	{"azure, its own version", openai.Azure, "2025-01-01-preview", "/base/openai/deployments/gpt-4o-ptu/chat/completions?api-version=2025-01-01-preview", "Api-Key"},
	{"azure v1", openai.AzureV1, "", "/base/openai/v1/chat/completions", "Api-Key"},
	{"openai", openai.OpenAI, "", "/base/v1/chat/completions", "Authorization"},
}

func TestWhatTheBackendGets(t *testing.T) {
	for _, test := range dialectTests {
		t.Run(test.name, func(t *testing.T) {
			client, backend := serve(t, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if r.Method != http.MethodPost || r.RequestURI != test.url || string(body) != chatRequest || r.ContentLength != int64(len(chatRequest)) {
					t.Errorf("%s %s, %d bytes: %q", r.Method, r.RequestURI, r.ContentLength, body)
				}
				if address := r.Context().Value(http.LocalAddrContextKey).(net.Addr).String(); r.Host != address {
					t.Errorf("host %q, want %q", r.Host, address)
				}
				want := http.Header{
					"Accept": {"*/*"}, "Accept-Encoding": {"identity"}, "Content-Type": {"application/json"},
					"Content-Length": {fmt.Sprint(len(chatRequest))}, "Traceparent": {"00-1-2-01"}, "X-Many": {"a", "b"},
					test.auth: {"ours"},
				}
				if test.auth == "Authorization" {
					want[test.auth] = []string{"Bearer ours"}
				}
				if fmt.Sprint(r.Header) != fmt.Sprint(want) {
					t.Errorf("got  %v\nwant %v", r.Header, want)
				}
				answer(200, "application/json", chatAnswer)(w, r)
			})
			backend.Dialect, backend.APIVersion = test.dialect, test.version
			backend.Endpoint.Path = "/base"
			backend.Credential = NewAPIKey("ours", test.dialect)
			call := chat()
			call.Header = http.Header{
				"Accept": {"*/*"}, "Content-Type": {"application/json"}, "Traceparent": {"00-1-2-01"}, "X-Many": {"a", "b"},
				// None of these goes on.
				"Authorization": {"Bearer theirs"}, "Api-Key": {"theirs"}, "Cookie": {"theirs"}, "Proxy-Authorization": {"theirs"},
				"Connection": {"keep-alive, x-private", "X-Other"}, "X-Private": {"1"}, "X-Other": {"1"}, "Keep-Alive": {"timeout=5"},
				"Te": {"trailers"}, "Trailer": {"X-Sum"}, "Transfer-Encoding": {"chunked"}, "Upgrade": {"h2c"}, "Http2-Settings": {"x"},
				"Expect": {"100-continue"}, "Accept-Encoding": {"gzip"}, "Content-Length": {"7"}, "Host": {"gateway"}, "Proxy-Connection": {"x"},
			}
			before := fmt.Sprint(call.Header)
			r := client.Do(t.Context(), backend, call)
			defer r.Close()
			checkResult(t, r)
			if r.Outcome != OK {
				t.Errorf("got %v, want %v: %v", r.Outcome, OK, r.Err)
			}
			if fmt.Sprint(call.Header) != before {
				t.Errorf("the client's header was changed: %v", call.Header)
			}
		})
	}
}

func TestWhatTheClientGets(t *testing.T) {
	src := http.Header{
		"Content-Type": {"application/json"}, "Content-Length": {"7"}, "Apim-Request-Id": {"r"}, "X-Ms-Region": {"Sweden Central"},
		"X-Ratelimit-Remaining-Tokens": {"7"}, "X-Many": {"a", "b"}, "X-Request-Id": {"theirs"},
		"Connection": {"close, X-Hop"}, "X-Hop": {"1"}, "Keep-Alive": {"timeout=5"}, "Transfer-Encoding": {"chunked"},
		"Trailer": {"X"}, "Upgrade": {"h2c"}, "Set-Cookie": {"affinity=1"}, "Alt-Svc": {"h3"}, "Proxy-Authenticate": {"Basic"},
		"X-Spillway-Backend": {"forged"}, "X-Spillway-Cost": {"forged"},
	}
	dst := http.Header{"X-Hop": {"ours"}, "X-Request-Id": {"ours"}, "X-Spillway-Backend": {"b"}}
	CopyHeaders(dst, src)
	want := http.Header{
		"Content-Type": {"application/json"}, "Content-Length": {"7"}, "Apim-Request-Id": {"r"}, "X-Ms-Region": {"Sweden Central"},
		"X-Ratelimit-Remaining-Tokens": {"7"}, "X-Many": {"a", "b"}, "X-Request-Id": {"theirs"},
		"X-Hop": {"ours"}, "X-Spillway-Backend": {"b"},
	}
	if fmt.Sprint(dst) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", dst, want)
	}
}

// A backend may close a kept connection just as a request is sent on it. Without
// GetBody, and without being told that it may, net/http gives the error to the
// caller: "server closed idle connection", a failure where nothing failed.
func TestStaleConnectionIsHealed(t *testing.T) {
	var served atomic.Int64
	backend := rawBackend(t, func(c net.Conn) {
		readRequest(c)
		served.Add(1)
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(chatAnswer), chatAnswer)
		readRequest(c) // the next one gets no answer: the connection is closed
	})
	client := New(Options{})
	defer client.CloseIdleConnections()
	for i := range 5 {
		r := client.Do(t.Context(), backend, chat())
		checkResult(t, r)
		if text, _ := relayed(r); r.Outcome != OK || text != chatAnswer {
			t.Errorf("request %d: %v, %q: %v", i, r.Outcome, r.Reason, r.Err)
		}
		r.Close()
	}
	if served.Load() != 5 {
		t.Errorf("%d answers, want 5", served.Load())
	}
}

// The same where the loss shows earlier, while the body is still being written: net/http sends a body of
// a type that it does not know apart from the headers, and gives an error of that second write to the caller.
func TestConnectionLostWhileWritingIsHealed(t *testing.T) {
	server := httptest.NewServer(answer(200, "application/json", chatAnswer))
	defer server.Close()
	client, backend := New(Options{}), backendAt(t, server.URL)
	defer client.CloseIdleConnections()
	for i := range 200 {
		r := client.Do(t.Context(), backend, chat())
		checkResult(t, r)
		if r.Outcome != OK {
			t.Errorf("request %d: %v, want %v, %q: %v", i, r.Outcome, OK, r.Reason, r.Err)
		}
		r.Close()
		server.CloseClientConnections()
	}
}

// What hangs up on every request is not merely stale.
func TestBackendThatHangsUpIsGivenUp(t *testing.T) {
	var connections atomic.Int64
	backend := rawBackend(t, func(net.Conn) { connections.Add(1) }) // closes at once
	client := New(Options{})
	defer client.CloseIdleConnections()
	call := chat()
	call.Body = bodyOf(`{"model":"gpt-4o","messages":[{"role":"user","content":"` + strings.Repeat("a", 8<<20) + `"}]}`)
	r := client.Do(t.Context(), backend, call)
	checkResult(t, r)
	if r.Outcome != Failed || r.Reason != ReasonReset {
		t.Errorf("%v, %q, want %v, %q: %v", r.Outcome, r.Reason, Failed, ReasonReset, r.Err)
	}
	r.Close()
	if n := connections.Load(); n > 1+maxRewrites {
		t.Errorf("%d connections were made for one attempt, want at most %d", n, 1+maxRewrites)
	}
}

// A request that kills whatever reads it must not be sent for ever, wherever its body lies.
func TestReplaysAreBounded(t *testing.T) {
	for name, send := range map[string]func(started time.Time) (again func() error){
		"from memory": func(started time.Time) func() error {
			body := &memoryBody{body: bodyOf(chatRequest), started: started}
			return func() error { _, err := body.Segments(); return err }
		},
		"read": func(started time.Time) func() error {
			body := &readBody{body: bodyOf(chatRequest), started: started}
			return func() error { _, err := body.open(); return err }
		},
	} {
		again := send(time.Now())
		for i := range maxReplays + 1 {
			if err := again(); err != nil {
				t.Fatalf("%s, sending %d: %v", name, i, err)
			}
		}
		if err := again(); err != errNotStale {
			t.Errorf("%s, once more: %v, want %v", name, err, errNotStale)
		}
		late := send(time.Now().Add(-2 * staleWithin))
		if first, second := late(), late(); first != nil || second != errNotStale {
			t.Errorf("%s, too late: first %v, and then %v, want %v", name, first, second, errNotStale)
		}
	}
}

// What is sent from where it lies is held until the attempt's answer is closed, and what is
// copied is not needed any more.
func TestBodyIsHeldWhileItMayBeSent(t *testing.T) {
	client, backend := serve(t, events(delta("a"), finish, done)) // before the body is read
	for size, held := range map[int]bool{10: false, wire.MaxCopied + 1: true} {
		text := `{"model":"gpt-4o","messages":[{"role":"user","content":"` + strings.Repeat("a", size) + `"}]}`
		asked, refused := openai.ParseRequest(openai.ChatCompletions, []byte(text))
		if refused != nil {
			t.Fatal(refused)
		}
		call := stream()
		call.Body = asked.Body(openai.Patch{})
		r := client.Do(t.Context(), backend, call)
		checkResult(t, r)
		free := false
		asked.Release(func() { free = true })
		if free == held {
			t.Errorf("%d bytes, before Close: free %t, want %t", size, free, !held)
		}
		if r.Close(); !free {
			t.Errorf("%d bytes are not free after Close", size)
		}
	}
}

// A connection is used again after every answer that was read to its end.
func TestConnectionsAreReused(t *testing.T) {
	var connections atomic.Int64
	handlers := map[string]http.HandlerFunc{
		"plain":            answer(200, "application/json", chatAnswer),
		"long":             answer(200, "application/json", `{"data":"`+strings.Repeat("x", 2*maxWhole)+`"}`),
		"stream":           events(delta("a"), finish, done),
		"client's fault":   answer(400, "application/json", `{"error":{"message":"no"}}`),
		"throttled":        answer(429, "application/json", `{"error":{"message":"no"}}`),
		"failed":           answer(503, "text/plain", ""),
		"misconfigured":    answer(404, "text/html", "<html></html>"),
		"error in a plain": answer(200, "application/json", `{"error":{"message":"no"}}`),
	}
	for name, handler := range handlers {
		t.Run(name, func(t *testing.T) {
			connections.Store(0)
			client, backend := serve(t, handler)
			settings := transportSettings(5*time.Second, nil)
			dial := settings.DialContext
			settings.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
				connections.Add(1)
				return dial(ctx, network, address)
			}
			client.options.Transport = wire.New(settings)
			defer client.CloseIdleConnections()
			for range 5 {
				r := client.Do(t.Context(), backend, stream())
				relayed(r)
				r.Close()
			}
			if n := connections.Load(); n != 1 {
				t.Errorf("%d connections, want 1", n)
			}
		})
	}
}
