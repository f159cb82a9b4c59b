package e2e_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"spillway/tests/fakes/azureopenai"
)

// Errors reach the official client as errors of its own kind, with the fields
// and the waiting time that programs look at.
func TestErrorsOfTheOfficialClient(t *testing.T) {
	s := startSite(t, `
  - { name: frugal, keys: [key-of-the-frugal-1234], models: [chat-azure, chat-openai], requestsPerMinute: 1 }
`)
	tests := []struct {
		name    string
		key     string
		model   string
		prompt  string
		status  int
		code    string
		message []string // parts of it
		not     []string // not parts of it
	}{
		{name: "refused by the content filter", key: callerKey, prompt: "a forbidden-word", status: 400, code: "content_filter", message: []string{"content management policy"}},
		{name: "key unknown", key: "key-of-nobody-at-all", status: 401, code: "invalid_api_key", message: []string{"api-key"}, not: []string{"key-of-nobody-at-all"}},
		{name: "model unknown", key: "key-of-the-frugal-1234", model: "gpt-99", status: 404, code: "model_not_found",
			message: []string{"gpt-99", "chat-azure", "chat-openai"}, not: []string{"chat-azure-v1", "embed", "slow"}},
		{name: "model not granted", key: "key-of-the-frugal-1234", model: "slow-openai", status: 404, code: "model_not_found",
			message: []string{"slow-openai", "chat-azure"}, not: []string{"chat-azure-v1", "embed"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s.eachPair(t, func(t *testing.T, from, to dialect) {
				params := chat(to)
				if test.model != "" {
					params.Model = test.model
				}
				if test.prompt != "" {
					params.Messages = []openai.ChatCompletionMessageParamUnion{openai.UserMessage(test.prompt)}
				}
				client := from.client(t, s.process, test.key)
				for _, stream := range []bool{false, true} {
					problem := ask(t, client, params, stream)
					if problem.StatusCode != test.status || problem.Code != test.code {
						t.Errorf("stream %v: status %d, code %q; want %d, %q: %s", stream, problem.StatusCode, problem.Code, test.status, test.code, problem.RawJSON())
					}
					for _, part := range test.message {
						if !strings.Contains(problem.Message, part) {
							t.Errorf("stream %v: the message %q does not say %q", stream, problem.Message, part)
						}
					}
					for _, part := range test.not {
						if strings.Contains(problem.Message, part) {
							t.Errorf("stream %v: the message %q says %q", stream, problem.Message, part)
						}
					}
				}
			})
		})
	}
	t.Run("limit reached", func(t *testing.T) {
		client := openAI.client(t, s.process, "key-of-the-frugal-1234")
		problem := limited(t, client)
		if problem.Code != "rate_limit_exceeded" || problem.Type != "requests" || !strings.Contains(problem.Message, "try again in") {
			t.Errorf("error %s", problem.RawJSON())
		}
		h := problem.Response.Header
		wait, err := time.ParseDuration(h.Get("retry-after-ms") + "ms")
		if err != nil || wait <= 0 || wait > time.Minute {
			t.Errorf("retry-after-ms is %q, want the time to the end of the minute", h.Get("retry-after-ms"))
		}
		whole, err := time.ParseDuration(h.Get("Retry-After") + "s")
		if err != nil || whole < wait || whole-wait >= time.Second {
			t.Errorf("Retry-After is %q and retry-after-ms %q: want the same, rounded up", h.Get("Retry-After"), h.Get("retry-after-ms"))
		}
	})
}

// ask sends a chat completion that must fail, without retries.
func ask(t *testing.T, client openai.Client, params openai.ChatCompletionNewParams, stream bool) *openai.Error {
	t.Helper()
	var err error
	if stream {
		events := client.Chat.Completions.NewStreaming(t.Context(), params, option.WithMaxRetries(0))
		defer events.Close()
		for events.Next() {
			t.Errorf("the stream has an event: %s", events.Current().RawJSON())
		}
		err = events.Err()
	} else {
		_, err = client.Chat.Completions.New(t.Context(), params, option.WithMaxRetries(0))
	}
	var problem *openai.Error
	if !errors.As(err, &problem) {
		t.Fatalf("error %v, want one of the API", err)
	}
	return problem
}

// limited spends a consumer's one request of a minute, and returns the error of
// the next. Where the minute ends between the two it does so once more.
func limited(t *testing.T, client openai.Client) *openai.Error {
	t.Helper()
	for range 4 {
		_, err := client.Chat.Completions.New(t.Context(), chat(openAI), option.WithMaxRetries(0))
		var problem *openai.Error
		if errors.As(err, &problem) && problem.StatusCode == 429 {
			return problem
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("four requests were served; the limit is one per minute")
	return nil
}

// twoBackends is a configuration of two backends that serve one model.
const twoBackends = `
access: keys
backends:
  - { name: ptu, endpoint: "${PTU}", auth: { apiKey: "${BACKEND_KEY}" }, deployments: [{ model: gpt-4o }] }
  - { name: payg, endpoint: "${PAYG}", api: openai, auth: { apiKey: "${BACKEND_KEY}" }, deployments: [{ model: gpt-4o }] }
pools:
  - { model: gpt-4o, members: [{ backend: ptu, priority: 1 }, { backend: payg, priority: 2 }] }
consumers:
  - { name: caller, keys: ["${CALLER_KEY}"] }
`

// When every backend is throttled, the waiting time that the gateway names is
// the right one: the official client comes back by itself and is served.
func TestOfficialClientComesBackInTime(t *testing.T) {
	ptu, payg := newBackend(t, pair("ptu")), newBackend(t, pair("payg"))
	env := settings()
	env["PTU"], env["PAYG"] = ptu.url, payg.url
	params := chat(openAI)
	params.Model = "gpt-4o"
	for _, d := range dialects {
		t.Run(string(d)+" client", func(t *testing.T) {
			p := start(t, twoBackends, env) // one that knows nothing of earlier throttles
			for _, b := range []*backend{ptu, payg} {
				b.Inject(azureopenai.Fault{Kind: azureopenai.FaultThrottle, RetryAfter: 800 * time.Millisecond, For: 800 * time.Millisecond})
			}
			client := d.client(t, p, callerKey)
			problem := ask(t, client, params, false)
			if problem.StatusCode != 429 || problem.Response.Header.Get("retry-after-ms") == "" {
				t.Errorf("status %d with retry-after-ms %q, want 429 and a time", problem.StatusCode, problem.Response.Header.Get("retry-after-ms"))
			}
			before := ptu.requests() + payg.requests()
			started := time.Now()
			got, err := client.Chat.Completions.New(t.Context(), params)
			if err != nil {
				t.Fatalf("with the client's own retries: %v", err)
			}
			t.Logf("served after %s", time.Since(started).Round(time.Millisecond))
			if len(got.Choices) != 1 {
				t.Errorf("answer %s", got.RawJSON())
			}
			if sent := ptu.requests() + payg.requests() - before; sent != 1 {
				t.Errorf("the backends got %d requests while they were throttled and after, want 1", sent)
			}
		})
	}
}

// pair is one of two backends that serve the same model.
func pair(name string) azureopenai.Options {
	return azureopenai.Options{
		Name:        name,
		Key:         backendKey,
		Deployments: []azureopenai.Deployment{{Name: "gpt-4o"}},
		Output:      azureopenai.Output{Exact: 40},
	}
}
