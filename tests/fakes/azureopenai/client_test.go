package azureopenai_test

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/azure"
	"github.com/openai/openai-go/v3/option"

	"spillway/tests/fakes/azureopenai"
)

// TestOfficialClient: the official client understands everything, over a
// socket, in each dialect.
func TestOfficialClient(t *testing.T) {
	d := exactly(25)
	s := one(d, func(o *azureopenai.Options) { o.Key = "k" })
	for name, client := range officialClients(t, s, "2024-10-21") {
		t.Run(name, func(t *testing.T) {
			plain(t, client)
			stream(t, client)
			embed(t, client)
			throttled(t, s, client)
		})
	}
	check(t, s, 0)
}

// officialClients are clients of a server on a socket, one in each dialect; Azure's asks
// for that api-version.
func officialClients(t *testing.T, s *azureopenai.Server, version string) map[string]openai.Client {
	t.Helper()
	l, err := s.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		l.Close()
	})
	web := option.WithHTTPClient(&http.Client{Transport: transport})
	return map[string]openai.Client{
		"azure":    openai.NewClient(azure.WithEndpoint(l.URL, version), azure.WithAPIKey("k"), azure.WithUnsafeAllowHTTP(), web),
		"azure v1": openai.NewClient(option.WithBaseURL(l.URL+"/openai/v1/"), option.WithAPIKey("k"), web),
		"openai":   openai.NewClient(option.WithBaseURL(l.URL+"/v1/"), option.WithAPIKey("k"), web),
	}
}

func params() openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{Model: "gpt-4o", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Hello!")}}
}

func plain(t *testing.T, client openai.Client) {
	answer, err := client.Chat.Completions.New(t.Context(), params())
	if err != nil {
		t.Fatal(err)
	}
	if len(answer.Choices) != 1 || azureopenai.CountTokens(answer.Choices[0].Message.Content) != 25 ||
		answer.Usage.PromptTokens != 8 || answer.Usage.CompletionTokens != 25 || answer.Choices[0].FinishReason != "stop" {
		t.Errorf("answer %+v", answer)
	}
}

func stream(t *testing.T, client openai.Client) {
	p := params()
	p.StreamOptions.IncludeUsage = openai.Bool(true)
	events := client.Chat.Completions.NewStreaming(t.Context(), p)
	defer events.Close()
	var sum openai.ChatCompletionAccumulator
	for events.Next() {
		if next := events.Current(); next.ID != "" && !sum.AddChunk(next) {
			t.Fatalf("event does not fit: %+v", next)
		}
	}
	if err := events.Err(); err != nil {
		t.Fatal(err)
	}
	if len(sum.Choices) != 1 || azureopenai.CountTokens(sum.Choices[0].Message.Content) != 25 || sum.Usage.CompletionTokens != 25 {
		t.Errorf("accumulated %+v", sum.ChatCompletion)
	}
}

func embed(t *testing.T, client openai.Client) {
	answer, err := client.Embeddings.New(t.Context(), openai.EmbeddingNewParams{Model: "text-embedding-3-small",
		Input: openai.EmbeddingNewParamsInputUnion{OfString: openai.String("Hello!")}})
	if err != nil {
		t.Fatal(err)
	}
	if len(answer.Data) != 1 || len(answer.Data[0].Embedding) != 1536 || answer.Usage.PromptTokens != 2 {
		t.Errorf("%d embeddings, usage %+v", len(answer.Data), answer.Usage)
	}
}

// throttled: the client sees an error with the service's status and headers,
// and its own retry works.
func throttled(t *testing.T, s *azureopenai.Server, client openai.Client) {
	s.Inject(azureopenai.Fault{Kind: azureopenai.FaultThrottle, Times: 1, RetryAfter: 1})
	_, err := client.Chat.Completions.New(context.Background(), params(), option.WithMaxRetries(0))
	var problem *openai.Error
	if !errors.As(err, &problem) || problem.StatusCode != 429 || problem.Response.Header.Get("retry-after-ms") != "1" {
		t.Errorf("error %v", err)
	}
	s.Inject(azureopenai.Fault{Kind: azureopenai.FaultThrottle, Times: 1, RetryAfter: 1})
	if _, err := client.Chat.Completions.New(t.Context(), params()); err != nil {
		t.Errorf("after a retry: %v", err)
	}
}
