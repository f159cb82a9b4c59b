package openai

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// contents reads a body to its end.
func contents(t *testing.T, b *Body) []byte {
	t.Helper()
	r := b.NewReader()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if int64(len(data)) != b.Length || b.Size() != b.Length {
		t.Errorf("length is %d, but %d bytes were read", b.Length, len(data))
	}
	return data
}

func TestPatch(t *testing.T) {
	both := Patch{Model: "x", IncludeUsage: true}
	for _, c := range []struct {
		body  string
		patch Patch
		want  string
	}{
		{`{"model":"a"}`, Patch{}, `{"model":"a"}`},
		{` { "model" : "a" } `, Patch{Model: "b"}, ` { "model" : "b" } `},
		{`{"mod\u0065l":"\u0061","z":1}`, Patch{Model: "b"}, `{"mod\u0065l":"b","z":1}`},
		{`{"model":null}`, Patch{Model: "b"}, `{"model":"b"}`},
		{`{}`, Patch{Model: "b"}, `{"model":"b"}`},
		{` { } `, Patch{Model: "b"}, ` {"model":"b" } `},
		{`{ "z":1}`, Patch{Model: "b"}, `{ "model":"b","z":1}`},
		{`{"model":"a"}`, Patch{Model: "a\"\\\n/é<"}, `{"model":"a\"\\\u000a/é<"}`},
		{`{"stream":true}`, Patch{IncludeUsage: true}, `{"stream_options":{"include_usage":true},"stream":true}`},
		{`{"stream":true}`, both, `{"model":"x","stream_options":{"include_usage":true},"stream":true}`},
		{`{"stream":true,"stream_options":null,"z":0}`, both, `{"model":"x","stream":true,"stream_options":{"include_usage":true},"z":0}`},
		{`{"stream":true,"stream_options":{},"model":"a"}`, both, `{"stream":true,"stream_options":{"include_usage":true},"model":"x"}`},
		{`{"model":"a","stream":true,"stream_options":{ }}`, both, `{"model":"x","stream":true,"stream_options":{"include_usage":true }}`},
		{`{"model":"a","stream":true,"stream_options":{ "include_obfuscation":false}}`, both, `{"model":"x","stream":true,"stream_options":{"include_usage":true, "include_obfuscation":false}}`},
		{`{"stream":true,"stream_options":{"include_usage": false ,"z":1}}`, Patch{IncludeUsage: true}, `{"stream":true,"stream_options":{"include_usage": true ,"z":1}}`},
		{`{"stream":true,"stream_options":{"include_usage":null}}`, Patch{IncludeUsage: true}, `{"stream":true,"stream_options":{"include_usage":true}}`},
		{`{"stream":true,"stream_options":{"include_usage":true}}`, Patch{IncludeUsage: true}, `{"stream":true,"stream_options":{"include_usage":true}}`},
		{`{"stream":false}`, Patch{IncludeUsage: true}, `{"stream":false}`},
		{`{"stream_options":null}`, Patch{IncludeUsage: true}, `{"stream_options":null}`},
		{`{"previous_response_id":"r"}`, Patch{DropPrevious: true}, `{"previous_response_id":"r"}`},
	} {
		r := parse(t, ChatCompletions, c.body)
		if got := string(contents(t, r.Body(c.patch))); got != c.want {
			t.Errorf("%s with %+v:\n got %s\nwant %s", c.body, c.patch, got, c.want)
		}
	}
}

func TestPatchOfResponses(t *testing.T) {
	drop := Patch{DropPrevious: true}
	for _, c := range []struct {
		body  string
		patch Patch
		want  string
	}{
		{`{"previous_response_id":"r"}`, Patch{}, `{"previous_response_id":"r"}`},
		{`{"previous_response_id":"r"}`, drop, `{}`},
		{` { "previous_response_id" : "r" } `, drop, ` {  } `},
		{`{"previous_response_id":"r"}`, Patch{Model: "m", DropPrevious: true}, `{"model":"m"}`},
		{`{"previous_response_id":"r", "input":"a"}`, drop, `{"input":"a"}`},
		{`{"previous_response_id":"r","input":"a"}`, Patch{Model: "m", DropPrevious: true}, `{"model":"m","input":"a"}`},
		{`{"model":"a" , "previous_response_id" : "r" }`, Patch{Model: "m", DropPrevious: true}, `{"model":"m" }`},
		{`{"input":"a","previous_response_id":null,"model":"a"}`, Patch{Model: "m", DropPrevious: true}, `{"input":"a","model":"m"}`},
		{`{"metadata":{"previous_response_id":"r"}}`, drop, `{"metadata":{"previous_response_id":"r"}}`},
		{`{}`, drop, `{}`},
		{`{"stream":true}`, Patch{IncludeUsage: true}, `{"stream":true}`},
		{`{"stream":true,"stream_options":{"include_obfuscation":false}}`, Patch{IncludeUsage: true, Model: "m"}, `{"model":"m","stream":true,"stream_options":{"include_obfuscation":false}}`},
	} {
		if got := string(contents(t, parse(t, Responses, c.body).Body(c.patch))); got != c.want {
			t.Errorf("%s with %+v:\n got %s\nwant %s", c.body, c.patch, got, c.want)
		}
	}
}

// Every form the patched members can have, in every order, between every kind of neighbour.
func TestPatchKeepsEverythingElse(t *testing.T) {
	models := []string{``, `"model":"a"`, `"model" : null`, `"\u006dodel":"gpt-4o"`}
	options := []string{``, `"stream_options":null`, `"stream_options":{}`, `"stream_options" : { } `, `"stream_options":{"include_usage":false}`,
		`"stream_options":{"include_usage":true,"x":{}}`, `"stream_options":{"x":"include_usage", "include\u005fusage" :null}`, `"stream_options":{"x":[]}`}
	others := []string{``, `"messages":[{"content":"\"model\":\"evil\", é"}]`, ` "x" : 1e5 `}
	streams := []string{``, `"stream":true`, `"stream":false`}
	n := 0
	for _, m := range models {
		for _, o := range options {
			for _, x := range others {
				for _, s := range streams {
					for _, order := range [][]string{{m, o, x, s}, {o, m, s, x}, {x, s, o, m}, {s, x, m, o}} {
						order = slices.DeleteFunc(order, func(s string) bool { return s == "" })
						checkPatch(t, ChatCompletions, []byte("{"+strings.Join(order, ",")+"}"), Patch{Model: "new", IncludeUsage: n%2 == 0})
						n++
					}
				}
			}
		}
	}
}

// The same for the members of Responses: previous_response_id is taken out wherever it stands, alone, first, last or
// between others, while the model is changed, inserted or left.
func TestDropPreviousKeepsEverythingElse(t *testing.T) {
	models := []string{``, `"model":"a"`, ` "model" : null `}
	previous := []string{``, `"previous_response_id":"resp_1"`, ` "previous_response_id" : null `, `"previous\u005fresponse_id":"a"`, "\n\t\"previous_response_id\"\r:\n\"b\" "}
	others := []string{``, `"input":"\",\"previous_response_id\":\"evil\""`, `"metadata":{"previous_response_id":"kept"}`, ` "stream" : true `}
	for _, m := range models {
		for _, v := range previous {
			for _, x := range others {
				for _, y := range []string{``, `"z":[1,2]`} {
					for _, order := range permutations(slices.DeleteFunc([]string{m, v, x, y}, func(s string) bool { return s == "" })) {
						body := []byte("{" + strings.Join(order, ",") + "}")
						for _, p := range []Patch{{DropPrevious: true}, {DropPrevious: true, Model: "new", IncludeUsage: true}, {Model: "new"}} {
							checkPatch(t, Responses, body, p)
						}
					}
				}
			}
		}
	}
}

// permutations are all orders of a list.
func permutations(list []string) (all [][]string) {
	if len(list) == 0 {
		return [][]string{nil}
	}
	for i, first := range list {
		for _, rest := range permutations(slices.Concat(list[:i], list[i+1:])) {
			all = append(all, append([]string{first}, rest...))
		}
	}
	return all
}

// checkPatch patches a sound body and compares the result, as encoding/json reads it, with the original.
func checkPatch(t *testing.T, op Operation, body []byte, p Patch) {
	t.Helper()
	original := bytes.Clone(body)
	r, err := ParseRequest(op, body)
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	patched := contents(t, r.Body(p))
	if !bytes.Equal(body, original) {
		t.Fatalf("%q: the body itself was changed", original)
	}
	if !json.Valid(patched) {
		t.Fatalf("%q with %+v is no longer JSON: %q", body, p, patched)
	}
	again, err := ParseRequest(op, patched)
	if err != nil {
		t.Fatalf("%q with %+v is no longer a request: %q: %v", body, p, patched, err)
	}
	model, previous := r.Model, r.PreviousResponse
	if p.Model != "" {
		model = p.Model
	}
	if p.DropPrevious {
		previous = ""
	}
	usage := p.IncludeUsage && r.Stream && (op == ChatCompletions || op == Completions)
	if again.Model != model || again.IncludeUsage != (r.IncludeUsage || usage) || again.PreviousResponse != previous {
		t.Errorf("%q with %+v: model %q, include_usage %v, previous %q, want %q, %v, %q", body, p, again.Model, again.IncludeUsage, again.PreviousResponse, model, r.IncludeUsage || usage, previous)
	}
	changed := func(m member) bool {
		return m.name == "model" && p.Model != "" || m.name == "previous_response_id" && p.DropPrevious && op == Responses
	}
	if got, wanted := unpatched(patched, changed, usage), unpatched(body, changed, usage); !slices.Equal(got, wanted) {
		t.Errorf("%q with %+v:\n got %q\nwant %q", body, p, got, wanted)
	}
}

// unpatched lists the members of a body that a patch does not change, as they are written and in their order.
func unpatched(body []byte, changed func(member) bool, usage bool) []member {
	var list []member
	for _, m := range members(body) {
		switch {
		case changed(m):
		case m.name == "stream_options" && usage:
			if m.value[0] == '{' {
				for _, o := range members([]byte(m.value)) {
					if o.name != "include_usage" {
						list = append(list, member{"stream_options." + o.name, o.value})
					}
				}
			}
		default:
			list = append(list, m)
		}
	}
	return list
}

func TestPatchDoesNotCopyThePrompt(t *testing.T) {
	body := chatBody(400<<10, prose)
	r, err := ParseRequest(ChatCompletions, body)
	if err != nil {
		t.Fatal(err)
	}
	b := r.Body(Patch{Model: "gpt-4o-ptu", IncludeUsage: true})
	copied := 0
	for _, s := range b.Segments {
		from := uintptr(unsafe.Pointer(unsafe.SliceData(s)))
		if start := uintptr(unsafe.Pointer(unsafe.SliceData(body))); from < start || from >= start+uintptr(len(body)) {
			copied += len(s)
		}
	}
	if copied == 0 || copied > 100 {
		t.Errorf("%d bytes are not those of the body", copied)
	}
}

func FuzzPatch(f *testing.F) {
	f.Add(byte(Responses), []byte(`{"input":"a" , "previous_response_id" : "resp_1" }`), "m", false, true)
	f.Add(byte(Responses), []byte(`{"previous_response_id":null,"stream":true,"model":"a"}`), "m", true, true)
	f.Add(byte(Speech), []byte(`{"stream_format":"sse","stream_options":null}`), "", true, true)
	f.Fuzz(func(t *testing.T, kind byte, body []byte, model string, includeUsage, dropPrevious bool) {
		op := Operation(int(kind) % len(operations))
		if !op.ModelInBody(OpenAI) || model != "" && !validModel(model) {
			return
		}
		if r, err := ParseRequest(op, body); err == nil {
			checkPatch(t, op, body, Patch{Model: model, IncludeUsage: includeUsage, DropPrevious: dropPrevious})
			if plain := contents(t, r.Body(Patch{})); !bytes.Equal(plain, body) {
				t.Fatalf("%q became %q without a patch", body, plain)
			}
		}
	})
}

func ExampleRequest_Body() {
	r, _ := ParseRequest(ChatCompletions, []byte(`{"stream":true, "messages":[], "model":"gpt-4o"}`))
	body, _ := io.ReadAll(r.Body(Patch{Model: "gpt-4o-ptu", IncludeUsage: true}).NewReader())
	fmt.Println(string(body))
	// Output: {"stream_options":{"include_usage":true},"stream":true, "messages":[], "model":"gpt-4o-ptu"}
}
