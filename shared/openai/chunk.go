package openai

import "bytes"

// ChunkKind is what an event of a stream is.
type ChunkKind uint8

// The kinds of chunks.
const (
	Malformed ChunkKind = iota // data that is no JSON object
	Empty                      // no data: a comment, a keep-alive
	Preamble                   // nothing yet: Azure's first chunk, with prompt_filter_results; response.created …
	Content                    // at least one choice, or an event with a type
	UsageOnly                  // usage and no choices: the chunk that include_usage asks for
	Failure                    // {"error": …}, an event named error, response.failed
	Done                       // [DONE]
)

// String is the kind's name in logs.
func (k ChunkKind) String() string {
	switch k {
	case Malformed:
		return "malformed"
	case Empty:
		return "empty"
	case Preamble:
		return "preamble"
	case Content:
		return "content"
	case UsageOnly:
		return "usage"
	case Failure:
		return "failure"
	case Done:
		return "done"
	}
	return ""
}

// Chunk is what a gateway needs to know of an event of a stream.
type Chunk struct {
	Kind     ChunkKind
	HasUsage bool // also of a Content chunk: some services send usage along
	Last     bool // complete or failed: the stream may end here, though more may follow ([DONE], another image)
	Usage    Usage
	Text     Text   // characters of generated text, those that AppendDelta appends
	Err      *Error // of a Failure, never nil there; its Status is 0 where nothing tells
	ID       string // of the response that the event carries, if it is one that a path can name
	Status   string // of that response: "queued", "in_progress", "completed" …

	// NullUsage is where in the event's data a chunk has the member "usage": null, with the comma before it, as the
	// half-open range of offsets [0], [1]. Services send it to those who asked for usage. Zeros: there is none, or
	// it is the first member.
	NullUsage [2]int

	// Delta is where in the event's data the text that Text counts stands, between its quotes and not yet decoded, as
	// the half-open range of offsets [0], [1]. Zeros: there is none, or it stands in several places. See AppendText.
	Delta [2]int
}

// ParseChunk reads an event of the stream that answers a request for the operation. It allocates nothing but the error
// of a Failure, and the ID and Status where an event carries a response. Chat completions and completions stream
// choices, and are told apart by their members; responses, images and audio stream events with a type.
func ParseChunk(op Operation, ev Event) Chunk {
	if string(ev.Name) == "error" {
		return Chunk{Kind: Failure, Err: ParseError(0, ev.Data)}
	}
	const white = " \t\r\n" // the white space of JSON, and no other
	left := bytes.TrimLeft(ev.Data, white)
	lead := len(ev.Data) - len(left)
	var c Chunk
	switch data := bytes.TrimRight(left, white); {
	case len(data) == 0:
		return Chunk{Kind: Empty}
	case string(data) == "[DONE]":
		return Chunk{Kind: Done}
	case typed.has(op):
		c = parseTyped(ev.Name, data)
	default:
		c = parseChunk(data)
	}
	for _, r := range []*[2]int{&c.NullUsage, &c.Delta} {
		if r[1] > 0 {
			r[0], r[1] = r[0]+lead, r[1]+lead
		}
	}
	return c
}

// parseChunk reads a chunk's JSON.
func parseChunk(data []byte) Chunk {
	d := deltaReader{scanner: scanner{buf: data}}
	var c Chunk
	choices, failed := 0, false
	if d.peek() != '{' {
		return Chunk{}
	}
	before := 0 // the end of the member before
	for more := d.open('{'); more; more = d.next('}') {
		switch name := d.key(); {
		case string(name) == "choices" && d.peek() == '[':
			choices = d.choices()
		case string(name) == "usage" && d.peek() == '{':
			c.Usage, c.HasUsage = d.usage()
		case string(name) == "usage" && d.peek() == 'n' && before > 0:
			d.skip()
			c.NullUsage = [2]int{before, d.pos}
		case string(name) == "error":
			failed = kindOf(d.peek()) != kindNull
			d.skip()
		default:
			d.skip()
		}
		before = d.pos
	}
	switch {
	case !d.end():
		return Chunk{}
	case failed:
		return Chunk{Kind: Failure, Err: ParseError(0, data)}
	case choices > 0:
		c.Kind, c.Text = Content, d.text
		if d.texts == 1 {
			c.Delta = d.last
		}
	case c.HasUsage:
		c.Kind = UsageOnly
	default:
		c.Kind = Preamble
	}
	return c
}

// AppendText appends what AppendDelta does, without reading all of the data again where its text stands in one place.
// The chunk must have been parsed of this data.
func (c *Chunk) AppendText(dst, data []byte, max int) []byte {
	switch {
	case len(dst) >= max || c.Text.Characters() == 0:
		return dst
	case c.Delta[1] == 0:
		return AppendDelta(dst, data, max)
	}
	return appendDecoded(dst, data[c.Delta[0]:c.Delta[1]], max-len(dst))
}

// AppendDelta appends the generated text of a chunk's data to dst: content, reasoning, refusal, text, and the names
// and arguments of tool calls, decoded; of an event with a type its delta, if that is text. It appends whole characters,
// and only as long as dst stays within max bytes. What it appends of malformed data is unspecified. A chat completion
// that is not streamed can be given too: its messages are read like deltas.
func AppendDelta(dst, data []byte, max int) []byte {
	if len(dst) >= max {
		return dst
	}
	d := deltaReader{scanner: scanner{buf: data}, collect: true, dst: dst, max: max}
	var kind, delta token
	choices := 0
	d.space()
	for more := d.open('{'); more; more = d.next('}') {
		switch name := d.key(); {
		case string(name) == "choices" && d.peek() == '[':
			choices += d.choices()
		case string(name) == "type" && d.peek() == '"':
			kind = d.str()
		case string(name) == "delta" && d.peek() == '"':
			delta = d.str()
		default:
			d.skip()
		}
	}
	if choices == 0 && carriesText(kind.decoded(longestType)) {
		d.take(delta)
	}
	return d.dst
}

// deltaPlace is where in a choice a value stands; it decides which members are generated text.
type deltaPlace uint8

const (
	inOther  deltaPlace = iota // nothing in it counts
	inChoice                   // {"delta": {…}} or {"text": "…"}
	inDelta                    // {"content": …, "tool_calls": …}
	inCalled                   // {"function": {"name": …, "arguments": …}}
	inOutput                   // generated text, or parts {"text": "…"} of it
)

// deltaReader walks the choices of a chunk, and counts or collects the generated text.
type deltaReader struct {
	scanner
	text  Text
	texts int    // that are not empty
	last  [2]int // where the last of them stands

	collect bool
	dst     []byte
	max     int
}

// choices reads the array of choices and returns how many there are.
func (d *deltaReader) choices() (n int) {
	for more := d.open('['); more; more = d.next(']') {
		d.value(inChoice)
		n++
	}
	return n
}

// value reads a value that stands at a place.
func (d *deltaReader) value(at deltaPlace) {
	switch c := d.peek(); {
	case at == inOther:
		d.skip()
	case c == '{':
		for more := d.open('{'); more; more = d.next('}') {
			d.value(memberPlace(at, d.key()))
		}
	case c == '[':
		for more := d.open('['); more; more = d.next(']') {
			d.value(at)
		}
	case c == '"' && at == inOutput:
		d.take(d.str())
	default:
		d.skip()
	}
}

// memberPlace is the place of a member of an object that stands at a place.
func memberPlace(at deltaPlace, name []byte) deltaPlace {
	switch at {
	case inChoice:
		switch string(name) {
		case "delta", "message":
			return inDelta
		case "text":
			return inOutput
		}
	case inDelta:
		switch string(name) {
		case "content", "reasoning_content", "reasoning", "refusal":
			return inOutput
		case "tool_calls", "function_call":
			return inCalled
		}
	case inCalled:
		switch string(name) {
		case "function", "custom":
			return inCalled
		case "name", "arguments", "input":
			return inOutput
		}
	case inOutput:
		if string(name) == "text" {
			return inOutput
		}
	}
	return inOther
}

// take counts or collects the text that was just read.
func (d *deltaReader) take(t token) {
	if !d.collect {
		if len(t.raw) > 0 {
			d.text = d.text.Plus(t.text)
			d.texts++
			d.last = d.placeOf(t)
		}
		return
	}
	d.dst = appendDecoded(d.dst, t.raw, d.max-len(d.dst))
}
