package openai

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

func TestParseUsage(t *testing.T) {
	for _, c := range []struct {
		json string
		want Usage
	}{
		{`{"prompt_tokens":8,"completion_tokens":271,"total_tokens":279}`, Usage{Prompt: 8, Completion: 271, Total: 279}},
		{` {"prompt_tokens":8,"total_tokens":8} `, Usage{Prompt: 8, Total: 8}},
		{`{"prompt_tokens":8,"completion_tokens":2}`, Usage{Prompt: 8, Completion: 2, Total: 10}},
		{`{"prompt_tokens":2006,"completion_tokens":300,"total_tokens":2306,"prompt_tokens_details":{"cached_tokens":1920,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":192,"accepted_prediction_tokens":0}}`,
			Usage{2006, 300, 2306, 1920, 192}},
		{`{"input_tokens":36,"input_tokens_details":{"cached_tokens":3},"output_tokens":87,"output_tokens_details":{"reasoning_tokens":5},"total_tokens":123}`, Usage{36, 87, 123, 3, 5}},
		{`{"prompt_tokens":8,"completion_tokens":null,"prompt_tokens_details":null,"completion_tokens_details":{"reasoning_tokens":null}}`, Usage{Prompt: 8, Total: 8}},
		{`{"prompt_tokens":8,"prompt_tokens_details":{"cached_tokens":9}}`, Usage{Prompt: 8, Total: 8, Cached: 8}},
		{`{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}`, Usage{}},
		{`{"x":{"prompt_tokens":5},"total_tokens":3}`, Usage{Total: 3}},
	} {
		if got, ok := ParseUsage([]byte(c.json)); !ok || got != c.want {
			t.Errorf("%s: %+v, %v, want %+v", c.json, got, ok, c.want)
		}
	}
	for _, text := range []string{``, `{}`, `null`, `[]`, `7`, `"x"`, `{"x":1}`, `{"prompt_tokens":null}`, `{"prompt_tokens":"8"}`, `{"prompt_tokens":-1}`, `{"prompt_tokens":1.5}`, `{"prompt_tokens":1e3}`,
		`{"prompt_tokens":8,"completion_tokens":-1}`, `{"prompt_tokens":99999999999999999999}`, `{"prompt_tokens":1099511627777}`, `{"prompt_tokens":8,"prompt_tokens_details":{"cached_tokens":-1}}`,
		`{"prompt_tokens":8`, `{"prompt_tokens":8}x`, `{"prompt_tokens":8,}`} {
		if got, ok := ParseUsage([]byte(text)); ok || got != (Usage{}) {
			t.Errorf("%s: taken for %+v", text, got)
		}
	}
}

// scanUsage feeds an answer to a scanner in pieces of a size.
func scanUsage(t *testing.T, answer []byte, size int) (Usage, bool) {
	t.Helper()
	var s UsageScanner
	for rest := answer; len(rest) > 0; {
		n := min(size, len(rest))
		if written, err := s.Write(rest[:n]); written != n || err != nil {
			t.Fatalf("wrote %d, %v", written, err)
		}
		rest = rest[n:]
	}
	if cap(s.kept) > 8<<10 {
		t.Fatalf("keeps %d bytes", cap(s.kept))
	}
	return s.Usage()
}

func TestUsageScanner(t *testing.T) {
	const usage = `{"prompt_tokens":8,"completion_tokens":4,"total_tokens":12}`
	want := Usage{Prompt: 8, Completion: 4, Total: 12}
	for _, c := range []struct {
		name, answer string
		found        bool
	}{
		{"last", `{"id":"x","choices":[{"message":{"content":"a"}}],"usage":` + usage + `}`, true},
		{"first", `{"usage":` + usage + `,"choices":[]}`, true},
		{"with white space", " {\n \"usage\" :\t" + usage + " , \"x\" : [ 1 ] }\n", true},
		{"escaped name", `{"us\u0061ge":` + usage + `}`, true},
		{"in the content", `{"choices":[{"message":{"content":"{\"usage\":{\"prompt_tokens\":1}}"}}],"usage":` + usage + `}`, true},
		{"deeper", `{"choices":[{"usage":{"prompt_tokens":1}}],"x":{"usage":{"prompt_tokens":1}},"usage":` + usage + `}`, true},
		{"as a value", `{"x":"usage","y":{"prompt_tokens":1},"usage":` + usage + `}`, true},
		{"brackets and quotes in strings", `{"a":"}]\\","b":["\"{"],"c\"":{"d}":"\\\""},"usage":` + usage + `}`, true},
		{"twice, once unsound", `{"usage":` + usage + `,"usage":{"prompt_tokens":-1}}`, true},
		{"twice", `{"usage":{"prompt_tokens":1},"usage":` + usage + `}`, true},
		{"strings in it", `{"usage":{"prompt_tokens":8,"x":"}\"","completion_tokens":4,"total_tokens":12}}`, true},
		{"something behind", `{"usage":` + usage + `}{"usage":{"prompt_tokens":1}}`, true},
		{"a long name before", `{"` + strings.Repeat("usage", 100) + `":{"prompt_tokens":1},"usage":` + usage + `}`, true},
		{"a long name behind", `{"usage":` + usage + `,"` + strings.Repeat("x", 7<<10) + `":{"prompt_tokens":1}}`, true},
		{"a long name with a misleading value", `{"usage":` + usage + `,"` + strings.Repeat("x", 7<<10) + `":"usage","` + strings.Repeat("y", 7<<10) + `":{"prompt_tokens":1}}`, true},
		{"null", `{"usage":null,"x":` + usage + `}`, false},
		{"number", `{"usage":7,"x":` + usage + `}`, false},
		{"string", `{"usage":"x","y":` + usage + `}`, false},
		{"array", `{"usage":[` + usage + `]}`, false},
		{"only deeper", `{"x":{"usage":` + usage + `}}`, false},
		{"not an object", `[{"usage":` + usage + `}]`, false},
		{"not JSON", `<html>{"usage":` + usage + `}</html>`, false},
		{"string on top", `"x","usage":` + usage, false},
		{"too long", `{"usage":{"x":"` + strings.Repeat("x", 10<<10) + `","prompt_tokens":8}}`, false},
		{"cut", `{"usage":` + usage[:len(usage)-1], false},
		{"empty", ``, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for size := 1; size <= len(c.answer)+1; size += 1 + size/16 {
				got, ok := scanUsage(t, []byte(c.answer), size)
				if ok != c.found || ok && got != want {
					t.Fatalf("in pieces of %d: %+v, %v", size, got, ok)
				}
			}
		})
	}
	if got, ok := scanUsage(t, embeddingsAnswer(), 32<<10); !ok || got != (Usage{Prompt: 80, Total: 80}) {
		t.Errorf("embeddings: %+v, %v", got, ok)
	}
}

// referenceUsage finds the last sound usage of a JSON object.
func referenceUsage(answer []byte) (u Usage, found bool) {
	for _, m := range members(answer) {
		if m.name == "usage" && m.value[0] == '{' {
			if sound, ok := ParseUsage([]byte(m.value)); ok {
				u, found = sound, true
			}
		}
	}
	return u, found
}

func FuzzUsageScanner(f *testing.F) {
	f.Fuzz(func(t *testing.T, answer []byte, size uint8) {
		whole, found := scanUsage(t, answer, len(answer)+1)
		if got, ok := scanUsage(t, answer, int(size)+1); got != whole || ok != found {
			t.Fatalf("%q: %+v, %v in pieces of %d, %+v, %v whole", answer, got, ok, size+1, whole, found)
		}
		if len(answer) < maxUsageBytes && json.Valid(answer) && bytes.HasPrefix(bytes.TrimSpace(answer), []byte("{")) {
			if want, ok := referenceUsage(answer); want != whole || ok != found {
				t.Fatalf("%q: %+v, %v, want %+v, %v", answer, whole, found, want, ok)
			}
		}
	})
}
