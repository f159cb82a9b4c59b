package e2e_test

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/ssestream"

	"spillway/tests/fakes/azureopenai"
)

// slowly is how fast the models slow-… generate.
var slowly = azureopenai.Latency{PerToken: 2 * time.Millisecond}

// The official client gets the same answers whichever of the three ways it asks
// in, and whichever of them the backend speaks.
func TestOfficialClient(t *testing.T) {
	s := startSite(t, "")
	s.eachPair(t, func(t *testing.T, from, to dialect) {
		client, b := from.client(t, s.process, callerKey), s.backends[to]
		t.Run("chat completion", func(t *testing.T) {
			got, err := client.Chat.Completions.New(t.Context(), chat(to))
			if err != nil {
				t.Fatal(err)
			}
			_, sent := b.last(t)
			if len(got.Choices) != 1 || got.Choices[0].Message.Content != sent.text(t) || got.Usage.CompletionTokens != 40 {
				t.Errorf("answer %s, the backend wrote %s", got.RawJSON(), sent.bytes())
			}
		})
		t.Run("completion", func(t *testing.T) {
			got, err := client.Completions.New(t.Context(), completion(to))
			if err != nil {
				t.Fatal(err)
			}
			_, sent := b.last(t)
			if len(got.Choices) != 1 || got.Choices[0].Text != sent.text(t) || got.Usage.CompletionTokens != 16 {
				t.Errorf("answer %s, the backend wrote %s", got.RawJSON(), sent.bytes())
			}
		})
		for _, asked := range []bool{false, true} {
			name := map[bool]string{false: "no usage asked", true: "usage asked"}[asked]
			t.Run("stream, "+name, func(t *testing.T) {
				params := chat(to)
				if asked {
					params.StreamOptions.IncludeUsage = openai.Bool(true)
				}
				text, usage := readChat(t, client.Chat.Completions.NewStreaming(t.Context(), params))
				checkStream(t, s, b, text, usage, 40, asked)
			})
			t.Run("stream of a completion, "+name, func(t *testing.T) {
				params := completion(to)
				if asked {
					params.StreamOptions.IncludeUsage = openai.Bool(true)
				}
				text, usage := readCompletion(t, client.Completions.NewStreaming(t.Context(), params))
				checkStream(t, s, b, text, usage, 16, asked)
			})
		}
		t.Run("embeddings", func(t *testing.T) { embeddings(t, client, b, to) })
	})
}

func chat(to dialect) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model:    "chat-" + string(to),
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("How does a weir keep its level?")},
	}
}

func completion(to dialect) openai.CompletionNewParams {
	return openai.CompletionNewParams{
		Model:  openai.CompletionNewParamsModel("chat-" + string(to)),
		Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String("A weir keeps")},
	}
}

// readChat reads a stream to its end, and returns its text and how many tokens
// of output each of its usages states.
func readChat(t *testing.T, events *ssestream.Stream[openai.ChatCompletionChunk]) (text string, usages []int64) {
	t.Helper()
	defer events.Close()
	for events.Next() {
		chunk := events.Current()
		for _, c := range chunk.Choices {
			text += c.Delta.Content
		}
		if chunk.JSON.Usage.Valid() {
			usages = append(usages, chunk.Usage.CompletionTokens)
		}
	}
	if err := events.Err(); err != nil {
		t.Fatalf("after %q: %v", text, err)
	}
	return text, usages
}

// readCompletion is readChat for completions.
func readCompletion(t *testing.T, events *ssestream.Stream[openai.Completion]) (text string, usages []int64) {
	t.Helper()
	defer events.Close()
	for events.Next() {
		chunk := events.Current()
		for _, c := range chunk.Choices {
			text += c.Text
		}
		if chunk.JSON.Usage.Valid() {
			usages = append(usages, chunk.Usage.CompletionTokens)
		}
	}
	if err := events.Err(); err != nil {
		t.Fatalf("after %q: %v", text, err)
	}
	return text, usages
}

// checkStream asserts that the client has got the text that the backend has
// generated, its usage if and only if it asked for it, and that the gateway
// knows the usage in either case.
func checkStream(t *testing.T, s *site, b *backend, text string, usages []int64, tokens int64, asked bool) {
	t.Helper()
	_, sent := b.last(t)
	if text == "" || text != sent.text(t) {
		t.Errorf("the client reads %q, the backend generated %q", text, sent.text(t))
	}
	want := []int64(nil)
	if asked {
		want = []int64{tokens}
	}
	if !slices.Equal(usages, want) {
		t.Errorf("usage of %v tokens was sent, want %v", usages, want)
	}
	record := s.recordOf(t, sent)
	if !record.Measured || record.Output != tokens {
		t.Errorf("the gateway counts %d tokens of output (measured: %v), want %d", record.Output, record.Measured, tokens)
	}
}

// embeddings asks for embeddings in each of the forms that inputs and answers
// have.
func embeddings(t *testing.T, client openai.Client, b *backend, to dialect) {
	text := openai.EmbeddingNewParamsInputUnion{OfString: openai.String("water over a weir")}
	tests := []struct {
		name  string
		input openai.EmbeddingNewParamsInputUnion
		want  int
	}{
		{"a text", text, 1},
		{"texts", openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{"water", "weir", "gate"}}, 3},
		{"tokens", openai.EmbeddingNewParamsInputUnion{OfArrayOfTokens: []int64{5, 6, 7}}, 1},
		{"lists of tokens", openai.EmbeddingNewParamsInputUnion{OfArrayOfTokenArrays: [][]int64{{5, 6}, {7}}}, 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := client.Embeddings.New(t.Context(), openai.EmbeddingNewParams{Model: "embed-" + string(to), Input: test.input})
			if err != nil {
				t.Fatal(err)
			}
			if len(got.Data) != test.want {
				t.Fatalf("%d embeddings, want %d", len(got.Data), test.want)
			}
			for _, e := range got.Data {
				if len(e.Embedding) != 1536 {
					t.Errorf("embedding %d has %d dimensions, want 1536", e.Index, len(e.Embedding))
				}
			}
			_, sent := b.last(t)
			same(t, "the answer", []byte(got.RawJSON()), sent.bytes())
		})
	}
	t.Run("as base64", func(t *testing.T) {
		plain, err := client.Embeddings.New(t.Context(), openai.EmbeddingNewParams{Model: "embed-" + string(to), Input: text})
		if err != nil {
			t.Fatal(err)
		}
		packed := struct {
			Data []struct{ Embedding string }
		}{}
		err = client.Post(t.Context(), "embeddings", openai.EmbeddingNewParams{
			Model: "embed-" + string(to), Input: text, EncodingFormat: openai.EmbeddingNewParamsEncodingFormatBase64,
		}, &packed)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := base64.StdEncoding.DecodeString(packed.Data[0].Embedding)
		if err != nil || len(raw) != 4*len(plain.Data[0].Embedding) {
			t.Fatalf("%d bytes of base64, want %d: %v", len(raw), 4*len(plain.Data[0].Embedding), err)
		}
		for i, want := range plain.Data[0].Embedding {
			if got := math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:])); got != float32(want) {
				t.Fatalf("number %d is %v packed and %v plain", i, got, want)
			}
		}
	})
}

// A client that leaves in the middle of a stream ends the backend's work at
// once: every token generated after that is paid for and read by nobody.
func TestCanceledStreamReachesTheBackend(t *testing.T) {
	s := startSite(t, "")
	var took []time.Duration
	s.eachPair(t, func(t *testing.T, from, to dialect) {
		client, b := from.client(t, s.process, callerKey), s.backends[to]
		for range 5 {
			params := chat(to)
			params.Model = "slow-" + string(to)
			ctx, cancel := context.WithCancel(t.Context())
			events := client.Chat.Completions.NewStreaming(ctx, params)
			text := ""
			for len(text) < 20 && events.Next() {
				for _, c := range events.Current().Choices {
					text += c.Delta.Content
				}
			}
			if len(text) < 20 {
				t.Fatalf("the stream ends after %q: %v", text, events.Err())
			}
			request, sent := b.last(t)
			left := time.Now()
			cancel()
			took = append(took, b.awaitCanceled(t, request.Number).Sub(left))
			events.Close()
			record := s.recordOf(t, sent)
			if record.Status != 499 || record.Output <= 0 || record.Output > 1000 {
				t.Errorf("recorded with status %d and %d tokens of output, want 499 and the few that were delivered", record.Status, record.Output)
			}
		}
	})
	if len(took) > 0 {
		slices.Sort(took)
		t.Logf("from the client's leaving to the backend's noticing: p50 %s, max %s of %d streams", took[len(took)/2], took[len(took)-1], len(took))
	}
}

// A client that leaves while its backend says nothing is noticed too: there is
// no write that could fail.
func TestCanceledWhileTheBackendIsSilent(t *testing.T) {
	s := startSite(t, "")
	faults := map[string]azureopenai.Fault{
		"before its headers": {Kind: azureopenai.FaultHangBeforeHeaders},
		"in a stream":        {Kind: azureopenai.FaultHangAfterHeaders, Events: 3},
	}
	var took []time.Duration
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			s.eachPair(t, func(t *testing.T, from, to dialect) {
				b := s.backends[to]
				defer b.Clear()
				b.Inject(fault)
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				client, done := from.client(t, s.process, callerKey), make(chan struct{})
				before := b.requests()
				go func() {
					defer close(done)
					events := client.Chat.Completions.NewStreaming(ctx, chat(to))
					for events.Next() {
					}
					events.Close()
				}()
				request := b.awaitAccepted(t, before)
				left := time.Now()
				leave()
				took = append(took, b.awaitCanceled(t, request).Sub(left))
				<-done
			})
		})
	}
	if len(took) > 0 {
		slices.Sort(took)
		t.Logf("from the client's leaving to the backend's noticing: p50 %s, max %s of %d requests", took[len(took)/2], took[len(took)-1], len(took))
	}
}
