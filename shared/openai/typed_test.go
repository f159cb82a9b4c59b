package openai

import (
	"strings"
	"testing"
)

// response is a response as an event carries it.
func response(status, more string) string {
	return `{"id":"resp_1","object":"response","status":"` + status + `","error":null,"output":[{"id":"msg_1","status":"x","usage":{"input_tokens":9}}],"usage":null` + more + `}`
}

func TestParseTypedEvents(t *testing.T) {
	const usageJSON = `{"input_tokens":36,"input_tokens_details":{"cached_tokens":3},"output_tokens":87,"output_tokens_details":{"reasoning_tokens":5},"total_tokens":123}`
	usage := Usage{36, 87, 123, 3, 5}
	for _, c := range []struct {
		data string
		want Chunk
	}{
		{`{"type":"response.created","sequence_number":0,"response":` + response("in_progress", "") + `}`, Chunk{Kind: Preamble, ID: "resp_1", Status: "in_progress"}},
		{`{"type":"response.queued","response":` + response("queued", "") + `}`, Chunk{Kind: Preamble, ID: "resp_1", Status: "queued"}},
		{`{"type":"response.in_progress","response":` + response("in_progress", "") + `}`, Chunk{Kind: Preamble, ID: "resp_1", Status: "in_progress"}},
		{`{"type":"response.completed","response":` + response("completed", `,"usage":`+usageJSON) + `}`, Chunk{Kind: Content, Last: true, HasUsage: true, Usage: usage, ID: "resp_1", Status: "completed"}},
		{`{"type":"response.incomplete","response":` + response("incomplete", `,"usage":`+usageJSON) + `}`, Chunk{Kind: Content, Last: true, HasUsage: true, Usage: usage, ID: "resp_1", Status: "incomplete"}},
		{`{"type":"response.cancelled","response":` + response("cancelled", "") + `}`, Chunk{Kind: Content, Last: true, ID: "resp_1", Status: "cancelled"}},
		{`{"response":` + response("completed", "") + `,"type":"response.c\u006fmpleted"}`, Chunk{Kind: Content, Last: true, ID: "resp_1", Status: "completed"}},
		{completedEvent, Chunk{Kind: Content, Last: true, HasUsage: true, Usage: usage, ID: "resp_68af4a4b7c8c8190a4d1f6ee3f2b", Status: "completed"}},

		{deltaEvent, Chunk{Kind: Content, Text: Text{5, 0}}},
		{`{"delta":"aé\n","type":"response.refusal.delta"}`, Chunk{Kind: Content, Text: Text{2, 1}}},
		{`{"type":"response.output_text.done","text":"no","delta":"no"}`, Chunk{Kind: Content}},
		{`{"type":"response.output_text.annotation.added","annotation":{"type":"url_citation"}}`, Chunk{Kind: Content}},
		{`{"type":"response.output_item.added","item":{"id":"msg_1","type":"message","status":"in_progress","content":[]}}`, Chunk{Kind: Content}},
		{`{"type":"response.output_item.done","item":{"error":{"message":"no"}}}`, Chunk{Kind: Content}},
		{`{"type":"response.content_part.added","part":{"type":"output_text","text":""}}`, Chunk{Kind: Content}},
		{`{"type":"response.function_call_arguments.done","arguments":"{}"}`, Chunk{Kind: Content}},
		{`{"type":"response.shell_call_output_content.delta","delta":{"stdout":"no"}}`, Chunk{Kind: Content}},
		{`{"type":"response.mcp_call.failed","item_id":"mcp_1"}`, Chunk{Kind: Content}},
		{`{"type":"response.web_search_call.completed"}`, Chunk{Kind: Content}},
		{`{"type":"response.image_generation_call.partial_image","partial_image_b64":"AAAA"}`, Chunk{Kind: Content}},
		{`{"type":"response.audio.delta","delta":"AAAA"}`, Chunk{Kind: Content}},

		{`{"type":"image_generation.partial_image","b64_json":"AAAA","partial_image_index":0}`, Chunk{Kind: Content}},
		{`{"type":"image_generation.completed","b64_json":"AAAA","usage":` + usageJSON + `}`, Chunk{Kind: Content, Last: true, HasUsage: true, Usage: usage}},
		{`{"type":"image_edit.partial_image","b64_json":"AAAA"}`, Chunk{Kind: Content}},
		{`{"type":"image_edit.completed","b64_json":"AAAA","usage":null}`, Chunk{Kind: Content, Last: true}},

		{`{"type":"speech.audio.delta","audio":"AAAA","delta":"AAAA"}`, Chunk{Kind: Content}},
		{`{"type":"speech.audio.done","usage":{"input_tokens":14,"output_tokens":101,"total_tokens":115}}`, Chunk{Kind: Content, Last: true, HasUsage: true, Usage: Usage{Prompt: 14, Completion: 101, Total: 115}}},
		{`{"type":"transcript.text.delta","delta":"Hi","logprobs":[{"token":"Hi"}]}`, Chunk{Kind: Content, Text: Text{2, 0}}},
		{`{"type":"transcript.text.segment","text":"no","speaker":"A"}`, Chunk{Kind: Content}},
		{`{"type":"transcript.text.done","text":"no","usage":{"type":"tokens","input_tokens":14,"input_token_details":{"audio_tokens":14},"output_tokens":45,"total_tokens":59}}`, Chunk{Kind: Content, Last: true, HasUsage: true, Usage: Usage{Prompt: 14, Completion: 45, Total: 59}}},
		{`{"type":"transcript.text.done","text":"no","usage":{"type":"duration","seconds":3}}`, Chunk{Kind: Content, Last: true}},

		// What nobody here knows is the backend's output, too.
		{`{"type":"response.new_in_2030","delta":"no","error":{"message":"no"}}`, Chunk{Kind: Content}},
		{`{"type":"` + strings.Repeat("response.completed", 9) + `"}`, Chunk{Kind: Content}},
		{`{"type":7,"response":"x","usage":[],"delta":1,"error":null}`, Chunk{Kind: Content}},
		{`{}`, Chunk{Kind: Content}},
		// What cannot be an id or a status is none.
		{`{"type":"response.completed","response":{"id":"a/b","status":"not good"}}`, Chunk{Kind: Content, Last: true}},
		{`{"type":"response.completed","response":{"id":7,"status":null,"usage":{"input_tokens":-1}}}`, Chunk{Kind: Content, Last: true}},
		{`{"type":"response.created","response":{"id":"` + strings.Repeat("a", 257) + `"}}`, Chunk{Kind: Preamble}},

		{` [DONE] `, Chunk{Kind: Done}}, {``, Chunk{Kind: Empty}}, {`[]`, Chunk{}}, {completedEvent[:200], Chunk{}}, {`{"type":"response.completed"}x`, Chunk{}},
	} {
		got := ParseChunk(Responses, Event{Data: []byte(c.data)})
		if got.Delta = c.want.Delta; got != c.want { // it has a test of its own
			t.Errorf("%.200s\n got %+v\nwant %+v", c.data, got, c.want)
		}
	}
}

// Every operation that streams events with a type reads them alike; those that stream choices do not.
func TestTypedOperations(t *testing.T) {
	for op := ChatCompletions; op.known(); op++ {
		want := Preamble
		switch op {
		case Responses, GetResponse, ImageGenerations, ImageEdits, Speech, Transcriptions, Translations:
			want = Content
		}
		if got := ParseChunk(op, Event{Data: []byte(deltaEvent)}); got.Kind != want {
			t.Errorf("%s: %s, want %s", op, got.Kind, want)
		}
	}
}

// Where the JSON says no type, the event's name is it; the JSON's own counts for more.
func TestEventNameStandsForTheType(t *testing.T) {
	for _, c := range []struct {
		name, data string
		want       Chunk
	}{
		{"speech.audio.done", `{}`, Chunk{Kind: Content, Last: true}},
		{"response.created", `{"response":{"id":"resp_1"}}`, Chunk{Kind: Preamble, ID: "resp_1"}},
		{"response.created", `{"type":"speech.audio.done"}`, Chunk{Kind: Content, Last: true}},
		{"response.output_text.delta", `{"delta":"a"}`, Chunk{Kind: Content}},
	} {
		got := ParseChunk(Responses, Event{Name: []byte(c.name), Data: []byte(c.data)})
		if got.Delta = c.want.Delta; got != c.want { // it has a test of its own
			t.Errorf("%s %s:\n got %+v\nwant %+v", c.name, c.data, got, c.want)
		}
	}
}

func TestParseTypedFailures(t *testing.T) {
	failed := func(fault, more string) string {
		return `{"type":"response.failed","response":{"id":"resp_1","status":"failed","error":` + fault + more + `}}`
	}
	const unknown = "The backend reported an error."
	for _, c := range []struct {
		event, data string
		last        bool
		want        Error
	}{
		{"", failed(`{"code":"server_error","message":"m"}`, ""), true, Error{Status: 500, Message: "m", Code: "server_error"}},
		{"", failed(`{"code":"rate_limit_exceeded","message":"m"}`, ""), true, Error{Status: 429, Message: "m", Code: "rate_limit_exceeded"}},
		{"", failed(`{"code":"invalid_prompt","message":"m"}`, ""), true, Error{Status: 400, Message: "m", Code: "invalid_prompt"}},
		{"", failed(`{"code":"image_too_large","message":"m"}`, ""), true, Error{Status: 400, Message: "m", Code: "image_too_large"}},
		{"", failed(`{"code":"vector_store_timeout","message":"m"}`, ""), true, Error{Status: 500, Message: "m", Code: "vector_store_timeout"}},
		{"", failed(`{"code":"new_in_2030","message":"m"}`, ""), true, Error{Message: "m", Code: "new_in_2030"}},
		{"response.failed", failed(`null`, ""), true, Error{Message: unknown}},
		{"", `{"type":"response.failed"}`, true, Error{Message: unknown}},
		{"", `{"type":"error","code":"server_error","message":"m","param":null,"sequence_number":1}`, false, Error{Status: 500, Message: "m", Type: "error", Code: "server_error"}},
		{"", `{"type":"error","error":{"type":"invalid_request_error","code":"x","message":"m"}}`, false, Error{Status: 400, Message: "m", Type: "invalid_request_error", Code: "x"}},
		{"", `{"error":{"code":"429","message":"m"}}`, false, Error{Status: 429, Message: "m", Code: "429"}},
		{"error", `{"code":"429","message":"m"}`, false, Error{Status: 429, Message: "m", Code: "429"}},
		{"error", `not JSON`, false, Error{Message: unknown}},
	} {
		got := ParseChunk(Responses, Event{Name: []byte(c.event), Data: []byte(c.data)})
		if got.Kind != Failure || got.Last != c.last || got.Err == nil || *got.Err != c.want {
			t.Errorf("%s %s:\n got %+v %+v\nwant %+v", c.event, c.data, got, got.Err, c.want)
		}
	}
	data := failed(`{"code":"server_error","message":"m"}`, `,"usage":{"input_tokens":1,"output_tokens":2,"total_tokens":3}`)
	got := ParseChunk(GetResponse, Event{Data: []byte(data)})
	if !got.HasUsage || got.Usage != (Usage{Prompt: 1, Completion: 2, Total: 3}) || got.ID != "resp_1" || got.Status != "failed" {
		t.Errorf("%s: %+v, want its usage, id and status", data, got)
	}
}

// Each type whose delta is text, and some whose delta is not.
func TestDeltasOfText(t *testing.T) {
	for kind, want := range map[string]bool{
		"response.output_text.delta": true, "response.refusal.delta": true, "response.reasoning_text.delta": true, "response.reasoning_summary_text.delta": true,
		"response.function_call_arguments.delta": true, "response.mcp_call_arguments.delta": true, "response.custom_tool_call_input.delta": true,
		"response.code_interpreter_call_code.delta": true, "response.shell_call_command.delta": true, "response.audio.transcript.delta": true, "transcript.text.delta": true,
		"response.audio.delta": false, "speech.audio.delta": false, "response.shell_call_output_content.delta": false, "response.output_text.done": false, "": false,
	} {
		data := []byte(`{"type":"` + kind + `","delta":"abc"}`)
		counted := ParseChunk(Responses, Event{Data: data}).Text.Characters() == 3
		if text := string(AppendDelta(nil, data, 10)); counted != want || (text == "abc") != want {
			t.Errorf("%s: counted %v, appended %q, want %v", kind, counted, text, want)
		}
	}
}
