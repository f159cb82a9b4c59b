package e2e_test

import (
	"net/http"
	"strings"
	"testing"
)

// foreign are credentials and traces of the platform that a caller's request
// may carry, each of a value that occurs nowhere else.
var foreign = http.Header{
	"X-Functions-Key":           {"secret-of-the-host"},
	"Cookie":                    {"session=secret-of-a-session"},
	"Proxy-Authorization":       {"Basic secret-of-a-proxy"},
	"X-Api-Key":                 {"secret-of-another-gateway"},
	"Ocp-Apim-Subscription-Key": {"secret-of-a-subscription"},
	"X-Ms-Token-Aad-Id-Token":   {"secret-of-an-identity"},
	"X-Ms-Client-Principal":     {"secret-of-a-principal"},
	"X-Forwarded-For":           {"192.0.2.77"},
}

const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// Who calls, and how the caller has proved it, is not the backend's business;
// and the gateway's own key at the backend is not the caller's.
func TestHeadersBothWays(t *testing.T) {
	s := startSite(t, "")
	s.eachPair(t, func(t *testing.T, from, to dialect) {
		model := "chat-" + string(to)
		path := from.path(model, "chat/completions")
		separator := "?"
		if strings.Contains(path, "?") {
			separator = "&"
		}
		path += separator + "code=secret-of-the-query&subscription-key=secret-of-the-query&x=secret-of-the-query"
		header := foreign.Clone()
		header.Set("Traceparent", trace)
		header.Set("Tracestate", "vendor=1")
		header.Set("X-Ms-Client-Request-Id", "the-callers-id")
		header.Set("OpenAI-Beta", "assistants=v2")
		header.Set("User-Agent", "spillway-e2e/1")
		got := s.send(t, call{path: path, key: callerKey, from: from, header: header, body: chatBody(model)}).served(t)
		request, sent := s.backends[to].last(t)

		t.Run("to the backend", func(t *testing.T) {
			seen := request.URI + "\n" + string(request.Body)
			for name, values := range request.Header {
				seen += "\n" + name + ": " + strings.Join(values, "\n")
			}
			for _, secret := range []string{callerKey, "secret-of", "192.0.2.77"} {
				if strings.Contains(seen, secret) {
					t.Errorf("the backend has got %q:\n%s", secret, seen)
				}
			}
			own := http.Header{"Api-Key": {backendKey}}
			if to == openAI {
				own = http.Header{"Authorization": {"Bearer " + backendKey}}
			}
			for _, name := range []string{"Api-Key", "Authorization"} {
				if value := request.Header.Get(name); value != own.Get(name) {
					t.Errorf("%s at the backend is %q, want %q", name, value, own.Get(name))
				}
			}
			for _, name := range []string{"Traceparent", "Tracestate", "X-Ms-Client-Request-Id", "Openai-Beta", "User-Agent", "Content-Type"} {
				want := header.Get(name)
				if name == "Content-Type" {
					want = "application/json"
				}
				if value := request.Header.Get(name); value != want {
					t.Errorf("%s at the backend is %q, want %q", name, value, want)
				}
			}
			want := map[dialect]string{
				classic: "/openai/deployments/the%20deployed%20gpt-4o/chat/completions?api-version=" + apiVersion,
				azureV1: "/openai/v1/chat/completions",
				openAI:  "/v1/chat/completions",
			}[to]
			if request.URI != want {
				t.Errorf("asked for %s, want %s", request.URI, want)
			}
		})
		t.Run("to the client", func(t *testing.T) {
			for name, want := range map[string]string{
				"X-Spillway-Backend":    "backend-" + string(to),
				"X-Spillway-Deployment": deployed,
				"X-Spillway-Attempts":   "1",
				"X-Spillway-Spillover":  "",
			} {
				if value := got.header.Get(name); value != want {
					t.Errorf("%s is %q, want %q", name, value, want)
				}
			}
			if got.id() == "" {
				t.Error("the answer has no x-request-id")
			}
			for name := range sent.headers() {
				switch {
				case name == "X-Request-Id", name == "Content-Length":
				case got.header.Get(name) != sent.headers().Get(name):
					t.Errorf("%s is %q, the backend sent %q", name, got.header.Get(name), sent.headers().Get(name))
				}
			}
			if to != openAI && (got.header.Get("Apim-Request-Id") == "" || got.header.Get("X-Ms-Region") != "East US" ||
				got.header.Get("X-Ms-Client-Request-Id") != "the-callers-id") {
				t.Errorf("headers of Azure are missing: %v", got.header)
			}
			for name, values := range got.header {
				if strings.Contains(strings.Join(values, "\n"), backendKey) {
					t.Errorf("%s tells the backend's key", name)
				}
			}
		})
		if record := s.record(t, got.id()); record.TraceID != "4bf92f3577b34da6a3ce929d0e0e4736" || record.Consumer != "caller" {
			t.Errorf("recorded with trace %q for %q", record.TraceID, record.Consumer)
		}
	})
	if log := s.output.String(); strings.Contains(log, callerKey) || strings.Contains(log, backendKey) || strings.Contains(log, "secret-of") {
		t.Error("the log holds a secret")
	}
}

// chatBody is an ordinary request.
func chatBody(model string) string {
	return `{"model":"` + model + `","messages":[{"role":"user","content":"Hello!"}],"max_tokens":20}`
}

// The limits that the headers show are the caller's own where it has some; where
// it has none those of the backend pass.
func TestRateLimitHeaders(t *testing.T) {
	options := pair("metered")
	options.Deployments[0].TokensPerMinute, options.Deployments[0].RequestsPerMinute = 50_000, 600
	b := newBackend(t, options)
	env := settings()
	env["BACKEND"] = b.url
	p := start(t, `
access: keys
backends:
  - { name: metered, endpoint: "${BACKEND}", auth: { apiKey: "${BACKEND_KEY}" }, deployments: [{ model: gpt-4o }] }
pools:
  - { model: gpt-4o, members: [{ backend: metered }] }
consumers:
  - { name: free, keys: ["${CALLER_KEY}"] }
  - { name: limited, keys: [key-of-the-limited-0001], tokensPerMinute: 1000, requestsPerMinute: 7 }
`, env)
	ask := func(key string) http.Header {
		return p.send(t, call{path: openAI.path("", "chat/completions"), key: key, from: openAI, body: chatBody("gpt-4o")}).served(t).header
	}
	tests := []struct {
		name, key string
		want      map[string]string
	}{
		// 8 tokens of prompt and 20 of output are charged to the caller; the
		// backend itself counts 2 and 20.
		{"the caller has limits", "key-of-the-limited-0001", map[string]string{
			"X-Ratelimit-Limit-Tokens": "1000", "X-Ratelimit-Remaining-Tokens": "972",
			"X-Ratelimit-Limit-Requests": "7", "X-Ratelimit-Remaining-Requests": "6"}},
		{"the caller has none", callerKey, map[string]string{
			"X-Ratelimit-Limit-Tokens": "50000", "X-Ratelimit-Limit-Requests": "600"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := ask(test.key)
			for name, want := range test.want {
				if value := h.Get(name); value != want {
					t.Errorf("%s is %q, want %q", name, value, want)
				}
			}
		})
	}
}
