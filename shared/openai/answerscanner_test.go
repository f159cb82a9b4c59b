package openai

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// found is what an AnswerScanner finds.
type found struct {
	usage      Usage
	hasUsage   bool
	id, status string
}

// scan feeds an answer to a scanner in pieces of a size.
func scan(t *testing.T, answer []byte, size int) (f found) {
	t.Helper()
	var s AnswerScanner
	for rest := answer; len(rest) > 0; {
		n := min(size, len(rest))
		if written, err := s.Write(rest[:n]); written != n || err != nil {
			t.Fatalf("wrote %d, want %d, %v", written, n, err)
		}
		rest = rest[n:]
	}
	if cap(s.kept) > 8<<10 {
		t.Fatalf("keeps %d bytes, want at most %d", cap(s.kept), 8<<10)
	}
	f.usage, f.hasUsage = s.Usage()
	f.id, f.status = s.ID(), s.Status()
	return f
}

func TestAnswerScannerFindsUsage(t *testing.T) {
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
				if got := scan(t, []byte(c.answer), size); got.hasUsage != c.found || c.found && got.usage != want {
					t.Fatalf("in pieces of %d: %+v, %v, want %+v, %v", size, got.usage, got.hasUsage, want, c.found)
				}
			}
		})
	}
	if got, want := scan(t, embeddingsAnswer(), 32<<10), (found{usage: Usage{Prompt: 80, Total: 80}, hasUsage: true}); got != want {
		t.Errorf("embeddings: %+v, want %+v", got, want)
	}
}

func TestAnswerScannerFindsIDAndStatus(t *testing.T) {
	longest := strings.Repeat("a", 256)
	for _, c := range []struct{ name, answer, id, status string }{
		{"a response", `{"id":"resp_1","object":"response","status":"in_progress","error":null,"usage":null,"output":[{"id":"msg_1","status":"completed"}]}`, "resp_1", "in_progress"},
		{"a file", `{"object":"file","id":"file-1","bytes":7,"status":"processed"}`, "file-1", "processed"},
		{"a batch", `{"id":"batch_1","errors":{"data":[{"id":"x"}]},"status":"completed","usage":{"input_tokens":1}}`, "batch_1", "completed"},
		{"with white space", " {\n \"id\" :\t\"resp_1\" , \"status\":\r\n\"queued\"\n}", "resp_1", "queued"},
		{"last", `{"output":[],"status":"queued","id":"resp_1"}`, "resp_1", "queued"},
		{"escaped", `{"\u0069d":"re\u0073p_1","stat\u0075s":"\u0071ueued"}`, "resp_1", "queued"},
		{"longest", `{"id":"` + longest + `","status":"` + longest + `"}`, longest, longest},
		{"too long", `{"id":"` + longest + `a","status":"` + longest + `a"}`, "", ""},
		{"far too long", `{"id":"` + strings.Repeat("a", 10<<10) + `","status":"` + strings.Repeat("a", 10<<10) + `"}`, "", ""},
		{"twice", `{"id":"a","id":"b","status":"x","status":"y"}`, "b", "y"},
		{"twice, once unsound", `{"id":"a","id":"a/b","status":"x","status":""}`, "a", "x"},
		{"no id of a path", `{"id":"..","status":"not good"}`, "", ""},
		{"not UTF-8", "{\"id\":\"\xff\",\"status\":\"\xff\"}", "", ""},
		{"not strings", `{"id":7,"status":{"id":"x","status":"y"}}`, "", ""},
		{"lists", `{"id":["x"],"status":["y"]}`, "", ""},
		{"null", `{"id":null,"status":null}`, "", ""},
		{"as values", `{"x":"id","y":"status","z":"a"}`, "", ""},
		{"only deeper", `{"x":{"id":"a","status":"b"}}`, "", ""},
		{"something behind", `{"id":"a"}{"id":"b","status":"c"}`, "a", ""},
		{"cut", `{"id":"resp_1","status":"comp`, "resp_1", ""},
		{"a list", `[{"id":"a","status":"b"}]`, "", ""},
		{"no JSON", `<id>"id":"a"</id>`, "", ""},
		{"a colon too many", `{"id"::"a"}`, "", ""},
		{"no comma", `{"id":7 "a"}`, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for size := 1; size <= len(c.answer)+1; size += 1 + size/16 {
				if got := scan(t, []byte(c.answer), size); got.id != c.id || got.status != c.status {
					t.Fatalf("in pieces of %d: id %q, status %q, want %q, %q", size, got.id, got.status, c.id, c.status)
				}
			}
		})
	}
}

// reference finds in a JSON object what a scanner must find: the last sound one of each.
func reference(answer []byte) (f found) {
	for _, m := range members(answer) {
		var text string
		sound := json.Unmarshal([]byte(m.value), &text) == nil && validID(text)
		switch {
		case m.name == "usage" && m.value[0] == '{':
			if u, ok := ParseUsage([]byte(m.value)); ok {
				f.usage, f.hasUsage = u, true
			}
		case m.name == "id" && sound:
			f.id = text
		case m.name == "status" && sound:
			f.status = text
		}
	}
	return f
}

func FuzzAnswerScanner(f *testing.F) {
	f.Add([]byte(`{"id":"resp_1","status":"completed","output":[{"id":"x"}],"usage":{"input_tokens":1}}`), uint8(3))
	f.Add([]byte(`{"\u0069d" : "re\u0073p" , "status":"a b","status":null,"id":["x"]}`), uint8(0))
	f.Fuzz(func(t *testing.T, answer []byte, size uint8) {
		whole := scan(t, answer, len(answer)+1)
		if got := scan(t, answer, int(size)+1); got != whole {
			t.Fatalf("%q: %+v in pieces of %d, %+v whole", answer, got, size+1, whole)
		}
		if whole.id != "" && !validID(whole.id) || whole.status != "" && !validID(whole.status) {
			t.Fatalf("%q: %+v", answer, whole)
		}
		if len(answer) < maxKeptBytes && acceptable(answer) && bytes.HasPrefix(bytes.TrimSpace(answer), []byte("{")) {
			if want := reference(answer); want != whole {
				t.Fatalf("%q: %+v, want %+v", answer, whole, want)
			}
		}
	})
}
