package azureopenai_test

import (
	"net/http"
	"strings"
	"testing"

	"spillway/tests/fakes/azureopenai"
)

// TestErrors: each refusal has the status, the code and the shape that the
// service gives it in that dialect.
func TestErrors(t *testing.T) {
	const key = "the-key"
	const old = "/openai/deployments/gpt-4o/chat/completions?api-version=2024-06-01"
	const v1 = "/openai/v1/chat/completions"
	long := strings.Repeat("water ", 200)
	tests := []struct {
		name, path, body string
		status           int
		code, param      any
		message          string // part of it
	}{
		{"unknown path", "/openai/deployments/gpt-4o/songs?api-version=2024-10-21", hello, 404, "404", nil, "Resource not found"},
		{"classic path without api-version", "/openai/deployments/gpt-4o/chat/completions", hello, 404, "404", nil, "Resource not found"},
		{"unknown deployment, classic", "/openai/deployments/nobody/chat/completions?api-version=2024-10-21", hello, 404, "DeploymentNotFound", nil, "The API deployment for this resource does not exist"},
		{"unknown deployment, Azure v1", v1, `{"model":"nobody"}`, 404, "DeploymentNotFound", nil, "does not exist"},
		{"unknown model, OpenAI", "/v1/chat/completions", `{"model":"nobody"}`, 404, "model_not_found", nil, "`nobody`"},
		{"no model in the body", v1, hello, 400, nil, nil, "must provide a model"},
		{"model of a wrong type", v1, `{"model":7}`, 400, "invalid_type", "model", "an integer"},
		{"names are case-sensitive", v1, `{"Model":"gpt-4o"}`, 400, nil, nil, "must provide a model"},
		{"not JSON", chatPath, `{"messages":[`, 400, nil, nil, "could not parse the JSON"},
		{"JSON, but null", chatPath, `null`, 400, nil, nil, "could not parse the JSON"},
		{"two values", chatPath, hello + hello, 400, nil, nil, "could not parse the JSON"},
		{"no messages", chatPath, `{}`, 400, "missing_required_parameter", "messages", "Missing required parameter: 'messages'"},
		{"empty messages", chatPath, `{"messages":[]}`, 400, "empty_array", "messages", "empty array"},
		{"messages of a wrong type", chatPath, `{"messages":"hi"}`, 400, "invalid_type", "messages", "got a string"},
		{"unknown role", chatPath, `{"messages":[{"role":"king","content":"x"}]}`, 400, "invalid_value", "messages[0].role", "king"},
		{"no role", chatPath, `{"messages":[{"content":"x"}]}`, 400, "missing_required_parameter", "messages[0].role", ""},
		{"no content", chatPath, `{"messages":[{"role":"user","content":null}]}`, 400, "invalid_type", "messages[0].content", "got null"},
		{"content is a number", chatPath, `{"messages":[{"role":"user","content":1.5}]}`, 400, "invalid_type", "messages[0].content", "a decimal number"},
		{"unknown part", chatPath, `{"messages":[{"role":"user","content":[{"type":"smell"}]}]}`, 400, "invalid_value", "messages[0].content[0].type", "smell"},
		{"text part without text", chatPath, `{"messages":[{"role":"user","content":[{"type":"text"}]}]}`, 400, "missing_required_parameter", "messages[0].content[0].text", ""},
		{"max_tokens 0", chatPath, `{"messages":[{"role":"user","content":"x"}],"max_tokens":0}`, 400, "integer_below_min_value", "max_tokens", "but got 0"},
		{"max_tokens a fraction", chatPath, `{"messages":[{"role":"user","content":"x"}],"max_tokens":1.5}`, 400, "invalid_type", "max_tokens", ""},
		{"max_tokens too large", chatPath, `{"messages":[{"role":"user","content":"x"}],"max_tokens":2147483648}`, 400, "integer_above_max_value", "max_tokens", ""},
		{"both maxima", chatPath, `{"messages":[{"role":"user","content":"x"}],"max_tokens":1,"max_completion_tokens":1}`, 400, "invalid_parameter_combination", "max_tokens", ""},
		{"n 129", chatPath, `{"messages":[{"role":"user","content":"x"}],"n":129}`, 400, "integer_above_max_value", "n", ""},
		{"temperature 3", chatPath, `{"messages":[{"role":"user","content":"x"}],"temperature":3}`, 400, "decimal_out_of_range", "temperature", ""},
		{"stream is a string", chatPath, `{"messages":[{"role":"user","content":"x"}],"stream":"yes"}`, 400, "invalid_type", "stream", ""},
		{"stream_options without stream", chatPath, `{"messages":[{"role":"user","content":"x"}],"stream_options":{"include_usage":true}}`, 400, nil, "stream_options", "only allowed when 'stream' is enabled"},
		{"stream_options before 2024-09", old, `{"messages":[{"role":"user","content":"x"}],"stream":true,"stream_options":{"include_usage":true}}`, 400, "unknown_parameter", "stream_options", "Unknown parameter: 'stream_options'."},
		{"max_completion_tokens before 2024-09", old, `{"messages":[{"role":"user","content":"x"}],"max_completion_tokens":3}`, 400, "unknown_parameter", "max_completion_tokens", ""},
		{"max_tokens for a reasoning model", v1, `{"model":"o3","messages":[{"role":"user","content":"x"}],"max_tokens":3}`, 400, "unsupported_parameter", "max_tokens", "Use 'max_completion_tokens'"},
		{"unknown response format", chatPath, `{"messages":[{"role":"user","content":"x"}],"response_format":{"type":"poem"}}`, 400, "invalid_value", "response_format.type", "poem"},
		{"no prompt", textPath, `{}`, 400, "missing_required_parameter", "prompt", ""},
		{"best_of < n", textPath, `{"prompt":"x","n":3,"best_of":2}`, 400, nil, "best_of", "best_of must be greater"},
		{"no input", embedPath, `{}`, 400, "missing_required_parameter", "input", ""},
		{"empty input", embedPath, `{"input":""}`, 400, nil, "input", ""},
		{"input of mixed types", embedPath, `{"input":["a",1]}`, 400, "invalid_type", "input", ""},
		{"unknown encoding", embedPath, `{"input":"a","encoding_format":"hex"}`, 400, "invalid_value", "encoding_format", ""},
		{"chat with an embedding model", "/openai/deployments/text-embedding-3-small/chat/completions?api-version=2024-10-21", hello, 400, "OperationNotSupported", nil, "does not work with the specified model"},
		{"embedding with a chat model", "/openai/deployments/gpt-4o/embeddings?api-version=2024-10-21", `{"input":"a"}`, 400, "OperationNotSupported", nil, ""},
		{"content filter", chatPath, `{"messages":[{"role":"user","content":"say FORBIDDEN please"}]}`, 400, "content_filter", "prompt", "content management policy"},
		{"context length", chatPath, `{"messages":[{"role":"user","content":"` + long + `"}]}`, 400, "context_length_exceeded", "messages", "maximum context length is 100 tokens"},
	}
	s := azureopenai.New(azureopenai.Options{Key: key, FilterWord: "FORBIDDEN", Deployments: []azureopenai.Deployment{
		{Name: "gpt-4o", ContextTokens: 100}, {Name: "o3"}, {Name: "text-embedding-3-small"}}})
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			resp := send(t, s, test.path, test.body, "api-key", key)
			body := read(t, resp)
			if resp.StatusCode != test.status || resp.Header.Get("Content-Type") != "application/json" {
				t.Fatalf("status %d, %q, want %d, %q: %s", resp.StatusCode, resp.Header.Get("Content-Type"), test.status, "application/json", body)
			}
			problem, _ := object(t, body)["error"].(map[string]any)
			if problem["code"] != test.code || problem["param"] != test.param {
				t.Errorf("code %v, param %v; want %v, %v", problem["code"], problem["param"], test.code, test.param)
			}
			if message, _ := problem["message"].(string); !strings.Contains(message, test.message) {
				t.Errorf("message %q; want %q in it", message, test.message)
			}
			if recorded, _ := s.LastRequest(); recorded.Status != test.status {
				t.Errorf("recorded status %d, want %d", recorded.Status, test.status)
			}
			check(t, s, 0)
		})
	}
}

func TestCredentials(t *testing.T) {
	const classic, v1 = chatPath, "/v1/chat/completions"
	s := azureopenai.New(azureopenai.Options{Key: "k1", Token: "entra", Deployments: []azureopenai.Deployment{{Name: "gpt-4o"}}})
	tests := []struct {
		name, path, header, value string
		ok                        bool
	}{
		{"api-key", classic, "api-key", "k1", true},
		{"key as Bearer", v1, "Authorization", "Bearer k1", true},
		{"token as Bearer", classic, "Authorization", "Bearer entra", true},
		{"token as api-key", classic, "api-key", "entra", false},
		{"wrong key", classic, "api-key", "k2", false},
		{"prefix of the key", classic, "api-key", "k", false},
		{"wrong Bearer", v1, "Authorization", "Bearer k2", false},
		{"empty Bearer", classic, "Authorization", "Bearer ", false},
		{"Basic", classic, "Authorization", "Basic k1", false},
		{"none", classic, "X-Nothing", "", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			resp := send(t, s, test.path, `{"model":"gpt-4o","messages":[{"role":"user","content":"x"}]}`, test.header, test.value)
			body := read(t, resp)
			if test.ok {
				if resp.StatusCode != http.StatusOK {
					t.Errorf("status %d, want %d: %s", resp.StatusCode, http.StatusOK, body)
				}
				return
			}
			code := "401"
			if test.path == v1 {
				code = "invalid_api_key"
			}
			if resp.StatusCode != http.StatusUnauthorized || at(object(t, body), "error", "code") != code {
				t.Errorf("status %d: %s", resp.StatusCode, body)
			}
			if s.Stats()["gpt-4o"].Requests > 3 {
				t.Error("a stranger's request was counted")
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	limited := azureopenai.Deployment{TokensPerMinute: 100_000, RequestsPerMinute: 100, Phase: phaseFarFromNow()}
	azure := []string{"apim-request-id", "x-request-id", "x-ms-region", "x-ms-deployment-name", "azureml-model-session", "x-ms-rai-invoked", "date"}
	tests := []struct {
		name    string
		path    string
		headers azureopenai.Headers
		want    map[string]string // "" must be absent, "*" must be there
	}{
		{"as Azure sends them", chatPath, azureopenai.Headers{}, map[string]string{
			"x-ratelimit-limit-tokens": "100000", "x-ratelimit-remaining-tokens": "99998", "x-ratelimit-limit-requests": "100",
			"x-ratelimit-remaining-requests": "99", "x-ratelimit-reset-tokens": "", "x-ratelimit-reset-requests": ""}},
		{"as OpenAI sends them", "/v1/chat/completions", azureopenai.Headers{}, map[string]string{
			"x-ratelimit-remaining-tokens": "99998", "x-ratelimit-reset-tokens": "*", "openai-version": "*", "x-request-id": "*",
			"apim-request-id": "", "x-ms-region": ""}},
		{"reset in seconds", chatPath, azureopenai.Headers{Reset: azureopenai.HeaderSeconds}, map[string]string{"x-ratelimit-reset-tokens": "*"}},
		{"unknown as -1", chatPath, azureopenai.Headers{Remaining: azureopenai.HeaderMinusOne, Reset: azureopenai.HeaderMinusOne}, map[string]string{
			"x-ratelimit-remaining-tokens": "-1", "x-ratelimit-reset-tokens": "-1", "x-ratelimit-limit-tokens": "100000"}},
		{"zero", chatPath, azureopenai.Headers{Limit: azureopenai.HeaderZero, Remaining: azureopenai.HeaderZero}, map[string]string{
			"x-ratelimit-limit-tokens": "0", "x-ratelimit-remaining-requests": "0"}},
		{"none at all", chatPath, azureopenai.Headers{Limit: azureopenai.HeaderNone, Remaining: azureopenai.HeaderNone, Reset: azureopenai.HeaderNone}, map[string]string{
			"x-ratelimit-limit-tokens": "", "x-ratelimit-remaining-tokens": "", "x-ratelimit-reset-tokens": "", "x-ratelimit-limit-requests": ""}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := one(limited, func(o *azureopenai.Options) { o.Headers = test.headers })
			resp := send(t, s, test.path, `{"model":"gpt-4o","messages":[{"role":"user","content":"Hello!"}]}`)
			for name, want := range test.want {
				got := resp.Header.Get(name)
				if (want == "*" && got == "") || (want != "*" && got != want) {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if test.path == chatPath {
				for _, name := range azure {
					if resp.Header.Get(name) == "" {
						t.Errorf("%s is missing", name)
					}
				}
			}
		})
	}
}

// TestRecords: requests are kept as they came, byte for byte, within bounds.
func TestRecords(t *testing.T) {
	s := one(azureopenai.Deployment{}, func(o *azureopenai.Options) { o.RecordRequests, o.RecordBytes = 3, 1000 })
	body := "{ \"messages\" : [ {\"role\":\"user\",\"content\":\"\\u00e9\\/é\"} ],\r\n \"x-unknown\": 1e2 }"
	send(t, s, chatPath+"&extra=1%2F2", body, "X-Custom", "yes")
	got, ok := s.LastRequest()
	if !ok || string(got.Body) != body || got.Header.Get("X-Custom") != "yes" || got.URI != chatPath+"&extra=1%2F2" ||
		got.Method != "POST" || got.Deployment != "gpt-4o" || got.Status != 200 || got.Host != "fake" {
		t.Errorf("recorded %+v", got)
	}
	for range 5 {
		send(t, s, chatPath, hello)
	}
	if n := len(s.Requests()); n != 3 {
		t.Errorf("%d requests kept, want 3", n)
	}
	send(t, s, chatPath, `{"messages":[{"role":"user","content":"`+strings.Repeat("x", 2000)+`"}]}`)
	if n := len(s.Requests()); n != 1 {
		t.Errorf("%d requests kept beside a large one, want 1", n)
	}
}

func TestBodyLimit(t *testing.T) {
	s := one(azureopenai.Deployment{}, func(o *azureopenai.Options) { o.MaxBody = 10 })
	if resp := send(t, s, chatPath, hello); resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("status %d, want %d", resp.StatusCode, http.StatusRequestEntityTooLarge)
	}
}

func TestWrongOptions(t *testing.T) {
	tests := map[string]azureopenai.Options{
		"no name":        {Deployments: []azureopenai.Deployment{{}}},
		"named twice":    {Deployments: []azureopenai.Deployment{{Name: "a"}, {Name: "a"}}},
		"limiter":        {Deployments: []azureopenai.Deployment{{Name: "a", Limiter: "magic"}}},
		"PTU without":    {Deployments: []azureopenai.Deployment{{Name: "a", Limiter: azureopenai.PTU}}},
		"negative limit": {Deployments: []azureopenai.Deployment{{Name: "a", TokensPerMinute: -1}}},
		"phase":          {Deployments: []azureopenai.Deployment{{Name: "a", Phase: 60 * second}}},
		"jitter":         {Deployments: []azureopenai.Deployment{{Name: "a", Latency: &azureopenai.Latency{Jitter: 1}}}},
		"retry form":     {Retry: "later"},
		"header form":    {Headers: azureopenai.Headers{Reset: "later"}},
	}
	for name, options := range tests {
		t.Run(name, func(t *testing.T) {
			if options.Validate() == nil {
				t.Error("accepted")
			}
		})
	}
}
