package gateway_test

import (
	"net/http"
	"strings"
	"testing"

	"spillway/tests/fakes/azureopenai"
	"spillway/tests/rig"
)

// dialects is a gateway before one backend of each api. Each serves a chat, a
// completion and an embedding model of its own, so that the model chooses the
// backend.
const dialects = `
access: open
admin: { keys: ["` + adminKey + `"] }
backends:
  - name: azure
    endpoint: http://azure.test
    auth: { apiKey: "key of azure" }
    deployments: [{ model: a, deployment: a-chat }, { model: a-embed, deployment: a-embedding }]
  - name: v1
    endpoint: http://v1.test
    api: azure-v1
    auth: { apiKey: "key of v1" }
    deployments: [{ model: b, deployment: b-chat }, { model: b-embed, deployment: b-embedding }]
  - name: openai
    endpoint: http://openai.test
    api: openai
    auth: { apiKey: "key of openai" }
    deployments: [{ model: c, deployment: c-chat }, { model: c-embed, deployment: c-embedding }]
pools:
  - { model: a, members: [{ backend: azure }] }
  - { model: b, members: [{ backend: v1 }] }
  - { model: c, members: [{ backend: openai }] }
  - { model: a-embed, members: [{ backend: azure }] }
  - { model: b-embed, members: [{ backend: v1 }] }
  - { model: c-embed, members: [{ backend: openai }] }
`

func dialectBackends() hosts {
	backend := func(name, letter string) *azureopenai.Server {
		return azureopenai.New(azureopenai.Options{
			Name:        name,
			Key:         "key of " + name,
			Deployments: []azureopenai.Deployment{{Name: letter + "-chat"}, {Name: letter + "-embedding"}},
			Output:      azureopenai.Output{Exact: 5},
		})
	}
	return hosts{"azure.test": backend("azure", "a"), "v1.test": backend("v1", "b"), "openai.test": backend("openai", "c")}
}

// An api-version that is older than a feature gets the service's own error, word by
// word, and harms no deployment: a client that goes on asking takes nothing out.
func TestVersionOlderThanAFeature(t *testing.T) {
	run(t, ordinary, func(s *site) {
		for range 20 {
			for _, call := range []rig.Call{
				{Path: "/openai/deployments/gpt-4o/chat/completions?api-version=2020-01-01", Body: chatBody(10, false)},
				{Path: "/openai/responses?api-version=2024-06-01", Body: `{"model":"gpt-4o","input":"Hi"}`},
			} {
				w := s.Send(s.t.Context(), call)
				if w.Code != 200 && (w.Code < 400 || w.Code > 404 || w.Header().Get("X-Spillway-Backend") != "ptu") {
					t.Fatalf("%s: %d %s", call.Path, w.Code, w.Body)
				}
			}
		}
		if d := s.deployment("ptu/gpt-4o-ptu"); d.Breaker != "closed" {
			t.Errorf("the breaker is %s, want closed", d.Breaker)
		}
	})
}

// A client of any dialect is served by a backend of any other. What changes on
// the way is where the model's name stands, what it is, and the credential. All
// else reaches the backend byte for byte.
func TestEveryClientIsServedByEveryBackend(t *testing.T) {
	clients := []struct {
		name   string
		prefix func(model string) string
		query  string
		inBody bool // the dialect names the model in the body
	}{
		{"azure", func(model string) string { return "/openai/deployments/" + model + "/" }, "?api-version=2024-10-21", false},
		{"azure-v1", func(string) string { return "/openai/v1/" }, "?api-version=preview", true},
		{"openai", func(string) string { return "/v1/" }, "", true},
	}
	backends := []struct {
		host, letter, credential string
		path                     func(deployment, operation string) string
		inBody                   bool
	}{
		{"azure.test", "a", "Api-Key", func(d, op string) string { return "/openai/deployments/" + d + "/" + op + "?api-version=" }, false},
		{"v1.test", "b", "Api-Key", func(_, op string) string { return "/openai/v1/" + op }, true},
		{"openai.test", "c", "Authorization", func(_, op string) string { return "/v1/" + op }, true},
	}
	operations := []struct{ path, kind, body string }{
		{"chat/completions", "-chat", ` "messages" : [{"role":"user","content":"Gr\u00fc\u00dfe \ud83d\ude00 &amp;"}], "unknown": {"a":[1.50,2e0]}, "max_tokens":5 }`},
		{"completions", "-chat", `"prompt":["one","two"],"max_tokens":5,"suffix":null}`},
		{"embeddings", "-embedding", `"input":["one","two"],"dimensions":3}`},
	}
	for _, client := range clients {
		for _, backend := range backends {
			for _, op := range operations {
				t.Run(client.name+" client, "+backend.host+", "+op.path, func(t *testing.T) {
					runBefore(t, dialects, dialectBackends, func(s *site) {
						model, deployment := backend.letter, backend.letter+op.kind
						if op.kind == "-embedding" {
							model += "-embed"
						}
						sent, want := "{"+op.body, "{"+op.body
						if client.inBody {
							sent = `{ "model": "` + model + `",` + op.body
							want = sent
							if backend.inBody {
								want = `{ "model": "` + deployment + `",` + op.body
							}
						} else if backend.inBody {
							want = `{"model":"` + deployment + `",` + strings.TrimLeft(op.body, " ")
							if strings.HasPrefix(op.body, " ") {
								want = "{ " + want[1:]
							}
						}
						w := s.Send(s.t.Context(), rig.Call{
							Path: client.prefix(model) + op.path + client.query, Body: sent,
							Header: map[string]string{"Openai-Beta": "x=v1", "X-Ms-Client-Request-Id": "mine"},
						})
						if w.Code != http.StatusOK {
							s.t.Fatalf("status %d, want %d: %s", w.Code, http.StatusOK, w.Body)
						}
						got, ok := s.hosts[backend.host].LastRequest()
						if !ok {
							s.t.Fatal("the backend was not asked")
						}
						if string(got.Body) != want {
							t.Errorf("the backend got the body\n  %s, want\n  %s", got.Body, want)
						}
						if path := backend.path(deployment, op.path); !strings.HasPrefix(got.URI, path) {
							t.Errorf("the backend got %s, want %s…", got.URI, path)
						}
						if credential := got.Header.Get(backend.credential); !strings.HasSuffix(credential, "key of "+strings.TrimSuffix(backend.host, ".test")) {
							t.Errorf("the backend got %s: %q", backend.credential, credential)
						}
						if got.Header.Get("Openai-Beta") != "x=v1" || got.Header.Get("X-Ms-Client-Request-Id") != "mine" {
							t.Errorf("the client's own headers are missing: %v", got.Header)
						}
						if record := s.last(); record.Operation == "" || record.Model != model || record.Deployment != deployment {
							t.Errorf("recorded %+v", record)
						}
					})
				})
			}
		}
	}
}

// An Azure backend is asked for the version that it is configured with, else for
// the client's, else for the newest that is generally available.
func TestAPIVersion(t *testing.T) {
	tests := []struct{ name, configured, path, want string }{
		{"the client's", "", "/openai/deployments/gpt-4o/chat/completions?api-version=2024-06-01", "2024-06-01"},
		{"the backend's own", "    apiVersion: 2025-01-01-preview\n", "/openai/deployments/gpt-4o/chat/completions?api-version=2024-06-01", "2025-01-01-preview"},
		{"the client has none", "", "/v1/chat/completions", "2024-10-21"},
		{"the backend's own for a client that has none", "    apiVersion: 2024-06-01\n", "/v1/chat/completions", "2024-06-01"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			run(t, with("    endpoint: http://ptu.test\n", "    endpoint: http://ptu.test\n"+test.configured), func(s *site) {
				s.servedBy(s.Send(s.t.Context(), rig.Call{Path: test.path, Body: chatBody(10, false)}), "ptu", "")
				got, _ := s.ptu.LastRequest()
				if want := "/openai/deployments/gpt-4o-ptu/chat/completions?api-version=" + test.want; got.URI != want {
					t.Errorf("asked for %s, want %s", got.URI, want)
				}
			})
		})
	}
}

// api versions before 2024-09-01-preview refuse stream_options. Such a backend is
// not asked for the usage, and the tokens are counted from the text.
func TestOldAPIVersionIsNotAskedForUsage(t *testing.T) {
	run(t, with("endpoint: http://ptu.test", "endpoint: http://ptu.test\n    apiVersion: 2024-02-01"), func(s *site) {
		s.knowVocabularies()
		w := s.stream(50)
		s.servedBy(w, "ptu", "")
		if got, _ := s.ptu.LastRequest(); strings.Contains(string(got.Body), "stream_options") {
			t.Errorf("an old version was asked for stream_options: %s", got.Body)
		}
		record := s.last()
		if record.Measured || reasons(record) != "ptu/gpt-4o-ptu ok" {
			t.Errorf("recorded measured %v, attempts %s, want false, %s", record.Measured, reasons(record), "ptu/gpt-4o-ptu ok")
		}
		// The vocabularies differ a little: the fake's words are mostly one token.
		if n := record.Tokens.Completion; n < 18 || n > 24 {
			t.Errorf("counted %d tokens of the 20 that were generated", n)
		}
		if n := record.Tokens.Prompt; n < 7 || n > 10 {
			t.Errorf("counted %d tokens of a prompt of 9", n)
		}
	})
}

// A model that refuses the stream_options which the gateway has added is asked
// again without them, and never with them again. The client sees nothing of it.
func TestRefusedStreamOptionsAreRemembered(t *testing.T) {
	run(t, ordinary, func(s *site) {
		s.ptu.Inject(azureopenai.Fault{Kind: azureopenai.FaultStatus, Status: 400, Uncharged: true, Times: 1,
			Body: `{"error":{"message":"Unknown parameter: 'stream_options'.","type":"invalid_request_error","param":"stream_options","code":"unknown_parameter"}}`})
		s.servedBy(s.stream(50), "ptu", "")
		if got := reasons(s.last()); got != "ptu/gpt-4o-ptu stream_options_refused, ptu/gpt-4o-ptu ok" {
			t.Errorf("the attempts were %s, want ptu/gpt-4o-ptu stream_options_refused, ptu/gpt-4o-ptu ok", got)
		}
		s.servedBy(s.stream(50), "ptu", "")
		if got := reasons(s.last()); got != "ptu/gpt-4o-ptu ok" {
			t.Errorf("the second request's attempts were %s, want ptu/gpt-4o-ptu ok", got)
		}
		asked := 0
		for _, r := range s.ptu.Requests() {
			if strings.Contains(string(r.Body), "stream_options") {
				asked++
			}
		}
		if asked != 1 {
			t.Errorf("the backend was asked %d times for what it does not know, want once", asked)
		}
		if left := s.deployment("ptu/gpt-4o-ptu").Tokens.Remaining; left != 10000-2*52 {
			t.Errorf("%d tokens left, want %d: a request that is sent twice counts once", left, 10000-2*52)
		}
	})
}

// When the client itself has asked for what the backend refuses, the refusal is
// the client's.
func TestRefusedStreamOptionsOfTheClientAreItsOwn(t *testing.T) {
	run(t, with("endpoint: http://ptu.test", "endpoint: http://ptu.test\n    apiVersion: 2024-02-01"), func(s *site) {
		body := `{"model":"gpt-4o","messages":[{"role":"user","content":"Hi"}],"stream":true,"stream_options":{"include_usage":true}}`
		w := s.Send(s.t.Context(), rig.Call{Path: "/v1/chat/completions", Body: body})
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "stream_options") {
			t.Errorf("got %d %s", w.Code, w.Body)
		}
		if n := s.asked("payg.test", "gpt-4o"); n != 0 {
			t.Errorf("%d requests went to another backend, want 0", n)
		}
	})
}

// What is not the API's is a 404 in its shape, and what is called the wrong way
// a 405 that names the right one. Neither asks for a key, nor any backend.
func TestWhatIsNotServed(t *testing.T) {
	tests := []struct {
		method, path string
		status       int
		code         string
	}{
		{"POST", "/v1/chat/completion", 404, "unknown_url"},
		{"POST", "/v1/chat/completions/", 404, "unknown_url"},
		{"POST", "/v1/", 404, "unknown_url"},
		{"POST", "/", 404, "unknown_url"},
		{"POST", "/maintenance", 404, "unknown_url"},
		{"POST", "/openai/deployments/gpt-4o", 404, "unknown_url"},
		{"POST", "/openai/deployments//chat/completions", 404, "unknown_url"},
		{"POST", "/openai/deployments/../chat/completions", 404, "unknown_url"},
		{"POST", "/openai/deployments/a%2Fb/chat/completions", 404, "unknown_url"},
		{"POST", "/openai/deployments/a%00b/chat/completions", 404, "unknown_url"},
		{"POST", "/openai/deployments/" + strings.Repeat("a", 300) + "/chat/completions", 404, "unknown_url"},
		{"POST", "/v1/chat/completions?api-version=a%20b", 404, "unknown_url"},
		{"GET", "/v1/chat/completions", 405, "method_not_supported"},
		{"PUT", "/openai/v1/embeddings", 405, "method_not_supported"},
		{"DELETE", "/openai/deployments/gpt-4o/completions", 405, "method_not_supported"},
	}
	for _, test := range tests {
		t.Run(test.method+" "+test.path[:min(len(test.path), 40)], func(t *testing.T) {
			run(t, keyed, func(s *site) {
				w := s.Send(s.t.Context(), rig.Call{Method: test.method, Path: test.path, Body: chatBody(1, false)})
				s.refused(w, test.status, test.code)
				if test.status == 405 && w.Header().Get("Allow") != "POST" {
					t.Errorf("a 405 must say what is allowed; Allow is %q", w.Header().Get("Allow"))
				}
				if n := len(s.ptu.Requests()) + len(s.payg.Requests()); n != 0 {
					t.Errorf("%d requests reached a backend, want 0", n)
				}
			})
		})
	}
}
