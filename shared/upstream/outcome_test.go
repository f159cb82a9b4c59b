package upstream

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"spillway/shared/openai"
	"spillway/shared/upstream/wire"
)

const (
	json     = "application/json"
	azure429 = `{"error":{"code":"429","message":"Requests to the ChatCompletions_Create Operation have exceeded token rate limit."}}`
)

var statusTests = []struct {
	name        string
	status      int
	contentType string
	body        string
	outcome     Outcome
	reason      string
	counts      bool
	code        string
}{
	{"200", 200, json, chatAnswer, OK, "", false, ""},
	{"201", 201, json, chatAnswer, OK, "", false, ""},
	{"301", 301, json, "", Failed, ReasonRedirect, false, ""},
	{"302", 302, "text/html", "", Failed, ReasonRedirect, false, ""},
	{"307", 307, json, "", Failed, ReasonRedirect, false, ""},
	{"400", 400, json, `{"error":{"message":"bad","type":"invalid_request_error","code":null}}`, ClientFault, "status_400", false, ""},
	{"400 content filter", 400, json, `{"error":{"message":"filtered","param":"prompt","code":"content_filter","status":400}}`, ClientFault, "status_400", false, "content_filter"},
	{"401", 401, json, `{"error":{"code":"401","message":"Access denied"}}`, Broken, "status_401", true, "401"},
	{"403", 403, json, `{"error":{"code":"403","message":"temporarily blocked"}}`, Broken, "status_403", true, "403"},
	{"404 DeploymentNotFound", 404, json, `{"error":{"code":"DeploymentNotFound","message":"does not exist"}}`, Broken, "status_404", true, "DeploymentNotFound"},
	{"404 model_not_found", 404, json, `{"error":{"code":"model_not_found","message":"does not exist"}}`, Broken, "status_404", true, "model_not_found"},
	{"404 number", 404, json, `{"error":{"code":"404","message":"Resource not found"}}`, ClientFault, "status_404", false, "404"},
	{"404 page of a proxy", 404, "text/html", "<html>not here</html>", Broken, "status_404", true, ""},
	{"404 empty", 404, "text/plain", "", Broken, "status_404", true, ""},
	{"404 of something the request names", 404, json, `{"error":{"code":"previous_response_not_found","message":"no"}}`, ClientFault, "status_404", false, "previous_response_not_found"},
	{"405", 405, json, `{"error":{"message":"no"}}`, ClientFault, "status_405", false, ""},
	{"408", 408, json, "", Failed, "status_408", false, ""},
	{"409", 409, json, `{"error":{"message":"no"}}`, ClientFault, "status_409", false, ""},
	{"413", 413, json, `{"error":{"message":"no"}}`, ClientFault, "status_413", false, ""},
	{"422", 422, json, `{"error":{"message":"no"}}`, ClientFault, "status_422", false, ""},
	{"429", 429, json, azure429, Throttled, "status_429", false, "429"},
	{"429 without a body", 429, "text/plain", "", Throttled, "status_429", false, ""},
	{"500", 500, json, `{"error":{"code":"InternalServerError","message":"x"}}`, Failed, "status_500", true, "InternalServerError"},
	{"501", 501, json, "", Failed, "status_501", true, ""},
	{"502", 502, "text/html", "<html>bad gateway</html>", Failed, "status_502", true, ""},
	{"503", 503, json, "", Failed, "status_503", true, ""},
	{"504", 504, json, "", Failed, "status_504", true, ""},
	{"599", 599, json, "", Failed, "status_599", true, ""},
}

func TestOutcomeOfEachStatus(t *testing.T) {
	for _, test := range statusTests {
		for _, call := range []Call{chat(), stream()} {
			name := test.name
			if call.Stream {
				name += " of a stream"
			}
			t.Run(name, func(t *testing.T) {
				client, backend := serve(t, answer(test.status, test.contentType, test.body))
				r := client.Do(t.Context(), backend, call)
				defer r.Close()
				checkResult(t, r)
				if r.Outcome != test.outcome || r.Status != test.status || r.Reason != test.reason || r.CountsOnBreaker() != test.counts {
					t.Errorf("got %v, %d, %q, counts %t, want %v, %d, %q, %t", r.Outcome, r.Status, r.Reason, r.CountsOnBreaker(), test.outcome, test.status, test.reason, test.counts)
				}
				if code := faultCode(r); code != test.code {
					t.Errorf("code %q, want %q", code, test.code)
				}
				if r.Outcome == ClientFault {
					if text, d := relayed(r); text != test.body || d.Err != nil {
						t.Errorf("the client gets %q (%v), want %q", text, d.Err, test.body)
					}
				}
			})
		}
	}
}

// A client may ask for an api-version that the service does not know. That is no fault
// of the backend, unless the version is that of its configuration.
func TestVersionThatTheServiceDoesNotKnow(t *testing.T) {
	const body = `{"error":{"code":"404","message":"Resource not found"}}`
	for _, test := range []struct {
		name              string
		dialect           openai.Dialect
		backends, clients string
		want              Outcome
	}{
		{"the client's", openai.Azure, "", "2020-01-01", ClientFault},
		{"the configuration's", openai.Azure, "2020-01-01", "2024-10-21", Broken},
		{"nobody's", openai.Azure, "", "", Broken},
		{"of a dialect without", openai.OpenAI, "", "2020-01-01", Broken},
	} {
		t.Run(test.name, func(t *testing.T) {
			client, backend := serve(t, answer(404, json, body))
			backend.Dialect, backend.APIVersion = test.dialect, test.backends
			call := chat()
			call.APIVersion = test.clients
			r := client.Do(t.Context(), backend, call)
			defer r.Close()
			checkResult(t, r)
			if r.Outcome != test.want || r.CountsOnBreaker() != (test.want == Broken) {
				t.Errorf("got %v, counts %t, want %v", r.Outcome, r.CountsOnBreaker(), test.want)
			}
			if r.Outcome == ClientFault {
				if text, _ := relayed(r); text != body {
					t.Errorf("the client gets %q, want the service's own words", text)
				}
			}
		})
	}
}

func faultCode(r *Result) string {
	if r.Fault == nil {
		return ""
	}
	return r.Fault.Code
}

func TestWhichStatusesCountIsConfigured(t *testing.T) {
	client, backend := serve(t, answer(408, "text/plain", ""))
	client.options.FailureStatus = func(status int) bool { return status == 408 }
	r := client.Do(t.Context(), backend, chat())
	defer r.Close()
	if r.Outcome != Failed || !r.CountsOnBreaker() {
		t.Errorf("got %v, counts %t, want %v, true", r.Outcome, r.CountsOnBreaker(), Failed)
	}
}

// A redirect that was followed would carry the backend's key to another host.
func TestRedirectsAreNotFollowed(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the redirect was followed")
	}))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		client, backend := serve(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL, status)
		})
		r := client.Do(t.Context(), backend, chat())
		checkResult(t, r)
		if r.Outcome != Failed || r.Reason != ReasonRedirect || r.Status != status {
			t.Errorf("%d: got %v, %q", status, r.Outcome, r.Reason)
		}
		r.Close()
	}
}

// deadAddress is an address at which nobody listens.
func deadAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// rawBackend answers each connection with a function, below HTTP.
func rawBackend(t testing.TB, talk func(net.Conn)) *Backend {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				talk(c)
			}()
		}
	}()
	return backendAt(t, "http://"+listener.Addr().String())
}

// readRequest takes a request off a connection.
func readRequest(c net.Conn) {
	_, _ = io.ReadFull(c, make([]byte, 1))
	buf := make([]byte, 64<<10)
	for seen := ""; !strings.HasSuffix(seen, chatRequest); {
		n, err := c.Read(buf)
		if err != nil {
			return
		}
		seen += string(buf[:n])
	}
}

func TestFailuresOfTheConnection(t *testing.T) {
	says := func(text string) func(net.Conn) {
		return func(c net.Conn) {
			readRequest(c)
			_, _ = io.WriteString(c, text)
		}
	}
	secure := httptest.NewUnstartedServer(answer(200, "application/json", chatAnswer))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	plain := httptest.NewServer(answer(200, "application/json", chatAnswer))
	defer plain.Close()
	tests := []struct {
		name    string
		backend *Backend
		reason  string
		sent    bool
	}{
		{"connection refused", backendAt(t, "http://"+deadAddress(t)), ReasonDial, false},
		{"untrusted certificate", backendAt(t, secure.URL), ReasonTLS, false},
		{"no TLS at all", backendAt(t, strings.Replace(plain.URL, "http:", "https:", 1)), ReasonTLS, false},
		{"closed before the headers", rawBackend(t, says("")), ReasonReset, true},
		{"cut inside the headers", rawBackend(t, says("HTTP/1.1 200 OK\r\nContent-")), ReasonMalformed, true},
		{"not HTTP", rawBackend(t, says("SSH-2.0-secret\r\n")), ReasonMalformed, true},
		{"body shorter than its length", rawBackend(t, says("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 400\r\n\r\n{\"id\":1}")), ReasonCut, true},
		{"chunked body without its end", rawBackend(t, says("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{\"id\":1}\r\n")), ReasonCut, true},
		{"error body shorter than its length", rawBackend(t, says("HTTP/1.1 400 Bad Request\r\nContent-Length: 400\r\n\r\n{\"error\":{}}")), ReasonCut, true},
		{"stream cut before its first event", rawBackend(t, says("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")), ReasonCut, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			client := New(Options{})
			defer client.CloseIdleConnections()
			r := client.Do(t.Context(), test.backend, chat())
			defer r.Close()
			checkResult(t, r)
			if r.Outcome != Failed || r.Reason != test.reason || r.Sent != test.sent {
				t.Errorf("got %v, %q, sent %t, want %v, %q, %t: %v", r.Outcome, r.Reason, r.Sent, Failed, test.reason, test.sent, r.Err)
			}
			if strings.Contains(r.Err.Error(), "secret") {
				t.Errorf("the error quotes the backend: %v", r.Err)
			}
		})
	}
}

func TestUnknownHost(t *testing.T) {
	settings := transportSettings(time.Second, nil)
	settings.DialContext = func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: "backend.test", IsNotFound: true}}
	}
	r := New(Options{Transport: wire.New(settings)}).Do(t.Context(), backendAt(t, "http://backend.test"), chat())
	defer r.Close()
	checkResult(t, r)
	if r.Outcome != Failed || r.Reason != ReasonDial || r.Sent {
		t.Errorf("got %v, %q, sent %t, want %v, %q, false: %v", r.Outcome, r.Reason, r.Sent, Failed, ReasonDial, r.Err)
	}
}

// A handshake in which the other side goes silent.
func TestHandshakeThatHangs(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	backend := rawBackend(t, func(net.Conn) { <-release })
	backend.Endpoint.Scheme = "https"
	client := New(Options{Connect: 20 * time.Millisecond})
	r := client.Do(t.Context(), backend, chat())
	defer r.Close()
	checkResult(t, r)
	if r.Outcome != Failed || r.Reason != ReasonTLS || r.Sent {
		t.Errorf("got %v, %q, sent %t, want %v, %q, false: %v", r.Outcome, r.Reason, r.Sent, Failed, ReasonTLS, r.Err)
	}
}

func TestTrustedTLS(t *testing.T) {
	server := httptest.NewTLSServer(answer(200, "application/json", chatAnswer))
	defer server.Close()
	transport := NewTransport(time.Second, server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs)
	client := New(Options{Transport: transport})
	defer client.CloseIdleConnections()
	r := client.Do(t.Context(), backendAt(t, server.URL), chat())
	defer r.Close()
	checkResult(t, r)
	if text, _ := relayed(r); r.Outcome != OK || text != chatAnswer {
		t.Errorf("got %v, %q, want %v, %q: %v", r.Outcome, text, OK, chatAnswer, r.Err)
	}
}

// Errors of net/http quote the URL; a key in a query must not come out that way.
func TestErrorsHoldNoURL(t *testing.T) {
	client := New(Options{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
		_, err := http.Get("http://127.0.0.1:0/?key=secret")
		return nil, err
	})})
	r := client.Do(t.Context(), backendAt(t, "http://backend.test"), chat())
	defer r.Close()
	checkResult(t, r)
	if strings.Contains(r.Err.Error(), "secret") || strings.Contains(r.Err.Error(), "http://") {
		t.Errorf("error %q", r.Err)
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestEndedBeforeItBegan(t *testing.T) {
	client, backend := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("sent") })
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	late, cancel := context.WithDeadline(t.Context(), time.Unix(0, 0))
	defer cancel()
	for _, test := range []struct {
		ctx    context.Context
		reason string
	}{{gone, ReasonCanceled}, {late, ReasonDeadline}} {
		r := client.Do(test.ctx, backend, chat())
		checkResult(t, r)
		if r.Outcome != Canceled || r.Reason != test.reason || r.Sent {
			t.Errorf("got %v, %q, sent %t, want %v, %q, false", r.Outcome, r.Reason, r.Sent, Canceled, test.reason)
		}
		r.Close()
	}
}

func TestRequestWithoutABody(t *testing.T) {
	client, backend := serve(t, answer(400, json, `{"error":{"message":"no body"}}`))
	r := client.Do(t.Context(), backend, Call{Operation: openai.ChatCompletions, Deployment: "d"})
	defer r.Close()
	checkResult(t, r)
	if r.Outcome != ClientFault {
		t.Errorf("got %v, want %v: %v", r.Outcome, ClientFault, r.Err)
	}
}

func TestBackendWithoutAnEndpoint(t *testing.T) {
	r := New(Options{}).Do(t.Context(), &Backend{}, chat())
	defer r.Close()
	checkResult(t, r)
	if r.Outcome != Broken || r.Reason != ReasonEndpoint || !errors.Is(r.Err, errNoEndpoint) {
		t.Errorf("got %v, %q", r.Outcome, r.Reason)
	}
}
