package openai

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParseChunk(t *testing.T) {
	usage := Usage{Prompt: 8, Completion: 4, Total: 12}
	const usageJSON = `{"prompt_tokens":8,"completion_tokens":4,"total_tokens":12}`
	for _, c := range []struct {
		name, event, data string
		want              Chunk
	}{
		{"content", "", contentChunk, Chunk{Kind: Content, Text: Text{5, 0}}},
		{"content named by its event", "message", contentChunk, Chunk{Kind: Content, Text: Text{5, 0}}},
		{"role only", "", `{"choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null}}]}`, Chunk{Kind: Content}},
		{"finish", "", `{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}`, Chunk{Kind: Content}},
		{"completions", "", `{"choices":[{"text":"aé","index":0}]}`, Chunk{Kind: Content, Text: Text{1, 1}}},
		{"tool call", "", `{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":"{}"}}]}}]}`, Chunk{Kind: Content, Text: Text{3, 0}}},
		{"reasoning", "", `{"choices":[{"delta":{"reasoning_content":"ab"}}]}`, Chunk{Kind: Content, Text: Text{2, 0}}},
		{"several choices", "", `{"choices":[{"delta":{"content":"a"}},{"delta":{"content":"b"}}]}`, Chunk{Kind: Content, Text: Text{2, 0}}},
		{"filter results later on", "", `{"choices":[{"index":0,"finish_reason":null,"content_filter_offsets":{"start_offset":1},"content_filter_results":{}}]}`, Chunk{Kind: Content}},
		{"content with usage", "", `{"choices":[{"delta":{"content":"a"}}],"usage":` + usageJSON + `}`, Chunk{Kind: Content, Text: Text{1, 0}, HasUsage: true, Usage: usage}},
		{"usage inside the content", "", `{"choices":[{"delta":{"content":"a","usage":` + usageJSON + `}}]}`, Chunk{Kind: Content, Text: Text{1, 0}}},
		{"usage", "", `{"id":"","choices":[],"usage":` + usageJSON + `}`, Chunk{Kind: UsageOnly, HasUsage: true, Usage: usage}},
		{"usage without choices", "", `{"usage":` + usageJSON + `}`, Chunk{Kind: UsageOnly, HasUsage: true, Usage: usage}},
		{"usage that states nothing", "", `{"choices":[],"usage":{}}`, Chunk{Kind: Preamble}},
		{"preamble", "", `{"choices":[],"created":0,"id":"","model":"","object":"","prompt_filter_results":[{"prompt_index":0,"content_filter_results":{}}]}`, Chunk{Kind: Preamble}},
		{"preamble with null usage", "", ` {"choices" : [ ] , "usage" : null} `, Chunk{Kind: Preamble}},
		{"null error", "", `{"choices":[],"error":null}`, Chunk{Kind: Preamble}},
		{"done", "", "[DONE]", Chunk{Kind: Done}},
		{"done with space", "", " [DONE] ", Chunk{Kind: Done}},
		{"nothing", "", "", Chunk{Kind: Empty}},
		{"white space", "", " \n", Chunk{Kind: Empty}},
		{"array", "", "[]", Chunk{}}, {"text", "", "Bad gateway", Chunk{}}, {"cut", "", contentChunk[:100], Chunk{}},
		{"two", "", "{}{}", Chunk{}}, {"not UTF-8", "", "{\"choices\":[{\"text\":\"\xff\"}]}", Chunk{}}, {"deep", "", `{"a":` + strings.Repeat("[", 5000), Chunk{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ParseChunk(ChatCompletions, Event{Name: []byte(c.event), Data: []byte(c.data)})
			got.NullUsage, got.Delta = c.want.NullUsage, c.want.Delta // have tests of their own
			if got != c.want {
				t.Errorf("%s\n got %+v\nwant %+v", c.data, got, c.want)
			}
		})
	}
}

func TestParseChunkFailures(t *testing.T) {
	for _, c := range []struct {
		event, data string
		want        Error
	}{
		{"", `{"error":{"message":"The server had an error","type":"server_error","param":null,"code":null}}`, Error{Status: 500, Message: "The server had an error", Type: "server_error"}},
		{"", `{"error":{"code":"429","message":"slow down"}}`, Error{Status: 429, Message: "slow down", Code: "429"}},
		{"", `{"choices":[{"delta":{"content":"a"}}],"error":{"code":502,"message":"x"}}`, Error{Status: 502, Message: "x", Code: "502"}},
		{"", `{"error":"broken"}`, Error{Message: "broken"}},
		{"error", `{"type":"error","code":"rate_limit_exceeded","message":"m","param":null}`, Error{Status: 429, Message: "m", Type: "error", Code: "rate_limit_exceeded"}},
		{"error", `not json`, Error{Message: "The backend reported an error."}},
		{"error", ``, Error{Message: "The backend reported an error."}},
	} {
		got := ParseChunk(ChatCompletions, Event{Name: []byte(c.event), Data: []byte(c.data)})
		if got.Kind != Failure || got.Err == nil || *got.Err != c.want {
			t.Errorf("%s %s:\n got %+v %+v\nwant %+v", c.event, c.data, got, got.Err, c.want)
		}
	}
}

func TestAppendDelta(t *testing.T) {
	for _, c := range []struct{ data, want string }{
		{contentChunk, " word"},
		{`{"choices":[{"delta":{"role":"assistant","content":"a\n\u00e9","refusal":"b"}}]}`, "a\néb"},
		{`{"choices":[{"delta":{"reasoning_content":"a"}},{"delta":{"content":[{"type":"text","text":"b"}]}}]}`, "ab"},
		{`{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"i","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]}}]}`, `f{"a":1}`},
		{`{"choices":[{"delta":{"function_call":{"name":"f","arguments":"x"}}}]}`, "fx"},
		{`{"choices":[{"text":"t","logprobs":{"text":"no","tokens":["no"]}}]}`, "t"},
		{`{"choices":[{"message":{"role":"assistant","content":"m","annotations":[{"url":"no"}]}}]}`, "m"},
		{`{"choices":[],"usage":null,"delta":{"content":"no"}}`, ""},
		{deltaEvent, " word"},
		{`{"delta":"a\n\u00e9","type":"response.function_call_arguments.delta"}`, "a\né"},
		{`{"type":"transcript.text.delta","delta":"a","logprobs":[{"token":"no"}]}`, "a"},
		{`{"type":"response.audio.delta","delta":"AAAA"}`, ""},
		{`{"type":"speech.audio.delta","audio":"AAAA"}`, ""},
		{`{"type":"response.output_text.done","text":"no","delta":"no"}`, ""},
		{`{"type":"response.output_text.delta","delta":{"text":"no"}}`, ""},
		{completedEvent, ""},
		{`[DONE]`, ""}, {``, ""},
	} {
		if got := string(AppendDelta([]byte("> "), []byte(c.data), 100)); got != "> "+c.want {
			t.Errorf("%s: %q, want %q", c.data, got, "> "+c.want)
		}
		for max := range 10 {
			got := string(AppendDelta(nil, []byte(c.data), max))
			if len(got) > max || !utf8.ValidString(got) {
				t.Errorf("%s: %q is more than %d bytes", c.data, got, max)
			}
		}
	}
	if got := string(AppendDelta([]byte("full"), []byte(contentChunk), 2)); got != "full" {
		t.Errorf("%q after it was full, want %q", got, "full")
	}
}

// A chunk knows where its text stands, if that is one place, and appends it as AppendDelta does from anywhere.
func TestAppendText(t *testing.T) {
	for _, test := range []struct {
		op          Operation
		data, place string // as the data has it
	}{
		{ChatCompletions, contentChunk, " word"},
		{ChatCompletions, ` {"choices":[{"delta":{"role":"assistant","content":"\"a\u00e9\"","refusal":null}}]} `, `\"a\u00e9\"`},
		{ChatCompletions, `{"choices":[{"delta":{"content":"","reasoning":"漢字"}}]}`, "漢字"},
		{ChatCompletions, `{"choices":[{"delta":{"content":"a"}},{"delta":{"content":"b"}}]}`, ""},
		{ChatCompletions, `{"choices":[{"delta":{"tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}}]}`, ""},
		{ChatCompletions, `{"choices":[{"delta":{"role":"assistant","content":""}}]}`, ""},
		{Completions, `{"choices":[{"text":"a","index":0}]}`, "a"},
		{Responses, deltaEvent, " word"},
		{Responses, ` {"delta":"a","type":"response.output_text.delta","delta":"b\n"}`, `b\n`},
		{Responses, `{"type":"response.audio.delta","delta":"AAAA"}`, ""},
	} {
		data := []byte(test.data)
		c := ParseChunk(test.op, Event{Data: data})
		if got := test.data[c.Delta[0]:c.Delta[1]]; got != test.place {
			t.Errorf("%s: text %q, want %q", data, got, test.place)
		}
		for most := range 12 {
			if got, want := c.AppendText([]byte("> "), data, most), AppendDelta([]byte("> "), data, most); string(got) != string(want) {
				t.Errorf("%s: appended up to %d: %q, want %q", data, most, got, want)
			}
		}
	}
}

func TestParseChunkDoesNotAllocate(t *testing.T) {
	for _, c := range []struct {
		op   Operation
		data string
	}{
		{ChatCompletions, contentChunk},
		{ChatCompletions, `{"choices":[],"usage":{"prompt_tokens":8,"completion_tokens":4,"total_tokens":12}}`},
		{ChatCompletions, `[DONE]`},
		{Responses, deltaEvent},
		{Responses, `{"type":"response.output_item.done","item":{"id":"msg_1","status":"completed"}}`},
		{ImageGenerations, `{"type":"image_generation.completed","b64_json":"AAAA","usage":{"input_tokens":1,"output_tokens":2,"total_tokens":3}}`},
		{Transcriptions, `{"type":"transcript.text.delta","delta":"a"}`},
	} {
		ev := Event{Data: []byte(c.data)}
		if n := testing.AllocsPerRun(100, func() { ParseChunk(c.op, ev) }); n != 0 {
			t.Errorf("%.40s: %v allocations, want 0", c.data, n)
		}
	}
}

func TestChunkKindNames(t *testing.T) {
	seen := map[string]bool{}
	for k := Malformed; k <= Done; k++ {
		if name := k.String(); name == "" || seen[name] {
			t.Errorf("kind %d is named %q", k, name)
		}
		seen[k.String()] = true
	}
	if name := (Done + 1).String(); name != "" {
		t.Errorf("an unknown kind is named %q, want %q", name, "")
	}
}

// Where a chunk says that it has no usage, so that this can be taken out for those who
// have not asked for usage.
func TestNullUsage(t *testing.T) {
	for _, test := range []struct{ data, rest string }{
		{`{"choices":[{"delta":{"content":"a,\"usage\":null"}}],"usage":null}`, `{"choices":[{"delta":{"content":"a,\"usage\":null"}}]}`},
		{" {\"choices\":[] ,\n \"usage\" : null , \"obfuscation\":\"x\"}", " {\"choices\":[] , \"obfuscation\":\"x\"}"},
		{`{"usage":null,"choices":[]}`, ""}, // the first member: as it came
		{`{"choices":[{"usage":null}]}`, ""},
		{`{"choices":[],"usage":{"prompt_tokens":1}}`, ""},
	} {
		c := ParseChunk(ChatCompletions, Event{Data: []byte(test.data)})
		rest := ""
		if c.NullUsage[1] > 0 {
			rest = test.data[:c.NullUsage[0]] + test.data[c.NullUsage[1]:]
		}
		if rest != test.rest {
			t.Errorf("%s without its null usage is %q, want %q", test.data, rest, test.rest)
		}
	}
}

func FuzzParseChunk(f *testing.F) {
	f.Add(byte(Responses), []byte("response.output_text.delta"), []byte(deltaEvent))
	f.Add(byte(GetResponse), []byte(""), []byte(completedEvent))
	f.Add(byte(Responses), []byte("response.failed"), []byte(`{"type":"response.failed","response":{"id":"resp_1","status":"failed","error":{"code":"server_error","message":"m"},"usage":null}}`))
	f.Add(byte(Responses), []byte(""), []byte(`{"delta":"a","type":"response.audio.delta","response":{"id":"../x","status":7,"error":"x"},"error":{"message":"m"}}`))
	f.Add(byte(Speech), []byte("speech.audio.done"), []byte(`{"usage":{"input_tokens":1}}`))
	f.Fuzz(func(t *testing.T, kind byte, name, data []byte) {
		op := Operation(int(kind) % len(operations))
		c := ParseChunk(op, Event{Name: name, Data: data})
		if (c.Kind == Failure) != (c.Err != nil) || c.Kind == UsageOnly && !c.HasUsage || c.Last && c.Kind != Content && c.Kind != Failure {
			t.Fatalf("%q: %+v", data, c)
		}
		if c.ID != "" && !validID(c.ID) || c.Status != "" && !validID(c.Status) || !typed.has(op) && (c.Last || c.ID != "" || c.Status != "") {
			t.Fatalf("%s %q: %+v", op, data, c)
		}
		sound := acceptable(data) && strings.HasPrefix(strings.TrimLeft(string(data), " \t\r\n"), "{")
		if parsed := c.Kind == Content || c.Kind == UsageOnly || c.Kind == Preamble; parsed && !sound || sound && c.Kind == Malformed {
			t.Fatalf("%q: %s, though it is sound: %v", data, c.Kind, sound)
		}
		if c.Kind == Failure && c.Err.Status != 0 && http.StatusText(c.Err.Status) == "" && (c.Err.Status < 400 || c.Err.Status > 599) {
			t.Fatalf("%q: status %d", data, c.Err.Status)
		}
		if c.NullUsage[1] > 0 {
			rest := slices.Concat(data[:c.NullUsage[0]], data[c.NullUsage[1]:])
			if left, before := len(members(rest)), len(members(data)); left != before-1 || !acceptable(rest) {
				t.Fatalf("%q without its null usage is %q", data, rest)
			}
		}
		if text := AppendDelta(nil, data, 1<<20); c.Kind == Content && !ambiguous(op, data) && int64(utf8.RuneCount(text)) != c.Text.Characters() {
			t.Fatalf("%q: counted %+v in %q", data, c.Text, text)
		} else if got := c.AppendText(nil, data, 1<<20); c.Kind == Content && !ambiguous(op, data) && string(got) != string(text) {
			t.Fatalf("%q: appended %q, want %q", data, got, text)
		}
	})
}

// ambiguous tells whether a sound event of the one form has the members of the other, so that only its stream says which
// it is.
func ambiguous(op Operation, data []byte) bool {
	return typed.has(op) && slices.ContainsFunc(members(data), func(m member) bool { return m.name == "choices" })
}
