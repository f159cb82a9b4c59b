package e2e_test

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// What a gateway does not have to know of a request it must not touch: a field
// that is decoded and encoded again loses its digits, its order or its future.
// In the bodies «model» stands for the model's name.
var bodies = []struct {
	name      string
	operation string // default: chat/completions
	body      string
}{
	{name: "ordinary", body: `{"model":"«model»","messages":[{"role":"user","content":"Hello!"}],"max_tokens":20}`},
	{name: "tool calls", body: `{"messages":[
  {"role":"user","content":"What is the level at gate 7?"},
  {"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"level","arguments":"{\"gate\": 7}"}}]},
  {"role":"tool","tool_call_id":"call_1","content":"{\"level\":1.50}"}
 ],
 "tools":[{"type":"function","function":{"name":"level","description":"of water","parameters":{"type":"object","properties":{"gate":{"type":"integer"},"model":{"type":"string"}},"required":["gate"]},"strict":true}}],
 "tool_choice":{"type":"function","function":{"name":"level"}},"parallel_tool_calls":false,"model":"«model»"}`},
	{name: "legacy functions", body: `{"model":"«model»","messages":[{"role":"user","content":"?"}],"functions":[{"name":"f","parameters":{"type":"object","properties":{"a":{"type":"string"}}}}],"function_call":{"name":"f"}}`},
	{name: "JSON mode", body: `{"model":"«model»","response_format":{"type":"json_object"},"messages":[{"role":"system","content":"Answer in JSON."}]}`},
	{name: "JSON schema", body: `{"model":"«model»","response_format":{"type":"json_schema","json_schema":{"name":"gate","strict":true,"schema":{"type":"object","properties":{"open":{"type":"boolean"},"level":{"type":"number"}},"required":["open","level"],"additionalProperties":false}}},"messages":[{"role":"user","content":"Gate?"}]}`},
	{name: "images", body: `{"model":"«model»","max_tokens":20,"messages":[{"role":"user","content":[{"type":"text","text":"What is this?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,` +
		strings.Repeat("iVBORw0KGgo+/AAA", 4000) + `==","detail":"low"}}]}]}`},
	{name: "fields of the future", body: `{"model":"«model»","messages":[{"role":"user","content":"Hello!","mood":{"calm":1}}],"thinking":{"depth":[1,2,{"model":"deep","stream":true}],"n":0},"x_\u00e9\u4e2d":null,"service_tier":"auto","store":false,"metadata":{"model":"not this one"}}`},
	{name: "odd white space and numbers", body: "\r\n\t {  \"messages\" :\n[ { \"role\":\"user\" , \"content\" : \"a\\u0041\\/\\ud83c\\udf0a\\n\\t 中 \xf0\x9f\x8c\x8a\" } ]\r\n,\t\"max_tokens\":20 , \"temperature\" : 1.0E+0,\"top_p\":10e-1, \"seed\":9007199254740993, \"big\":123456789012345678901234567890.00100e-5,\"minus\":-0.0 ,\"model\"\t:\t\"«model»\"  }\n\n"},
	{name: "names in escapes", body: `{"mod\u0065l":"«model»","messages":[{"r\u006fle":"user","content":"Hello!"}],"\u006dax_tokens":20}`},
	{name: "usage asked already", body: `{"model":"«model»","stream_options":{"include_obfuscation":false , "include_usage" : true},"messages":[{"role":"user","content":"Hello!"}]}`},
	{name: "other stream options", body: `{"model":"«model»","stream_options":{"include_obfuscation":false},"messages":[{"role":"user","content":"Hello!"}]}`},
	{name: "several answers", body: `{"model":"«model»","messages":[{"role":"user","content":"Hello!"}],"n":3,"max_completion_tokens":10}`},
	{name: "completion", operation: "completions", body: `{"model":"«model»","prompt":["one\n","two"],"max_tokens":10,"suffix":null,"logit_bias":{"50256":-100}}`},
	{name: "embeddings of 600 kB", operation: "embeddings", body: `{"input":["` + strings.Join(slices.Repeat([]string{"weir"}, 40), `","`) + `"],"model":"«model»","user":"u-1"}`},
}

// usageWanted is what the gateway adds to a stream whose client asks for no
// usage: in the first place of the body, or of the stream_options it has.
const (
	usageMember = `"stream_options":{"include_usage":true},`
	usageOption = `"include_usage":true,`
)

func TestBytesPassUnchanged(t *testing.T) {
	s := startSite(t, "")
	s.eachPair(t, func(t *testing.T, from, to dialect) {
		for _, test := range bodies {
			t.Run(test.name, func(t *testing.T) {
				s.checkBytes(t, from, to, test.operation, test.body, false)
				if test.operation != "embeddings" {
					s.checkBytes(t, from, to, test.operation, test.body, true)
				}
			})
		}
	})
}

// checkBytes sends a body, and compares what arrives at both ends with what was
// sent at the other.
func (s *site) checkBytes(t *testing.T, from, to dialect, operation, body string, stream bool) {
	t.Helper()
	asksUsage := strings.Contains(body, "include_usage")
	switch {
	case stream:
		end := strings.LastIndex(body, "}")
		body = body[:end] + ` , "stream" : true` + body[end:]
	case strings.Contains(body, "stream_options"):
		return // is an error where there is no stream
	}
	model, name := "chat-"+string(to), deployed
	if operation == "embeddings" {
		model, name = "embed-"+string(to), "embedder"
	}
	if operation == "" {
		operation = "chat/completions"
	}
	got := s.send(t, call{path: from.path(model, operation), key: callerKey, from: from, body: strings.ReplaceAll(body, "«model»", model)}).served(t)

	request, sent := s.backends[to].last(t)
	if to == classic {
		name = model // it is named by the path; what the body says is not looked at
	}
	arrived := request.Body
	if stream && !asksUsage {
		added := usageMember
		if strings.Contains(body, "stream_options") {
			added = usageOption
		}
		if bytes.Count(arrived, []byte(added)) != 1 {
			t.Fatalf("the backend is not asked for usage once: %.300q", arrived)
		}
		arrived = bytes.Replace(arrived, []byte(added), nil, 1)
	}
	same(t, "the request", arrived, []byte(strings.ReplaceAll(body, "«model»", name)))

	want := sent.bytes()
	if stream && !asksUsage {
		want = withoutUsage(t, want)
	}
	same(t, "the answer", got.body, want)
	if media := sent.headers().Get("Content-Type"); got.header.Get("Content-Type") != media {
		t.Errorf("the answer's Content-Type is %q, the backend's %q", got.header.Get("Content-Type"), media)
	}
}

// withoutUsage is a stream as a client gets it that asked for no usage: without
// the one event before the last that holds nothing else, and without the nulls in
// its place in the others.
func withoutUsage(t *testing.T, stream []byte) []byte {
	t.Helper()
	events := eventsOf(stream)
	last := len(events) - 2
	if last < 0 || events[last+1] != "data: [DONE]\n\n" || !strings.Contains(events[last], `"choices":[]`) || !strings.Contains(events[last], `"usage":{`) {
		t.Fatalf("the backend's stream does not end with its usage: %q", events[max(0, last):])
	}
	return withoutNulls([]byte(strings.Join(slices.Delete(events, last, last+1), "")))
}

// withoutNulls is a stream without the members that say that there is no usage yet.
// Quotes inside of texts are written otherwise.
func withoutNulls(stream []byte) []byte {
	return bytes.ReplaceAll(stream, []byte(`,"usage":null`), nil)
}

// Azure's clients name the model in the path only. A backend that looks for it
// in the body is told there, and all the rest stays.
func TestModelOfThePathIsPutIntoTheBody(t *testing.T) {
	s := startSite(t, "")
	for _, to := range dialects {
		for _, body := range []string{
			`{"messages":[{"role":"user","content":"Hello!"}]}`,
			"\n{ \"messages\" : [{\"role\":\"user\",\"content\":\"Hello!\"}] }\n",
			`{"model":null,"messages":[{"role":"user","content":"Hello!"}]}`,
			`{"model":"what the path says counts","messages":[{"role":"user","content":"Hello!"}]}`,
		} {
			t.Run(fmt.Sprintf("%s backend, %.20q", to, body), func(t *testing.T) {
				s.send(t, call{path: classic.path("chat-"+string(to), "chat/completions"), key: callerKey, from: classic, body: body}).served(t)
				request, _ := s.backends[to].last(t)
				want := body
				quoted := `"` + deployed + `"`
				switch {
				case to == classic:
				case strings.Contains(body, `"model"`):
					_, after, _ := strings.Cut(body, `"messages"`)
					want = `{"model":` + quoted + `,"messages"` + after
				default:
					before, after, _ := strings.Cut(body, `"messages"`)
					want = before + `"model":` + quoted + `,"messages"` + after
				}
				same(t, "the request", request.Body, []byte(want))
			})
		}
	}
}

// Errors of a backend that are the client's own pass byte for byte too.
func TestErrorsOfTheBackendPassUnchanged(t *testing.T) {
	s := startSite(t, "")
	s.eachPair(t, func(t *testing.T, from, to dialect) {
		model := "chat-" + string(to)
		for name, body := range map[string]string{
			"content filter":   `{"model":"` + model + `","messages":[{"role":"user","content":"a forbidden-word"}]}`,
			"missing messages": `{"model":"` + model + `"}`,
			"temperature":      `{"model":"` + model + `","messages":[{"role":"user","content":"Hello!"}],"temperature":7.5,"stream":true}`,
		} {
			t.Run(name, func(t *testing.T) {
				got := s.send(t, call{path: from.path(model, "chat/completions"), key: callerKey, from: from, body: body})
				_, sent := s.backends[to].last(t)
				if got.status != http.StatusBadRequest {
					t.Errorf("status %d, want 400", got.status)
				}
				same(t, "the error", got.body, sent.bytes())
			})
		}
	})
}
