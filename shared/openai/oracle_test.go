package openai

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// The oracles say in terms of encoding/json what the scanners must find.

// acceptable tells whether data is JSON as this package takes it.
func acceptable(data []byte) bool {
	return json.Valid(data) && utf8.Valid(data) && deepest(data) <= maxDepth
}

// deepest is how many levels a valid JSON text nests.
func deepest(data []byte) (most int) {
	d, depth := json.NewDecoder(bytes.NewReader(data)), 0
	for {
		t, err := d.Token()
		if err != nil {
			return most
		}
		switch t {
		case json.Delim('{'), json.Delim('['):
			depth++
			most = max(most, depth)
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
	}
}

// scanned tells whether the scanner accepts data as one JSON text.
func scanned(data []byte) bool {
	s := scanner{buf: data}
	s.space()
	s.skip()
	return s.end()
}

// member is one member of an object, with its value as it was written.
type member struct {
	name  string
	value string
}

// members lists the members of a valid JSON object in order, duplicates too.
func members(object []byte) []member {
	d := json.NewDecoder(bytes.NewReader(object))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		panic(fmt.Sprintf("not an object: %q", object))
	}
	var list []member
	for d.More() {
		name, err := d.Token()
		if err != nil {
			panic(err)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			panic(err)
		}
		list = append(list, member{name.(string), string(value)})
	}
	return list
}

// tally is what the oracle counts in a prompt.
type tally struct {
	texts  []string
	extra  int64
	tokens int64
	images int
}

var uncounted = strings.Fields("role type id tool_call_id call_id url image_url file_id file_data data detail format filename name status encrypted_content result file_url")

// count reads one value of a prompt; called says whether it belongs to a tool call, listed whether it is an array of an
// input or a prompt.
func (t *tally) count(value []byte, called, listed bool) {
	switch value[0] {
	case '"':
		var text string
		if err := json.Unmarshal(value, &text); err != nil {
			panic(err)
		}
		if called {
			t.extra += int64(utf8.RuneCountInString(text))
		} else {
			t.texts = append(t.texts, text)
		}
	case '[':
		var list []json.RawMessage
		if err := json.Unmarshal(value, &list); err != nil {
			panic(err)
		}
		for _, v := range list {
			if listed && (v[0] == '-' || v[0] >= '0' && v[0] <= '9') {
				t.tokens++
			}
			t.count(v, called, listed)
		}
	case '{':
		for _, m := range members(value) {
			var kind string
			if m.name == "type" && m.value[0] == '"' && !called {
				if err := json.Unmarshal([]byte(m.value), &kind); err != nil {
					panic(err)
				}
			}
			if kind == "image_url" || kind == "input_image" || kind == "computer_screenshot" {
				t.images++
			}
			switch {
			case called && m.name == "name", m.name == "tool_calls", m.name == "function_call", m.name == "arguments":
				t.count([]byte(m.value), true, false)
			case !slices.Contains(uncounted, m.name):
				t.count([]byte(m.value), called, false)
			}
		}
	}
}

// tallyOf counts what a valid body of a request for op holds.
func tallyOf(op Operation, body []byte) *tally {
	t := &tally{}
	for _, m := range members(body) {
		place := m.name
		switch {
		case op == 0 || int(op) >= len(operations) || op == UploadFile || op == CreateBatch:
			place = "unread"
		case op == Responses && m.name == "prompt":
			place = "text"
		case op != Responses && m.name == "text":
			place = "unread"
		}
		switch place {
		case "messages", "instructions", "suffix":
			t.count([]byte(m.value), false, false)
		case "prompt", "input":
			t.count([]byte(m.value), false, true)
		case "tools", "tool_choice", "functions", "function_call", "response_format", "prediction", "text":
			if m.value != "null" && (op == ChatCompletions || op == Completions || op == Responses) {
				t.extra += int64(utf8.RuneCountInString(m.value))
			}
		}
	}
	return t
}

// text is the number of characters of the texts.
func (t *tally) text() (sum Text) {
	for _, text := range t.texts {
		for _, r := range text {
			sum.add(r)
		}
	}
	return sum
}
