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
	if int64(len(data)) != b.Length {
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
	} {
		r := parse(t, ChatCompletions, c.body)
		if got := string(contents(t, r.Body(c.patch))); got != c.want {
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
						checkPatch(t, []byte("{"+strings.Join(order, ",")+"}"), Patch{Model: "new", IncludeUsage: n%2 == 0})
						n++
					}
				}
			}
		}
	}
}

// checkPatch patches a sound body and compares the result, as encoding/json reads it, with the original.
func checkPatch(t *testing.T, body []byte, p Patch) {
	t.Helper()
	original := bytes.Clone(body)
	r, err := ParseRequest(ChatCompletions, body)
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
	again, err := ParseRequest(ChatCompletions, patched)
	if err != nil {
		t.Fatalf("%q with %+v is no longer a request: %q: %v", body, p, patched, err)
	}
	want := r.Model
	if p.Model != "" {
		want = p.Model
	}
	if again.Model != want || again.IncludeUsage != (r.IncludeUsage || p.IncludeUsage && r.Stream) {
		t.Errorf("%q with %+v: model %q, include_usage %v", body, p, again.Model, again.IncludeUsage)
	}
	if got, want := unpatched(patched, p, r.Stream), unpatched(body, p, r.Stream); !slices.Equal(got, want) {
		t.Errorf("%q with %+v:\n got %q\nwant %q", body, p, got, want)
	}
}

// unpatched lists the members of a body that a patch does not change, as they are written and in their order.
func unpatched(body []byte, p Patch, stream bool) []member {
	var list []member
	for _, m := range members(body) {
		switch {
		case m.name == "model" && p.Model != "":
		case m.name == "stream_options" && p.IncludeUsage && stream:
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
	f.Fuzz(func(t *testing.T, body []byte, model string, includeUsage bool) {
		if model != "" && !validModel(model) {
			return
		}
		if r, err := ParseRequest(ChatCompletions, body); err == nil {
			checkPatch(t, body, Patch{Model: model, IncludeUsage: includeUsage})
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
