package azureopenai_test

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"spillway/tests/fakes/azureopenai"
)

// exactly makes answers of n tokens.
func exactly(n int64) azureopenai.Deployment {
	return azureopenai.Deployment{Model: "gpt-4o-2024-08-06", Output: &azureopenai.Output{Exact: n}}
}

func TestCountTokens(t *testing.T) {
	for text, want := range map[string]int64{
		"": 0, "Hello!": 2, "a b": 2, " a": 1, "  a": 2, "abcdef": 1, "abcdefg": 2, "日本": 2, "a\nb": 3, "\xff\xfe": 2, " ": 1,
	} {
		if got := azureopenai.CountTokens(text); got != want {
			t.Errorf("CountTokens(%q) = %d, want %d", text, got, want)
		}
	}
}

// TestChatCompletion: the usage is what is really in the answer.
func TestChatCompletion(t *testing.T) {
	tests := []struct {
		name, path, body string
		finish           string
		choices          int
		completion       float64
	}{
		{"plain", chatPath, hello, "stop", 1, 20},
		{"cut by the maximum", chatPath, `{"messages":[{"role":"user","content":"Hello!"}],"max_tokens":5}`, "length", 1, 5},
		{"maximum not reached", chatPath, `{"messages":[{"role":"user","content":"Hello!"}],"max_completion_tokens":50}`, "stop", 1, 20},
		{"three choices", chatPath, `{"messages":[{"role":"user","content":"Hello!"}],"max_tokens":4,"n":3}`, "length", 3, 12},
		{"Azure v1", "/openai/v1/chat/completions", `{"model":"gpt-4o","messages":[{"role":"user","content":"Hello!"}]}`, "stop", 1, 20},
		{"OpenAI", "/v1/chat/completions", `{"model":"gpt-4o","messages":[{"role":"user","content":"Hello!"}]}`, "stop", 1, 20},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := one(exactly(20))
			answer := object(t, read(t, send(t, s, test.path, test.body)))
			if answer["object"] != "chat.completion" || answer["model"] != "gpt-4o-2024-08-06" || !strings.HasPrefix(answer["id"].(string), "chatcmpl-") {
				t.Errorf("answer %v", answer)
			}
			choices, _ := answer["choices"].([]any)
			if len(choices) != test.choices {
				t.Fatalf("%d choices, want %d", len(choices), test.choices)
			}
			var tokens int64
			for i, c := range choices {
				text, _ := at(c, "message", "content").(string)
				tokens += azureopenai.CountTokens(text)
				if at(c, "finish_reason") != test.finish || at(c, "index") != float64(i) || at(c, "message", "role") != "assistant" {
					t.Errorf("choice %v", c)
				}
			}
			usage := answer["usage"]
			if at(usage, "completion_tokens") != test.completion || float64(tokens) != test.completion ||
				at(usage, "prompt_tokens") != 8.0 || at(usage, "total_tokens") != 8+test.completion ||
				at(usage, "prompt_tokens_details", "cached_tokens") != 0.0 || at(usage, "completion_tokens_details", "reasoning_tokens") != 0.0 {
				t.Errorf("usage %v for %d tokens", usage, tokens)
			}
			filtered := at(answer, "prompt_filter_results", 0, "content_filter_results", "hate", "severity") == "safe" &&
				at(answer, "choices", 0, "content_filter_results", "violence", "filtered") == false
			if azure := !strings.HasPrefix(test.path, "/v1"); filtered != azure {
				t.Errorf("filter results: %v, want %v", filtered, azure)
			}
			stats := s.Stats()["gpt-4o"]
			if stats.PromptTokens != 8 || float64(stats.CompletionTokens) != test.completion || stats.InFlight != 0 {
				t.Errorf("stats %+v", stats)
			}
			check(t, s, 0)
		})
	}
}

func TestCompletion(t *testing.T) {
	s := one(exactly(30))
	answer := object(t, read(t, send(t, s, textPath, `{"prompt":"Once upon","n":2,"best_of":3,"echo":true}`)))
	text, _ := at(answer, "choices", 1, "text").(string)
	if answer["object"] != "text_completion" || !strings.HasPrefix(text, "Once upon") || at(answer, "choices", 0, "finish_reason") != "length" {
		t.Errorf("answer %v", answer)
	}
	// 16 tokens where no maximum is given; three candidates were generated.
	if at(answer, "usage", "prompt_tokens") != 2.0 || at(answer, "usage", "completion_tokens") != 48.0 {
		t.Errorf("usage %v", answer["usage"])
	}
}

func TestReasoning(t *testing.T) {
	s := azureopenai.New(azureopenai.Options{Deployments: []azureopenai.Deployment{{Name: "o3", Output: &azureopenai.Output{Exact: 10, Reasoning: 64}}}})
	const path = "/openai/v1/chat/completions"
	answer := object(t, read(t, send(t, s, path, `{"model":"o3","messages":[{"role":"user","content":"Hello!"}]}`)))
	if at(answer, "usage", "completion_tokens") != 74.0 || at(answer, "usage", "completion_tokens_details", "reasoning_tokens") != 64.0 {
		t.Errorf("usage %v", answer["usage"])
	}
	// A maximum that the reasoning uses up leaves nothing to say.
	answer = object(t, read(t, send(t, s, path, `{"model":"o3","messages":[{"role":"user","content":"Hello!"}],"max_completion_tokens":50}`)))
	if at(answer, "usage", "completion_tokens") != 50.0 || at(answer, "choices", 0, "message", "content") != "" || at(answer, "choices", 0, "finish_reason") != "length" {
		t.Errorf("answer %v", answer)
	}
}

func TestPromptCache(t *testing.T) {
	s := one(exactly(1))
	body := func(tail string) string {
		return fmt.Sprintf(`{"messages":[{"role":"system","content":%q},{"role":"user","content":%q}]}`, strings.Repeat("water ", 1500), tail)
	}
	for i, test := range []struct {
		tail string
		want float64
	}{{"one", 0}, {"one", 1408}, {"two", 1024}, {"two", 1408}} {
		answer := object(t, read(t, send(t, s, chatPath, body(test.tail))))
		if got := at(answer, "usage", "prompt_tokens_details", "cached_tokens"); got != test.want {
			t.Errorf("request %d: %v cached of %v, want %v", i, got, at(answer, "usage", "prompt_tokens"), test.want)
		}
	}
	if got := s.Stats()["gpt-4o"].CachedTokens; got != 1408+1024+1408 {
		t.Errorf("cached in all: %d, want %d", got, 1408+1024+1408)
	}
}

const tools = `"tools":[{"type":"function","function":{"name":"weather","parameters":{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer"},"unit":{"enum":["c","f"]}}}}},{"type":"function","function":{"name":"tides"}}]`

func TestToolCalls(t *testing.T) {
	const user = `{"role":"user","content":"Hello!"}`
	tests := []struct {
		name, body, function string
	}{
		{"the first function", `{"messages":[` + user + `],` + tools + `}`, "weather"},
		{"the one chosen", `{"messages":[` + user + `],` + tools + `,"tool_choice":{"type":"function","function":{"name":"tides"}}}`, "tides"},
		{"none", `{"messages":[` + user + `],` + tools + `,"tool_choice":"none"}`, ""},
		{"a result was given", `{"messages":[` + user + `,{"role":"assistant","content":null,"tool_calls":[]},{"role":"tool","tool_call_id":"x","content":"rain"}],` + tools + `}`, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			answer := object(t, read(t, send(t, one(exactly(9)), chatPath, test.body)))
			call := at(answer, "choices", 0, "message", "tool_calls", 0)
			if test.function == "" {
				if call != nil || at(answer, "choices", 0, "finish_reason") != "stop" {
					t.Errorf("answer %v", answer)
				}
				return
			}
			arguments := object(t, at(call, "function", "arguments").(string))
			if at(call, "function", "name") != test.function || at(call, "type") != "function" || at(answer, "choices", 0, "finish_reason") != "tool_calls" ||
				at(answer, "choices", 0, "message", "content") != nil {
				t.Errorf("answer %v", answer)
			}
			if _, isText := arguments["city"].(string); test.function == "weather" && (!isText || arguments["days"] != 7.0 || arguments["unit"] != "c") {
				t.Errorf("arguments %v do not fit the schema", arguments)
			}
		})
	}
	legacy := `{"messages":[` + user + `],"functions":[{"name":"weather"}]}`
	answer := object(t, read(t, send(t, one(exactly(9)), chatPath, legacy)))
	if at(answer, "choices", 0, "message", "function_call", "name") != "weather" || at(answer, "choices", 0, "finish_reason") != "function_call" {
		t.Errorf("answer %v", answer)
	}
}

func TestJSONAnswers(t *testing.T) {
	schema := `{"type":"object","properties":{"steps":{"type":"array","items":{"$ref":"#/$defs/step"}},"done":{"type":"boolean"},"note":{"anyOf":[{"type":"null"},{"type":"string"}]}},"$defs":{"step":{"type":"object","properties":{"say":{"type":"string"},"n":{"type":["number","null"]}}}}}`
	for format, want := range map[string]map[string]any{
		`{"type":"json_object"}`: {"answer": "*"},
		`{"type":"json_schema","json_schema":{"name":"x","schema":` + schema + `}}`: {
			"steps": []any{map[string]any{"say": "*", "n": 1.5}}, "done": true, "note": nil},
	} {
		answer := object(t, read(t, send(t, one(exactly(20)), chatPath, `{"messages":[{"role":"user","content":"Hello!"}],"response_format":`+format+`}`)))
		text, _ := at(answer, "choices", 0, "message", "content").(string)
		got := object(t, text)
		if s, ok := got["answer"].(string); ok && s != "" {
			got["answer"] = "*"
		}
		if step, ok := at(got, "steps", 0).(map[string]any); ok {
			step["say"] = "*"
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", format, got, want)
		}
	}
	wide := `{"type":"object","properties":{"` + strings.Join(strings.Split("abcdefghij", ""), `":{"$ref":"#"},"`) + `":{"$ref":"#"}}}`
	for _, endless := range []string{`{"$ref":"#"}`, `{"anyOf":[{"$ref":"#"}]}`, `{"type":"array","items":{"$ref":"#"}}`, wide} {
		body := `{"messages":[{"role":"user","content":"Hello!"}],"response_format":{"type":"json_schema","json_schema":{"schema":` + endless + `}}}`
		if answer := object(t, read(t, send(t, one(exactly(20)), chatPath, body))); answer["object"] != "chat.completion" {
			t.Errorf("a schema that refers to itself: %v", answer)
		}
	}
}

func TestEmbeddings(t *testing.T) {
	s := one(azureopenai.Deployment{})
	answer := object(t, read(t, send(t, s, embedPath, `{"input":["Hello!","Hello!","Bye"],"dimensions":8}`)))
	if answer["object"] != "list" || at(answer, "usage", "prompt_tokens") != 5.0 || at(answer, "usage", "completion_tokens") != nil || at(answer, "usage", "total_tokens") != 5.0 {
		t.Errorf("answer %v", answer)
	}
	first, _ := at(answer, "data", 0, "embedding").([]any)
	var sum float64
	for _, x := range first {
		sum += x.(float64) * x.(float64)
	}
	if len(first) != 8 || math.Abs(sum-1) > 1e-5 {
		t.Errorf("%d dimensions, length² %v", len(first), sum)
	}
	if !reflect.DeepEqual(first, at(answer, "data", 1, "embedding")) || reflect.DeepEqual(first, at(answer, "data", 2, "embedding")) {
		t.Error("equal inputs have equal vectors, others do not")
	}
	coded := object(t, read(t, send(t, s, embedPath, `{"input":"Hello!","dimensions":8,"encoding_format":"base64"}`)))
	raw, err := base64.StdEncoding.DecodeString(at(coded, "data", 0, "embedding").(string))
	if err != nil || len(raw) != 32 {
		t.Fatalf("base64 of %d bytes, want 32: %v", len(raw), err)
	}
	for i, x := range first {
		if got := math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:])); math.Abs(float64(got)-x.(float64)) > 1e-6 {
			t.Errorf("dimension %d: %v, as floats %v", i, got, x)
		}
	}
	plain := object(t, read(t, send(t, s, embedPath, `{"input":[1,2,3]}`)))
	if v, _ := at(plain, "data", 0, "embedding").([]any); len(v) != 1536 || at(plain, "usage", "prompt_tokens") != 3.0 {
		t.Errorf("%d dimensions, usage %v", len(v), plain["usage"])
	}
}

// TestLengths: the model of lengths is what Output says.
func TestLengths(t *testing.T) {
	const n = 400
	lengths := func(o azureopenai.Output, body string) (least, most int64, all []int64) {
		s := one(azureopenai.Deployment{Output: &o}, func(o *azureopenai.Options) { o.Seed = 7; o.RecordRequests = -1 })
		least = math.MaxInt64
		for range n {
			answer := object(t, read(t, send(t, s, chatPath, body)))
			tokens := int64(at(answer, "usage", "completion_tokens").(float64))
			least, most, all = min(least, tokens), max(most, tokens), append(all, tokens)
		}
		return least, most, all
	}
	if least, most, _ := lengths(azureopenai.Output{Mean: 50}, hello); least != 50 || most != 50 {
		t.Errorf("without spread: %d … %d, want 50 … 50", least, most)
	}
	least, most, all := lengths(azureopenai.Output{Mean: 50, Spread: 0.5}, hello)
	below := 0
	for _, l := range all {
		if l < 50 {
			below++
		}
	}
	if least < 1 || least > 30 || most < 90 || below < n/3 || below > 2*n/3 {
		t.Errorf("spread: %d … %d, %d of %d below the median", least, most, below, n)
	}
	if _, _, again := lengths(azureopenai.Output{Mean: 50, Spread: 0.5}, hello); !reflect.DeepEqual(all, again) {
		t.Error("the same seed gave other lengths")
	}
	limited := `{"messages":[{"role":"user","content":"Hello!"}],"max_tokens":33}`
	if least, most, _ := lengths(azureopenai.Output{Fill: true}, limited); least != 33 || most != 33 {
		t.Errorf("fill: %d … %d, want 33 … 33", least, most)
	}
	seeded := `{"messages":[{"role":"user","content":"Hello!"}],"seed":5}`
	if least, most, _ := lengths(azureopenai.Output{Mean: 50, Spread: 0.5}, seeded); least != most {
		t.Errorf("a request with a seed gave %d … %d", least, most)
	}
}

// TestLatency: a plain answer takes the time of its tokens; choices run side by side.
func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := exactly(50)
		d.Latency = &azureopenai.Latency{FirstByte: 300 * time.Millisecond, PerToken: 20 * time.Millisecond}
		s := one(d)
		start := time.Now()
		send(t, s, chatPath, `{"messages":[{"role":"user","content":"Hello!"}],"n":2}`)
		if took := time.Since(start); took != 1300*time.Millisecond {
			t.Errorf("took %v, want 1.3s", took)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		d := exactly(50)
		d.Latency = &azureopenai.Latency{FirstByte: second, Jitter: 0.2}
		s := one(d)
		seen := map[time.Duration]bool{}
		for range 20 {
			start := time.Now()
			send(t, s, chatPath, hello)
			took := time.Since(start)
			seen[took] = true
			if took < 800*time.Millisecond || took > 1200*time.Millisecond {
				t.Errorf("took %v", took)
			}
		}
		if len(seen) < 10 {
			t.Errorf("only %d different times, want at least 10", len(seen))
		}
	})
}

// FuzzRequest: no body makes the service panic; what it accepts has a charge,
// and an answer whose usage adds up.
func FuzzRequest(f *testing.F) {
	for _, body := range []string{hello, `{"prompt":["a",""],"n":2}`, `{"input":[[1],[2,3]]}`, `{"messages":[{"role":"user","content":[{"type":"text","text":"\ud800"}]}],` + tools + `}`} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		s := azureopenai.New(azureopenai.Options{Output: azureopenai.Output{Exact: 3}, RecordRequests: -1,
			Deployments: []azureopenai.Deployment{{Name: "gpt-4o"}, {Name: "text-embedding-3-small"}}})
		for path, op := range map[string]azureopenai.Operation{chatPath: azureopenai.ChatCompletions, textPath: azureopenai.Completions, embedPath: azureopenai.Embeddings} {
			charge, err := azureopenai.Charge(op, []byte(body))
			resp := send(t, s, path, body)
			text := read(t, resp)
			if (resp.StatusCode == 200) != (err == nil) {
				t.Fatalf("%s: status %d, but Charge says %v", op, resp.StatusCode, err)
			}
			if resp.StatusCode != 200 {
				if resp.StatusCode != 400 || at(object(t, text), "error", "message") == nil {
					t.Fatalf("%s: status %d: %s", op, resp.StatusCode, text)
				}
				continue
			}
			if charge < 1 {
				t.Fatalf("%s: charge %d, want at least 1", op, charge)
			}
			if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
				if !strings.HasSuffix(text, "data: [DONE]\n\n") {
					t.Fatalf("%s: stream ends with %q", op, text)
				}
				continue
			}
			var answer struct {
				Usage struct {
					Prompt     int64 `json:"prompt_tokens"`
					Completion int64 `json:"completion_tokens"`
					Total      int64 `json:"total_tokens"`
				} `json:"usage"`
			}
			if err := json.Unmarshal([]byte(text), &answer); err != nil || answer.Usage.Prompt+answer.Usage.Completion != answer.Usage.Total {
				t.Fatalf("%s: %v: %s", op, err, text)
			}
		}
	})
}
