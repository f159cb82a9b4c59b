package openai

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
)

// chatBody is a chat request of about size bytes whose prompt repeats text.
func chatBody(size int, text string) []byte {
	var b bytes.Buffer
	b.WriteString(`{"model":"gpt-4o","stream":true,"temperature":0.7,"max_tokens":256,"messages":[{"role":"system","content":"You are a helpful assistant."}`)
	for b.Len() < size-200 {
		n := max(1, min(4000, size-200-b.Len())/len(text))
		fmt.Fprintf(&b, `,{"role":"user","content":"%s"}`, strings.Repeat(text, n))
	}
	b.WriteString(`],"user":"u-1"}`)
	return b.Bytes()
}

// document is about size bytes of words in a random order, as they stand in a JSON string. The share of them that
// special says is one of specials. Nothing in it repeats: a processor learns what does, and then guesses better than it
// would in earnest.
func document(size int, special float64, specials string) string {
	random := rand.New(rand.NewPCG(1, 2))
	plain, others := strings.Fields("the gateway of a request from model to tokens which backend window have capacity in an answer"), strings.Fields(specials)
	var b strings.Builder
	for b.Len() < size {
		words := plain
		if random.Float64() < special {
			words = others
		}
		b.WriteString(words[random.IntN(len(words))])
		b.WriteByte(' ')
	}
	return b.String()
}

const (
	prose    = `The quick brown fox jumps over the lazy dog, and then it says: \"good night\".\n`
	japanese = `吾輩は猫である。名前はまだ無い。`
	escaped  = `\u543e\u8f29\u306f\u732b\u3067\u3042\u308b\ud83d\ude00` // as Python's json.dumps writes it
	question = `{"role":"user","content":"What is it?\nThis."},`
	picture  = "iVBORw0KGgoAAAANSUhEUgAA"
)

func BenchmarkParseRequest(b *testing.B) {
	const size = 1 << 20
	bodies := []struct {
		name string
		body []byte
	}{
		{"2KB", chatBody(2<<10, prose)},
		{"400KB", chatBody(400<<10, prose)},
		{"1MB plain", chatBody(size, document(size, 0, ""))},
		{"1MB prose", chatBody(size, document(size, 0.05, `line.\n\n \"so\" \"then,\"`))},
		{"1MB mixed", chatBody(size, document(size, 0.08, `line.\n\n \"so\" für naïve`))},
		{"1MB code", chatBody(size, document(size, 0.25, `)\n\t\tif {\n\t\t\t \"%d\\n\",`))},
		{"1MB JSON", chatBody(size, document(size, 0.9, `\"id\":\"x7\", },\n \"name\": \"any\" {\"text\":`))},
		{"1MB german", chatBody(size, document(size, 0.05, "für größere Überlegungen"))},
		{"1MB german escaped", chatBody(size, document(size, 0.05, `f\u00fcr gr\u00f6\u00dfere \u00dcberlegungen`))},
		{"1MB russian", chatBody(size, document(size, 0.95, "шлюз принимает запросы и считает слова"))},
		{"400KB japanese", chatBody(400<<10, japanese)},
		{"400KB escaped", chatBody(400<<10, escaped)},
		{"1MB short messages", []byte(`{"model":"gpt-4o","messages":[` + strings.Repeat(question, size/len(question)) + `{}]}`)},
		{"1MB picture", []byte(`{"model":"gpt-4o","messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,` +
			strings.Repeat(picture, size/len(picture)) + `"}}]}]}`)},
	}
	parse := func(b *testing.B) {
		for _, c := range bodies {
			b.Run(c.name, func(b *testing.B) {
				b.SetBytes(int64(len(c.body)))
				b.ReportAllocs()
				for b.Loop() {
					if _, err := ParseRequest(ChatCompletions, c.body); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
	if hasBlocks {
		b.Run("by blocks", parse)
		hasBlocks = false
		defer func() { hasBlocks = true }()
	}
	b.Run("by words", parse)
}

func BenchmarkPatch(b *testing.B) {
	r, err := ParseRequest(ChatCompletions, chatBody(400<<10, prose))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if r.Body(Patch{Model: "gpt-4o-ptu", IncludeUsage: true}).Length == 0 {
			b.Fatal("empty")
		}
	}
}

func BenchmarkNextEvent(b *testing.B) {
	stream := []byte(strings.Repeat("data: "+contentChunk+"\n\n", 100))
	b.SetBytes(int64(len(stream)))
	b.ReportAllocs()
	for b.Loop() {
		for rest := stream; len(rest) > 0; {
			_, n := NextEvent(rest)
			if n == 0 {
				b.Fatal("stuck")
			}
			rest = rest[n:]
		}
	}
}

func BenchmarkParseChunk(b *testing.B) {
	ev := Event{Data: []byte(contentChunk)}
	b.SetBytes(int64(len(ev.Data)))
	b.ReportAllocs()
	for b.Loop() {
		if ParseChunk(ChatCompletions, ev).Kind != Content {
			b.Fatal("not content")
		}
	}
}

func BenchmarkParseChunkTyped(b *testing.B) {
	for _, c := range []struct{ name, data string }{{"delta", deltaEvent}, {"completed", completedEvent}} {
		b.Run(c.name, func(b *testing.B) {
			ev := Event{Data: []byte(c.data)}
			b.SetBytes(int64(len(ev.Data)))
			b.ReportAllocs()
			for b.Loop() {
				if ParseChunk(Responses, ev).Kind != Content {
					b.Fatal("not content")
				}
			}
		})
	}
}

func BenchmarkParseRoute(b *testing.B) {
	for _, address := range []string{"/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21", "/v1/chat/completions", "/v1/batches/batch_1/cancel"} {
		b.Run(address, func(b *testing.B) {
			u, err := url.Parse(address)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseRoute("POST", u); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkURL(b *testing.B) {
	endpoint, err := url.Parse("https://contoso.openai.azure.com")
	if err != nil {
		b.Fatal(err)
	}
	for _, d := range []Dialect{Azure, AzureV1, OpenAI} {
		b.Run(d.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_ = URL(endpoint, d, Target{Operation: ChatCompletions, Deployment: "gpt-4o"}).RequestURI()
			}
		})
	}
}

func BenchmarkAppendDelta(b *testing.B) {
	data := []byte(contentChunk)
	var dst []byte
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if dst = AppendDelta(dst[:0], data, 1<<10); len(dst) == 0 {
			b.Fatal("nothing")
		}
	}
}

func BenchmarkAppendText(b *testing.B) {
	data := []byte(contentChunk)
	c := ParseChunk(ChatCompletions, Event{Data: data})
	var dst []byte
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if dst = c.AppendText(dst[:0], data, 1<<10); len(dst) == 0 {
			b.Fatal("nothing")
		}
	}
}

func BenchmarkAnswerScanner(b *testing.B) {
	for _, c := range []struct {
		name   string
		answer []byte
	}{{"chat", []byte(chatAnswer)}, {"embeddings", embeddingsAnswer()}} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.answer)))
			b.ReportAllocs()
			for b.Loop() {
				var s AnswerScanner
				for rest := c.answer; len(rest) > 0; {
					n := min(len(rest), 32<<10)
					_, _ = s.Write(rest[:n])
					rest = rest[n:]
				}
				if _, ok := s.Usage(); !ok {
					b.Fatal("not found")
				}
			}
		})
	}
}

// embeddingsAnswer is the answer to an embeddings request with 16 inputs, about 300 KB.
func embeddingsAnswer() []byte {
	var b bytes.Buffer
	b.WriteString(`{"object":"list","data":[`)
	for i := range 16 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"object":"embedding","index":%d,"embedding":[%s0]}`, i, strings.Repeat("-0.006929283495992422,", 1535))
	}
	b.WriteString(`],"model":"text-embedding-3-small","usage":{"prompt_tokens":80,"total_tokens":80}}`)
	return b.Bytes()
}

// chatAnswer is the answer to a chat request as Azure writes it.
const chatAnswer = `{"choices":[{"content_filter_results":{"hate":{"filtered":false,"severity":"safe"},"self_harm":{"filtered":false,"severity":"safe"}},"finish_reason":"stop","index":0,"logprobs":null,"message":{"annotations":[],"content":"A gateway stands between the clients and the backends, and passes each request on to one that has \"room\".\n\nAsk again for more.","refusal":null,"role":"assistant"}}],"created":1718345600,"id":"chatcmpl-9abcdefghijklmnopqrstuvwxyz12","model":"gpt-4o-2024-08-06","object":"chat.completion","system_fingerprint":"fp_abc1234567","usage":{"completion_tokens":9,"completion_tokens_details":{"reasoning_tokens":0},"prompt_tokens":19,"prompt_tokens_details":{"cached_tokens":0},"total_tokens":28}}`

// contentChunk is a content chunk as Azure writes it.
const contentChunk = `{"id":"chatcmpl-9abcdefghijklmnopqrstuvwxyz12","object":"chat.completion.chunk","created":1718345600,"model":"gpt-4o-2024-08-06","system_fingerprint":"fp_abc1234567","choices":[{"index":0,"delta":{"content":" word"},"logprobs":null,"finish_reason":null,"content_filter_results":{"hate":{"filtered":false,"severity":"safe"},"self_harm":{"filtered":false,"severity":"safe"}}}],"usage":null}`

const (
	// deltaEvent is an event with text as the Responses API writes it.
	deltaEvent = `{"type":"response.output_text.delta","sequence_number":7,"item_id":"msg_68af4a4b7c8c8190a4d1f6ee3f2b","output_index":0,"content_index":0,"delta":" word","logprobs":[],"obfuscation":"Xk2pA9"}`
	// completedEvent is the last event of a response.
	completedEvent = `{"type":"response.completed","sequence_number":9,"response":{"id":"resp_68af4a4b7c8c8190a4d1f6ee3f2b","object":"response","created_at":1756320331,"status":"completed","background":false,"error":null,"incomplete_details":null,"model":"gpt-4o","output":[{"id":"msg_68af4a4b7c8c8190a4d1f6ee3f2b","type":"message","status":"completed","content":[{"type":"output_text","annotations":[],"text":"One word"}],"role":"assistant"}],"store":true,"usage":{"input_tokens":36,"input_tokens_details":{"cached_tokens":3},"output_tokens":87,"output_tokens_details":{"reasoning_tokens":5},"total_tokens":123},"metadata":{}}}`
)
