package openai

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestResponsesFields(t *testing.T) {
	long := strings.Repeat("r", 256)
	for _, c := range []struct {
		op   Operation
		body string
		want string // Stream Background Store PreviousResponse MaxTokens
	}{
		{Responses, `{}`, `false false true "" 0`},
		{Responses, `{"background":null,"store":null,"previous_response_id":null,"stream":null}`, `false false true "" 0`},
		{Responses, `{"background":true,"store":true,"stream":true}`, `true true true "" 0`},
		{Responses, `{"background":false,"store":false}`, `false false false "" 0`},
		{Responses, `{"previous_response_id":"resp_aZ09.-","max_output_tokens":16}`, `false false true "resp_aZ09.-" 16`},
		{Responses, `{"previous_response_id":"\u0072esp\u005f1"}`, `false false true "resp_1" 0`},
		{Responses, `{"previous_response_id":"` + long + `"}`, `false false true "` + long + `" 0`},
		// Elsewhere they are parameters like any other.
		{ChatCompletions, `{"background":"x","store":false,"previous_response_id":7,"max_output_tokens":"x","text":1,"Store":2}`, `false false false "" 0`},
		{ImageGenerations, `{"background":"transparent","store":true,"previous_response_id":""}`, `false false false "" 0`},
	} {
		r := parse(t, c.op, c.body)
		if got := fmt.Sprintf("%v %v %v %q %d", r.Stream, r.Background, r.Store, r.PreviousResponse, r.MaxTokens); got != c.want {
			t.Errorf("%s %s:\n got %s\nwant %s", c.op, c.body, got, c.want)
		}
	}
}

func TestResponsesFieldErrors(t *testing.T) {
	const badID = "Invalid 'previous_response_id': expected an ID of 1 to 256 letters, digits, dots, underscores and hyphens."
	for _, c := range []struct {
		op                         Operation
		body, param, code, message string
	}{
		{Responses, `{"previous_response_id":""}`, "previous_response_id", "", badID},
		{Responses, `{"previous_response_id":"."}`, "previous_response_id", "", badID},
		{Responses, `{"previous_response_id":".."}`, "previous_response_id", "", badID},
		{Responses, `{"previous_response_id":"a/b"}`, "previous_response_id", "", badID},
		{Responses, `{"previous_response_id":"a\u002fb"}`, "previous_response_id", "", badID},
		{Responses, `{"previous_response_id":"é"}`, "previous_response_id", "", badID},
		{Responses, `{"previous_response_id":"` + strings.Repeat("r", 257) + `"}`, "previous_response_id", "", badID},
		{Responses, `{"previous_response_id":"` + strings.Repeat(`\u0072`, 257) + `"}`, "previous_response_id", "", badID},
		{Responses, `{"previous_response_id":7}`, "previous_response_id", "invalid_type", "expected a string, but got a number"},
		{Responses, `{"previous_response_id":null,"previous_response_id":"a"}`, "previous_response_id", "", "Duplicate parameter"},
		{Responses, `{"Previous_Response_ID":"a"}`, "Previous_Response_ID", "", "Did you mean 'previous_response_id'?"},
		{Responses, `{"previous_response_id":"a`, "", "", "unexpected end"},
		{Responses, `{"background":"true"}`, "background", "invalid_type", "expected a boolean, but got a string"},
		{Responses, `{"store":0}`, "store", "invalid_type", "expected a boolean, but got a number"},
		{Responses, `{"store":true,"STORE":false}`, "STORE", "", "Did you mean 'store'?"},
		{Responses, `{"max_output_tokens":-1}`, "max_output_tokens", "integer_below_min_value", ">= 0"},
		{Responses, `{"max_output_tokens":1.5}`, "max_output_tokens", "invalid_type", "a decimal number"},
		{Responses, `{"prompt":{},"prompt":{}}`, "prompt", "", "Duplicate parameter: 'prompt'."},
		{Responses, `{"text":{},"Text":{}}`, "Text", "", "Did you mean 'text'?"},
		{Responses, `{"stream":"true"}`, "stream", "invalid_type", "expected a boolean"},
		{ImageGenerations, `{"n":129}`, "n", "integer_above_max_value", "<= 128"},
		{ImageGenerations, `{"stream":1}`, "stream", "invalid_type", "expected a boolean"},
		{Speech, `{"stream_format":true}`, "stream_format", "invalid_type", "expected a string, but got a boolean"},
	} {
		r, err := ParseRequest(c.op, []byte(c.body))
		if err == nil || r != nil {
			t.Errorf("%s %.80s: accepted", c.op, c.body)
			continue
		}
		if err.Status != http.StatusBadRequest || err.Param != c.param || err.Code != c.code || !strings.Contains(err.Message, c.message) {
			t.Errorf("%s %.80s:\n got %+v\nwant param %q code %q message %q", c.op, c.body, *err, c.param, c.code, c.message)
		}
	}
}

// What counts for an estimate, in the requests of every operation that has a prompt.
func TestPromptCountsByOperation(t *testing.T) {
	for _, c := range []struct {
		name  string
		op    Operation
		body  string
		text  int64
		extra int64
		image int
	}{
		{"input as a string", Responses, `{"input":"abc","instructions":"de"}`, 5, 0, 0},
		{"items", Responses, `{"input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"abc"},{"type":"input_image","image_url":"data:AAAA"}]}]}`, 3, 0, 1},
		{"a call and its output", Responses, `{"input":[{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},{"type":"function_call_output","call_id":"c","output":"abc"}]}`, 3, 2, 0},
		{"a custom call", Responses, `{"input":[{"type":"custom_tool_call","call_id":"c","name":"f","input":"abc"}]}`, 3, 0, 0},
		{"reasoning", Responses, `{"input":[{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"abc"}],"encrypted_content":"AAAA"}]}`, 3, 0, 0},
		{"files and made images", Responses, `{"input":[{"content":[{"type":"input_file","file_url":"https://contoso.com/a","filename":"a"}]},{"type":"image_generation_call","id":"ig_1","status":"completed","result":"AAAA"}]}`, 0, 0, 0},
		{"a screenshot", Responses, `{"input":[{"type":"computer_call_output","output":{"type":"computer_screenshot","image_url":"data:AAAA"}}]}`, 0, 0, 1},
		{"a reference", Responses, `{"input":[{"type":"item_reference","id":"msg_1"}]}`, 0, 0, 0},
		{"tools and formats", Responses, `{"tools":[{}],"text":{"format":{}},"tool_choice":"auto"}`, 0, 4 + 13 + 6, 0},
		{"a stored prompt", Responses, `{"prompt":{"id":"p","variables":{"a":"b"}}}`, 0, 32, 0},
		{"pictures", ImageGenerations, `{"prompt":"a cat","response_format":"url","tools":[]}`, 5, 0, 0},
		{"speech", Speech, `{"input":"abc","instructions":"de","voice":"alloy","response_format":"mp3"}`, 5, 0, 0},
		{"moderations", Moderations, `{"input":["a",{"type":"text","text":"b"},{"type":"image_url","image_url":{"url":"https://contoso.com"}}]}`, 2, 0, 1},
		{"a batch", CreateBatch, `{"input_file_id":"file-1","endpoint":"/v1/responses","metadata":{"a":"b"}}`, 0, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := parse(t, c.op, c.body)
			if r.Text.Characters() != c.text || r.Extra != c.extra || r.Images != c.image {
				t.Errorf("%s: text %d, extra %d, images %d, want %d, %d, %d", c.body, r.Text.Characters(), r.Extra, r.Images, c.text, c.extra, c.image)
			}
			checkCounts(t, r, []byte(c.body))
		})
	}
}

// Parameters that nobody here knows belong to the backend, whatever they hold; the body passes as it came.
func TestUnknownFieldsPassUnchanged(t *testing.T) {
	const body = `{"conversation":"conv_1", "reasoning":{"effort":"high"},"metadata":{"store":"no","model":7},"truncation":"auto",` +
		`"include":["reasoning.encrypted_content"],"partial_images":2,"size":"1024x1024","voice":{"id":"v"},"speed":1e0,"new_in_2030":[null,{"stream":1}],"":0}`
	for op := ChatCompletions; op.known(); op++ {
		if got := string(contents(t, parse(t, op, body).Body(Patch{DropPrevious: true, IncludeUsage: true}))); got != body {
			t.Errorf("%s:\n got %s\nwant %s", op, got, body)
		}
	}
}
