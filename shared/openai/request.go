package openai

import (
	"fmt"
	"math"
	"strconv"
)

// Request is what a gateway needs to know of a request's body. It keeps the body itself, which must not change while
// the request or a reader of it is in use. The fields are read-only after ParseRequest; all methods are safe for
// concurrent use.
type Request struct {
	Operation        Operation
	Model            string // as the body names it; "" if it does not
	Stream           bool   // the answer is asked for as events: stream, or stream_format "sse" of Speech
	IncludeUsage     bool   // the client itself asked for stream_options.include_usage
	Background       bool   // of Responses: the answer comes at once, and the response goes on being made
	Store            bool   // of Responses: the service keeps the response, as it does unless "store" is false
	PreviousResponse string // of Responses: the id of the response that this one goes on from; "" if none
	HasMaxTokens     bool   // a limit for the output was given
	MaxTokens        int64  // max_tokens, max_completion_tokens or max_output_tokens, the largest; 0 … 2³¹
	N                int64  // answers per prompt: n or best_of, the larger; 1 … 128
	Text             Text   // characters of the prompt: messages, prompt, input, instructions, suffix; not roles, ids, urls, base64
	Texts            int    // the texts that Text counts; see RawText
	Extra            int64  // characters that are read by the model in another form: tools, formats, tool calls …
	Messages         int    // elements of messages
	Images           int    // image parts of messages or input
	PromptTokens     int64  // tokens in prompts and inputs given as arrays of tokens
	Inputs           int    // prompts, or inputs: 1 for a string or one array of tokens, else the length of the list

	body          []byte
	model         span // the value, null included; empty if absent
	streamOptions span // the value, null included; empty if absent
	includeUsage  span // the value inside streamOptions, null included; empty if absent
	bare          bool // streamOptions is {}
	previous      span // what to cut out to be rid of previous_response_id: the member and one comma; empty if absent
	first         int  // offset of the first member, behind the opening brace and white space
	memberCount   int
	texts         [5]int
	textCount     int // texts[:textCount] are the offsets of the values that Text counts
	rawTexts      [RawTexts]span

	holds hold
	whole Body // as it came
}

// span is a range of offsets in the body. No value begins at 0, so the zero span is "absent".
type span struct{ start, end int }

func (s span) absent() bool { return s.end == 0 }

const (
	maxTokenCount = 1 << 31 // no model is asked for more in one request
	maxN          = 128     // the most answers the API gives to one request
)

// ParseRequest reads the body of a request for op in one pass. The body must be one JSON object in valid UTF-8, nested
// at most 1000 levels; the top-level parameters that are read must have the right type, a value in range, and must not
// appear twice or in another case ("Model"): gateway and backend must not read different requests. Null counts as
// absent. Anything else in the body is left to the backend to judge. The error is for the client (400).
//
// The Request aliases body. Model is "" where the body has none.
func ParseRequest(op Operation, body []byte) (*Request, *Error) {
	r := new(Request)
	if fault := r.Parse(op, body); fault != nil {
		return nil, fault
	}
	return r, nil
}

// Parse is ParseRequest in the memory of r, which may have been another request before: one that was released, and of
// which free has been called.
func (r *Request) Parse(op Operation, body []byte) *Error {
	*r = Request{Operation: op, N: 1, Store: op == Responses, body: body}
	p := requestParser{promptReader: promptReader{scanner: scanner{buf: body}, raw: &r.rawTexts}, r: r}
	p.space()
	if p.pos == len(body) {
		return invalidJSON("the body is empty", 0)
	}
	if p.peek() != '{' {
		return invalidJSON("it must be an object", p.pos)
	}
	p.members()
	if !p.end() {
		if p.err == nil {
			p.err = invalidJSON(p.fault, p.at)
		}
		return p.err
	}
	r.Text, r.Texts, r.Extra, r.Images, r.PromptTokens = p.text, p.texts, p.extra, p.images, p.tokens
	r.holds.count.Store(1)
	r.whole.holds, r.whole.Segments = &r.holds, r.whole.array[:0]
	r.whole.append(body)
	return nil
}

// Bytes is the request's body as the client sent it; it must not be changed. It is empty if the body is a form.
func (r *Request) Bytes() []byte { return r.body }

// requestParser reads the members of a request's body.
type requestParser struct {
	promptReader
	r    *Request
	seen [len(fields)]bool
	err  *Error
}

// reject ends the walk with an error for the client.
func (p *requestParser) reject(e *Error) {
	if p.fault == "" {
		p.err = e
		p.stop()
	}
}

// members reads the object, all its top-level members.
func (p *requestParser) members() {
	r := p.r
	r.first = p.pos + 1 // of a body without members
	before := 0         // the end of the member before, 0 if there is none
	for more := p.open('{'); more; r.memberCount++ {
		start := p.pos
		if r.memberCount == 0 {
			r.first = start
		}
		f := p.member()
		end := p.pos
		more = p.next('}')
		if f == fieldPreviousResponse {
			switch {
			case more:
				r.previous = span{start, p.pos}
			case before > 0:
				r.previous = span{before, end}
			default:
				r.previous = span{start, end}
			}
		}
		before = end
	}
}

// member reads one top-level member.
func (p *requestParser) member() field {
	name := p.key()
	f, exact := fieldNamed(p.r.Operation, name)
	if f == fieldNone {
		p.skip()
		return f
	}
	spec, got := &fields[f], kindOf(p.peek())
	switch {
	case got == 0:
		p.failHere()
		return f
	case !exact:
		misspelt := Printable(string(name))
		p.reject(InvalidRequest(misspelt, fmt.Sprintf("Unknown parameter: '%s'. Did you mean '%s'?", misspelt, spec.name)))
		return f
	case p.seen[f]:
		p.reject(InvalidRequest(spec.name, fmt.Sprintf("Duplicate parameter: '%s'.", spec.name)))
		return f
	case got != kindNull && got&spec.kinds == 0:
		p.reject(wrongType(spec.name, spec.expected, got.String()))
		return f
	}
	p.seen[f] = true
	start := p.pos
	if got == kindNull {
		p.literal("null")
	} else {
		p.read(f)
	}
	switch f {
	case fieldModel:
		p.r.model = span{start, p.pos}
	case fieldStreamOptions:
		p.r.streamOptions = span{start, p.pos}
	}
	return f
}

// read reads the value of a field; it has one of the field's types and is not null.
func (p *requestParser) read(f field) {
	r := p.r
	switch f {
	case fieldModel:
		p.model()
	case fieldStream:
		r.Stream = p.boolean()
	case fieldStreamFormat:
		r.Stream = string(p.str().decoded(len("sse")+1)) == "sse"
	case fieldStreamOptions:
		p.streamOptions()
	case fieldBackground:
		r.Background = p.boolean()
	case fieldStore:
		r.Store = p.boolean()
	case fieldPreviousResponse:
		p.previousResponse()
	case fieldMaxTokens, fieldMaxCompletionTokens, fieldMaxOutputTokens:
		r.HasMaxTokens, r.MaxTokens = true, max(r.MaxTokens, p.integer(f, 0, maxTokenCount))
	case fieldN, fieldBestOf:
		r.N = max(r.N, p.integer(f, 1, maxN))
	case fieldMessages:
		p.noteText()
		r.Messages, _ = p.list(inText)
	case fieldPrompt, fieldInput:
		p.noteText()
		if p.peek() == '"' {
			p.value(inText)
			r.Inputs++
		} else if n, first := p.list(inTokens); first == kindNumber {
			r.Inputs++
		} else {
			r.Inputs += n
		}
	case fieldInstructions, fieldSuffix:
		p.noteText()
		p.value(inText)
	default:
		p.extraValue()
	}
}

// noteText remembers that the value at the position is text of the prompt.
func (p *requestParser) noteText() {
	p.r.texts[p.r.textCount] = p.pos
	p.r.textCount++
}

// boolean reads true or false.
func (p *requestParser) boolean() bool { return string(p.scalar()) == "true" }

// model reads the model's name.
func (p *requestParser) model() {
	t := p.str()
	if p.fault != "" {
		return
	}
	name := t.decoded(maxModelBytes + 1)
	if len(name) <= maxModelBytes {
		p.r.Model = string(name)
	}
	if !validModel(p.r.Model) {
		p.reject(InvalidRequest("model", fmt.Sprintf(
			"Invalid 'model': expected a name of 1 to %d bytes without control characters.", maxModelBytes)))
	}
}

// previousResponse reads the id of the response before.
func (p *requestParser) previousResponse() {
	const param = "previous_response_id"
	t := p.str()
	if p.fault != "" {
		return
	}
	id := t.decoded(maxIDBytes + 1)
	if !validID(id) {
		p.reject(InvalidRequest(param, fmt.Sprintf(
			"Invalid '%s': expected an ID of 1 to %d letters, digits, dots, underscores and hyphens.", param, maxIDBytes)))
		return
	}
	p.r.PreviousResponse = string(id)
}

// streamOptions reads stream_options, an object, of which we know include_usage.
func (p *requestParser) streamOptions() {
	const param = "stream_options.include_usage"
	r := p.r
	r.bare = true
	for more := p.open('{'); more; more = p.next('}') {
		r.bare = false
		if string(p.key()) != "include_usage" {
			p.skip()
			continue
		}
		start := p.pos
		switch got := kindOf(p.peek()); {
		case !r.includeUsage.absent():
			p.reject(InvalidRequest(param, "Duplicate parameter: '"+param+"'."))
		case got == kindNull:
			p.literal("null")
		case got != kindBool && got != 0:
			p.reject(wrongType(param, "a boolean", got.String()))
		default:
			r.IncludeUsage = p.boolean()
		}
		r.includeUsage = span{start, p.pos}
	}
}

// integer reads a number that must be whole and from low to high. 100.0 and 1e2 are whole.
func (p *requestParser) integer(f field, low, high int64) int64 {
	const longest = 64 // no honest integer is written longer
	raw := p.number()
	if p.fault != "" {
		return low
	}
	name := fields[f].name
	value, err := strconv.ParseFloat(string(raw[:min(len(raw), longest)]), 64)
	switch {
	case len(raw) > longest, err != nil && !math.IsInf(value, 0), value != math.Trunc(value):
		p.reject(wrongType(name, "an integer", "a decimal number"))
	case value < float64(low):
		p.reject(outOfRange(name, "below minimum", ">= "+strconv.FormatInt(low, 10), "integer_below_min_value", raw))
	case value > float64(high):
		p.reject(outOfRange(name, "above maximum", "<= "+strconv.FormatInt(high, 10), "integer_above_max_value", raw))
	default:
		return int64(value)
	}
	return low
}

// outOfRange is the error for an integer outside its range.
func outOfRange(param, where, expected, code string, got []byte) *Error {
	e := InvalidRequest(param, fmt.Sprintf("Invalid '%s': integer %s value. Expected a value %s, but got %s instead.",
		param, where, expected, got))
	e.Code = code
	return e
}

// invalidJSON is the error for a body that is no JSON object, or none that we accept.
func invalidJSON(fault string, at int) *Error {
	return InvalidRequest("", fmt.Sprintf("We could not parse the JSON body of your request: %s (byte %d).", fault, at))
}
