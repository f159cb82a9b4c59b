package openai

// longestType is how long a type can be and still be one that we know.
const longestType = 64

// parseTyped reads an event whose JSON says its type, as the streams of responses, images and audio do. Where the JSON
// does not, the event's name stands for it.
func parseTyped(name, data []byte) Chunk {
	t := typedReader{scanner: scanner{buf: data}}
	t.read()
	if !t.end() {
		return Chunk{}
	}
	own := t.kind.decoded(longestType)
	kind := own
	if len(kind) == 0 {
		kind = name
	}
	c := Chunk{Kind: Content, HasUsage: t.hasUsage, Usage: t.usage, ID: t.id, Status: t.status}
	switch string(kind) {
	case "error":
		return Chunk{Kind: Failure, Err: ParseError(0, data)}
	case "":
		if t.failed {
			return Chunk{Kind: Failure, Err: ParseError(0, data)}
		}
	case "response.failed":
		c.Kind, c.Last, c.Err = Failure, true, ParseError(0, t.fault)
	case "response.created", "response.queued", "response.in_progress":
		c.Kind = Preamble
	case "response.completed", "response.incomplete", "response.cancelled", "transcript.text.done", "speech.audio.done",
		"image_generation.completed", "image_edit.completed":
		c.Last = true
	default:
		if carriesText(own) { // AppendDelta sees only the JSON
			c.Text, c.Delta = t.delta.text, t.place
		}
	}
	return c
}

// carriesText tells whether the delta of an event of this type is generated text. Those of sound and pictures are not.
func carriesText(kind []byte) bool {
	switch string(kind) {
	case "response.output_text.delta", "response.refusal.delta",
		"response.reasoning.delta", "response.reasoning_text.delta",
		"response.reasoning_summary.delta", "response.reasoning_summary_text.delta",
		"response.function_call_arguments.delta", "response.mcp_call_arguments.delta", "response.mcp_call.arguments_delta",
		"response.custom_tool_call_input.delta", "response.code_interpreter_call_code.delta",
		"response.shell_call_command.delta", "response.apply_patch_call_operation_diff.delta",
		"response.audio.transcript.delta", "transcript.text.delta":
		return true
	}
	return false
}

// typedReader reads an event that says its type. Its members may stand in any order, so it notes them all.
type typedReader struct {
	scanner
	kind, delta token
	place       [2]int // of delta
	fault       []byte // the error of the response, null included; nil if there is none
	failed      bool   // the event itself has an error
	usage       Usage
	hasUsage    bool
	id, status  string
}

// read reads the event's object.
func (t *typedReader) read() {
	for more := t.open('{'); more; more = t.next('}') {
		switch name, c := t.key(), t.peek(); {
		case c == '"' && string(name) == "type":
			t.kind = t.str()
		case c == '"' && string(name) == "delta":
			t.delta = t.str()
			t.place = t.placeOf(t.delta)
		case c == '{' && string(name) == "response":
			t.response()
		case c == '{' && string(name) == "usage":
			t.takeUsage()
		case string(name) == "error":
			t.failed = kindOf(c) != kindNull
			t.skip()
		default:
			t.skip()
		}
	}
}

// response reads the response that an event carries.
func (t *typedReader) response() {
	for more := t.open('{'); more; more = t.next('}') {
		switch name, c := t.key(), t.peek(); {
		case c == '"' && string(name) == "id":
			t.id = t.str().id()
		case c == '"' && string(name) == "status":
			t.status = t.str().id()
		case c == '{' && string(name) == "usage":
			t.takeUsage()
		case string(name) == "error":
			start := t.pos
			t.skip()
			t.fault = t.buf[start:t.pos]
		default:
			t.skip()
		}
	}
}

// takeUsage reads a usage object, and keeps it if it is sound.
func (t *typedReader) takeUsage() {
	if u, ok := t.scanner.usage(); ok {
		t.usage, t.hasUsage = u, true
	}
}

// id is the token's string if it can be an id, else "".
func (t token) id() string {
	if text := t.decoded(maxIDBytes + 1); validID(text) {
		return string(text)
	}
	return ""
}
