package openai

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// parse reads a body that must be sound.
func parse(t *testing.T, op Operation, body string) *Request {
	t.Helper()
	r, err := ParseRequest(op, []byte(body))
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return r
}

func TestRequestFields(t *testing.T) {
	for _, c := range []struct {
		op   Operation
		body string
		want string // Model Stream IncludeUsage HasMaxTokens MaxTokens N Messages Inputs
	}{
		{ChatCompletions, `{}`, `"" false false false 0 1 0 0`},
		{ChatCompletions, `{"model":"gpt-4o","messages":[]}`, `"gpt-4o" false false false 0 1 0 0`},
		{ChatCompletions, ` { "messages" : [ {} , {} ] , "model" : "m" } `, `"m" false false false 0 1 2 0`},
		{ChatCompletions, `{"mod\u0065l":"gpt-4\u006f"}`, `"gpt-4o" false false false 0 1 0 0`},
		{ChatCompletions, `{"model":"größe/1"}`, `"größe/1" false false false 0 1 0 0`},
		{ChatCompletions, `{"model":null,"stream":null,"stream_options":null,"max_tokens":null,"n":null,"messages":null,"prompt":null,"input":null,"suffix":null}`, `"" false false false 0 1 0 0`},
		{ChatCompletions, `{"stream":true}`, `"" true false false 0 1 0 0`},
		{ChatCompletions, `{"stream":true,"stream_options":{"include_usage":true}}`, `"" true true false 0 1 0 0`},
		{ChatCompletions, `{"stream_options":{"x":[1],"include_usage":false},"stream":true}`, `"" true false false 0 1 0 0`},
		{ChatCompletions, `{"stream_options":{"include_usage":null},"stream":false}`, `"" false false false 0 1 0 0`},
		{ChatCompletions, `{"max_tokens":0}`, `"" false false true 0 1 0 0`},
		{ChatCompletions, `{"max_tokens":-0}`, `"" false false true 0 1 0 0`},
		{ChatCompletions, `{"max_tokens":100,"max_completion_tokens":50}`, `"" false false true 100 1 0 0`},
		{ChatCompletions, `{"max_completion_tokens":2147483648,"n":128}`, `"" false false true 2147483648 128 0 0`},
		{ChatCompletions, `{"max_tokens":100.0,"n":1e1}`, `"" false false true 100 10 0 0`},
		{Completions, `{"n":2,"best_of":5,"prompt":"a"}`, `"" false false false 0 5 0 1`},
		{Completions, `{"prompt":["a","b","c"]}`, `"" false false false 0 1 0 3`},
		{Completions, `{"prompt":[]}`, `"" false false false 0 1 0 0`},
		{Completions, `{"prompt":[1,2,3]}`, `"" false false false 0 1 0 1`},
		{Completions, `{"prompt":[[1,2],[3]]}`, `"" false false false 0 1 0 2`},
		{Embeddings, `{"input":"a","model":"e"}`, `"e" false false false 0 1 0 1`},
		{Embeddings, `{"input":["a",""]}`, `"" false false false 0 1 0 2`},
		{Embeddings, `{"input":"a","stream":"yes","max_tokens":-1,"n":0,"n":0,"stream_options":7}`, `"" false false false 0 1 0 1`},
		{Responses, `{"model":"m","input":"a","stream":true,"max_output_tokens":64}`, `"m" true false true 64 1 0 1`},
		{Responses, `{"input":[{},{}],"max_output_tokens":null,"max_tokens":-1,"n":0,"stream_options":7}`, `"" false false false 0 1 0 2`},
		{ImageGenerations, `{"model":"m","prompt":"a cat","n":4,"stream":true}`, `"m" true false false 0 4 0 1`},
		{ImageGenerations, `{"prompt":"a cat","background":"transparent","store":"x","max_output_tokens":"x"}`, `"" false false false 0 1 0 1`},
		{Speech, `{"model":"m","input":"a","voice":"alloy","stream":"x"}`, `"m" false false false 0 1 0 1`},
		{Speech, `{"input":"a","stream_format":"sse"}`, `"" true false false 0 1 0 1`},
		{Speech, `{"input":"a","stream_format":"\u0073\u0073e"}`, `"" true false false 0 1 0 1`},
		{Speech, `{"input":"a","stream_format":"audio"}`, `"" false false false 0 1 0 1`},
		{Speech, `{"input":"a","stream_format":"sse "}`, `"" false false false 0 1 0 1`},
		{Speech, `{"input":"a","stream_format":null}`, `"" false false false 0 1 0 1`},
		{Moderations, `{"model":"m","input":["a",{"type":"image_url"}],"stream":7}`, `"m" false false false 0 1 0 2`},
		{CreateBatch, `{"model":7,"input":{},"prompt":7,"messages":"x","stream":7}`, `"" false false false 0 1 0 0`},
	} {
		r := parse(t, c.op, c.body)
		got := fmt.Sprintf("%q %v %v %v %d %d %d %d", r.Model, r.Stream, r.IncludeUsage, r.HasMaxTokens, r.MaxTokens, r.N, r.Messages, r.Inputs)
		if got != c.want || r.Operation != c.op {
			t.Errorf("%s %s:\n got %s\nwant %s", c.op, c.body, got, c.want)
		}
	}
}

func TestPromptCounts(t *testing.T) {
	for _, c := range []struct {
		name, body                              string
		ascii, other, extra, tokens, imageCount int64
	}{
		{"content", `{"messages":[{"role":"user","content":"Hello"}]}`, 5, 0, 0, 0, 0},
		{"decoded characters", `{"messages":[{"content":"a\n\u0041\u00e9\ud83d\ude00é漢😀"}]}`, 3, 5, 0, 0, 0},
		{"half a surrogate pair", `{"messages":[{"content":"\ud83d"}]}`, 0, 1, 0, 0, 0},
		{"parts and an image", `{"messages":[{"role":"user","content":[{"type":"text","text":"abc"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA","detail":"low"}}]}]}`, 3, 0, 0, 0, 1},
		{"image of the Responses API", `{"input":[{"role":"user","content":[{"type":"input_text","text":"abc"},{"type":"input_image","image_url":"https://contoso.com/a.png"},{"type":"input_image","file_id":"f"}]}]}`, 3, 0, 0, 0, 2},
		{"audio and files", `{"messages":[{"content":[{"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}},{"type":"file","file":{"file_data":"AAAA","filename":"a.pdf"}}]}]}`, 0, 0, 0, 0, 0},
		{"names and ids", `{"messages":[{"role":"tool","name":"bob","tool_call_id":"call_1","content":"xy"}]}`, 2, 0, 0, 0, 0},
		{"tool calls", `{"messages":[{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"weather","arguments":"{\"a\":1}"}}]}]}`, 0, 0, 7 + 7, 0, 0},
		{"not an image", `{"messages":[{"tool_calls":[{"type":"image_url"}],"content":{"image_url":{"type":"image_url"}}}]}`, 0, 0, 0, 0, 0},
		{"old function call", `{"messages":[{"role":"assistant","function_call":{"name":"f","arguments":"{}"}}]}`, 0, 0, 3, 0, 0},
		{"refusal", `{"messages":[{"role":"assistant","refusal":"no"}]}`, 2, 0, 0, 0, 0},
		{"tools as written", `{"tools":[{"a": "é"}],"functions":[],"response_format":{"type":"text"},"tool_choice":"auto"}`, 0, 0, 12 + 2 + 15 + 6, 0, 0},
		{"old functions, prediction", `{"functions":[{}],"function_call":"auto","prediction":{"content":"é"}}`, 0, 0, 4 + 6 + 15, 0, 0},
		{"prompt and suffix", `{"prompt":"ab","suffix":"c"}`, 3, 0, 0, 0, 0},
		{"token array", `{"prompt":[1,2,3]}`, 0, 0, 0, 3, 0},
		{"token arrays", `{"input":[[1,2],[3]]}`, 0, 0, 0, 3, 0},
		{"numbers elsewhere", `{"messages":[{"content":"a","weight":1}],"seed":5,"input":[{"n":[1]}]}`, 1, 0, 0, 0, 0},
		{"instructions", `{"instructions":"abc","input":["de","f"]}`, 6, 0, 0, 0, 0},
		{"unread parameters", `{"user":"abc","metadata":{"content":"abc"}}`, 0, 0, 0, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := parse(t, ChatCompletions, c.body)
			if want := (Text{c.ascii, c.other}); r.Text != want || r.Extra != c.extra || r.PromptTokens != c.tokens || int64(r.Images) != c.imageCount {
				t.Errorf("%s\n got %+v extra %d tokens %d images %d\nwant %+v extra %d tokens %d images %d", c.body,
					r.Text, r.Extra, r.PromptTokens, r.Images, want, c.extra, c.tokens, c.imageCount)
			}
			checkCounts(t, r, []byte(c.body))
		})
	}
}

// checkCounts compares what a request counts, and the text it yields, with the oracle.
func checkCounts(t *testing.T, r *Request, body []byte) {
	t.Helper()
	want := tallyOf(r.Operation, body)
	if r.Text != want.text() || r.Extra != want.extra || r.PromptTokens != want.tokens || r.Images != want.images {
		t.Errorf("%q:\n got %+v, extra %d, tokens %d, images %d\nwant %+v, extra %d, tokens %d, images %d", body,
			r.Text, r.Extra, r.PromptTokens, r.Images, want.text(), want.extra, want.tokens, want.images)
	}
	wanted := strings.Join(want.texts, "")
	if got := string(slices.Concat(slices.Collect(clones(r, len(body)+1))...)); got != wanted {
		t.Errorf("%q: text %q, want %q", body, got, wanted)
	}
	var raw []string
	for i := range min(r.Texts, RawTexts) {
		raw = append(raw, string(appendDecoded(nil, r.RawText(i), len(body))))
	}
	if wanted := want.texts[:min(len(want.texts), RawTexts)]; r.Texts != len(want.texts) || !slices.Equal(raw, wanted) {
		t.Errorf("%q: %d texts, the first are %q, want %d, the first %q", body, r.Texts, raw, len(want.texts), wanted)
	}
	for _, max := range []int{0, 1, 5, len(wanted) / 2} {
		got := string(slices.Concat(slices.Collect(clones(r, max))...))
		if len(got) > max || !strings.HasPrefix(wanted, got) || !utf8.ValidString(got) || len(wanted)-len(got) >= utf8.UTFMax && len(got) <= max-utf8.UTFMax {
			t.Errorf("%q: text cut at %d is %q", body, max, got)
		}
	}
}

// clones yields copies of the request's texts.
func clones(r *Request, max int) func(func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for text := range r.PromptText(max) {
			if !yield(slices.Clone(text)) {
				return
			}
		}
	}
}

func TestPromptTextEndsWhenTheCallerDoes(t *testing.T) {
	r := parse(t, Embeddings, `{"input":["a","b"],"instructions":"c"}`)
	var got []string
	for text := range r.PromptText(100) {
		got = append(got, string(text))
		break
	}
	if !slices.Equal(got, []string{"a"}) {
		t.Errorf("got %q", got)
	}
}

func TestRequestErrors(t *testing.T) {
	const notJSON = "We could not parse the JSON body of your request"
	long := strings.Repeat("m", 257)
	for _, c := range []struct {
		body, param, code, message string
	}{
		{``, "", "", notJSON}, {" \n", "", "", notJSON}, {`[]`, "", "", notJSON}, {`"a"`, "", "", notJSON}, {`null`, "", "", notJSON},
		{`{`, "", "", notJSON}, {`{}{}`, "", "", notJSON}, {`{"a":1}x`, "", "", notJSON}, {`{"model":"m",}`, "", "", notJSON},
		{`{"model":}`, "", "", notJSON}, {`{"stream":tru}`, "", "", notJSON}, {`{"n":-}`, "", "", notJSON}, {`{"messages":[{"content":"` + "\xff" + `"}]}`, "", "", notJSON},
		{`{"stream_options":{"include_usage":t}}`, "", "", notJSON}, {`{"stream_options":{"include_usage":}}`, "", "", notJSON},
		{`{"x":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`, "", "", "nested too deep"},
		{`{"model":1}`, "model", "invalid_type", "Invalid type for 'model': expected a string, but got a number instead."},
		{`{"model":""}`, "model", "", "Invalid 'model'"}, {`{"model":"a\u0000b"}`, "model", "", "Invalid 'model'"}, {`{"model":"a\u0085"}`, "model", "", "Invalid 'model'"},
		{`{"model":"` + long + `"}`, "model", "", "Invalid 'model'"}, {`{"model":"\u006d` + long + `"}`, "model", "", "Invalid 'model'"},
		{`{"model":"a","model":"b"}`, "model", "", "Duplicate parameter: 'model'."},
		{`{"model":"a","mod\u0065l":"b"}`, "model", "", "Duplicate parameter: 'model'."},
		{`{"model":null,"model":"b"}`, "model", "", "Duplicate parameter: 'model'."},
		{`{"model":"a","Model":"b"}`, "Model", "", "Unknown parameter: 'Model'. Did you mean 'model'?"},
		{`{"\u004dODEL":"b"}`, "MODEL", "", "Did you mean 'model'?"},
		{`{"max_to\u212Aens":9}`, "max_to\u212Aens", "", "Did you mean 'max_tokens'?"},
		{`{"meſſages":[]}`, "meſſages", "", "Did you mean 'messages'?"},
		{`{"messages":[],"messages":[]}`, "messages", "", "Duplicate parameter"}, {`{"tools":[],"tools":[]}`, "tools", "", "Duplicate parameter"},
		{`{"stream":"true"}`, "stream", "invalid_type", "expected a boolean, but got a string"}, {`{"stream":1}`, "stream", "invalid_type", "a number"},
		{`{"stream_options":[]}`, "stream_options", "invalid_type", "expected an object, but got an array"},
		{`{"stream_options":{"include_usage":1}}`, "stream_options.include_usage", "invalid_type", "expected a boolean"},
		{`{"stream_options":{"include_usage":true,"include_usage":false}}`, "stream_options.include_usage", "", "Duplicate parameter"},
		{`{"max_tokens":"5"}`, "max_tokens", "invalid_type", "Invalid type for 'max_tokens': expected an integer, but got a string instead."},
		{`{"max_tokens":1.5}`, "max_tokens", "invalid_type", "expected an integer, but got a decimal number instead."},
		{`{"max_tokens":` + strings.Repeat("1", 65) + `}`, "max_tokens", "invalid_type", "a decimal number"},
		{`{"max_tokens":-1}`, "max_tokens", "integer_below_min_value", "Invalid 'max_tokens': integer below minimum value. Expected a value >= 0, but got -1 instead."},
		{`{"max_completion_tokens":2147483649}`, "max_completion_tokens", "integer_above_max_value", "<= 2147483648"},
		{`{"max_tokens":1e400}`, "max_tokens", "integer_above_max_value", "got 1e400"}, {`{"max_tokens":-1e400}`, "max_tokens", "integer_below_min_value", ">= 0"},
		{`{"n":0}`, "n", "integer_below_min_value", ">= 1"}, {`{"n":129}`, "n", "integer_above_max_value", "<= 128"}, {`{"best_of":129}`, "best_of", "integer_above_max_value", "<= 128"},
		{`{"messages":{}}`, "messages", "invalid_type", "expected an array of objects, but got an object"}, {`{"prompt":5}`, "prompt", "invalid_type", "a string or an array"},
		{`{"input":{}}`, "input", "invalid_type", "a string or an array"}, {`{"suffix":[]}`, "suffix", "invalid_type", "a string"}, {`{"instructions":true}`, "instructions", "invalid_type", "but got a boolean"},
	} {
		r, err := ParseRequest(Completions, []byte(c.body))
		if err == nil || r != nil {
			t.Errorf("%.80s: accepted", c.body)
			continue
		}
		if err.Status != http.StatusBadRequest || err.Type != "invalid_request_error" || err.Param != c.param || err.Code != c.code || !strings.Contains(err.Message, c.message) {
			t.Errorf("%.80s:\n got %+v\nwant param %q code %q message %q", c.body, *err, c.param, c.code, c.message)
		}
	}
}

// Everything a client can send is cut off at every byte: no prefix of a request is a request, and none panics.
func TestNoPrefixOfARequestIsARequest(t *testing.T) {
	const body = `{"model":"gpt-4o","stream":true,"stream_options":{"include_usage":false},"max_tokens":1e2,"n":1,"messages":[{"role":"user","content":[{"type":"text","text":"a\u00e9\ud83d\ude00é"}]}],"tools":[{"x":null}],"prompt":[1,2.5],"input":"x"}`
	for i := range body {
		if _, err := ParseRequest(ChatCompletions, []byte(body[:i])); err == nil {
			t.Errorf("accepted %s", body[:i])
		}
	}
	parse(t, ChatCompletions, body)
}

func TestParseRequestDoesNotCopyThePrompt(t *testing.T) {
	body := chatBody(400<<10, prose)
	if n := testing.AllocsPerRun(10, func() {
		if _, err := ParseRequest(ChatCompletions, body); err != nil {
			t.Fatal(err)
		}
	}); n > 2 {
		t.Errorf("%v allocations, want the request and its model", n)
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add(byte(Responses), []byte(`{"model":"m","input":[{"type":"function_call","name":"f","arguments":"{}"},{"type":"reasoning","encrypted_content":"AAAA"}],"previous_response_id":"resp_1","store":false,"background":true,"max_output_tokens":16,"text":{"format":{"type":"text"}},"prompt":{"id":"p"}}`))
	f.Add(byte(ImageGenerations), []byte(`{"prompt":"a cat","n":2,"background":"transparent","stream":true,"response_format":"b64_json"}`))
	f.Add(byte(Speech), []byte(`{"input":"a","voice":"alloy","stream_format":"\u0073se"}`))
	f.Add(byte(CreateBatch), []byte(`{"input_file_id":"file-1","endpoint":"/v1/responses","input":{},"model":7}`))
	f.Fuzz(func(t *testing.T, kind byte, body []byte) {
		if got, want := scanned(body), acceptable(body); got != want {
			t.Fatalf("%q: scanner accepts %v, want %v", body, got, want)
		}
		op := Operation(int(kind) % len(operations))
		r, err := ParseRequest(op, body)
		if err != nil {
			if err.Status != http.StatusBadRequest || err.Message == "" {
				t.Fatalf("%q: %+v", body, err)
			}
			return
		}
		if !acceptable(body) {
			t.Fatalf("%q: accepted, though it is not JSON", body)
		}
		list := members(body)
		for _, f := range fields {
			same := func(m member) bool { return f.name != "" && strings.EqualFold(m.name, f.name) }
			if first := slices.IndexFunc(list, same); first >= 0 && f.in.has(op) {
				if list[first].name != f.name || slices.ContainsFunc(list[first+1:], same) {
					t.Fatalf("%q: %s may be read in two ways", body, f.name)
				}
			}
		}
		checkFields(t, r, list)
		if r.N < 1 || r.N > maxN || r.MaxTokens < 0 || r.MaxTokens > maxTokenCount {
			t.Fatalf("%q: %d answers of %d tokens", body, r.N, r.MaxTokens)
		}
		checkCounts(t, r, body)
	})
}

// checkFields compares the fields that steer a request with what encoding/json reads of its members.
func checkFields(t *testing.T, r *Request, list []member) {
	t.Helper()
	read := map[string]any{}
	for _, m := range list {
		var value any
		if err := json.Unmarshal([]byte(m.value), &value); err == nil && value != nil { // A number may be too large for encoding/json.
			read[m.name] = value
		}
	}
	text := func(name string) string { s, _ := read[name].(string); return s }
	flag := func(name string) bool { return read[name] == true }
	op := r.Operation
	want := Request{Operation: op}
	if op != 0 && op != UploadFile && op != CreateBatch {
		want.Model = text("model")
	}
	switch op {
	case ChatCompletions, Completions, ImageGenerations, ImageEdits, Transcriptions:
		want.Stream = flag("stream")
	case Speech:
		want.Stream = text("stream_format") == "sse"
	case Responses:
		want.Stream, want.Background, want.Store = flag("stream"), flag("background"), read["store"] != false
		want.PreviousResponse = text("previous_response_id")
	}
	if r.Model != want.Model || r.Stream != want.Stream || r.Background != want.Background || r.Store != want.Store || r.PreviousResponse != want.PreviousResponse {
		t.Errorf("%s %v:\n got model %q stream %v background %v store %v previous %q\nwant model %q stream %v background %v store %v previous %q", op, list,
			r.Model, r.Stream, r.Background, r.Store, r.PreviousResponse, want.Model, want.Stream, want.Background, want.Store, want.PreviousResponse)
	}
}
