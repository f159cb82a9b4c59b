package openai

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
)

// Request is what a gateway needs to know of a request's body. It keeps the body itself, which must not change while
// the request or a reader of it is in use. The fields are read-only after ParseRequest; all methods are safe for
// concurrent use.
type Request struct {
	Operation    Operation
	Model        string // as the body names it; "" if it does not
	Stream       bool
	IncludeUsage bool  // the client itself asked for stream_options.include_usage
	HasMaxTokens bool  // a limit for the output was given
	MaxTokens    int64 // max_tokens or max_completion_tokens, the larger; 0 … 2³¹
	N            int64 // answers per prompt: n or best_of, the larger; 1 … 128
	Text         Text  // characters of the prompt: messages, prompt, input, instructions, suffix; not roles, ids, urls, base64
	Extra        int64 // characters that are read by the model in another form: tools, functions, response_format, tool calls …
	Messages     int   // elements of messages
	Images       int   // image parts of messages or input
	PromptTokens int64 // tokens in prompts and inputs given as arrays of tokens
	Inputs       int   // prompts, or inputs: 1 for a string or one array of tokens, else the length of the list

	body          []byte
	model         span // the value, null included; empty if absent
	streamOptions span // the value, null included; empty if absent
	includeUsage  span // the value inside streamOptions, null included; empty if absent
	bare          bool // streamOptions is {}
	first         int  // offset of the first member, behind the opening brace and white space
	memberless    bool // the body is {}
	texts         [5]int
	textCount     int // texts[:textCount] are the offsets of the values that Text counts

	holds hold
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
	r := &Request{Operation: op, N: 1, body: body}
	p := requestParser{promptReader: promptReader{scanner: scanner{buf: body}}, r: r}
	p.space()
	if p.pos == len(body) {
		return nil, invalidJSON("the body is empty", 0)
	}
	if p.peek() != '{' {
		return nil, invalidJSON("it must be an object", p.pos)
	}
	r.memberless = true
	for more := p.open('{'); more; more = p.next('}') {
		if r.memberless {
			r.memberless, r.first = false, p.pos
		}
		p.member()
	}
	if r.memberless {
		r.first = bytes.IndexByte(body, '{') + 1
	}
	if !p.end() {
		if p.err == nil {
			p.err = invalidJSON(p.fault, p.at)
		}
		return nil, p.err
	}
	r.Text, r.Extra, r.Images, r.PromptTokens = p.text, p.extra, p.images, p.tokens
	r.holds.count.Store(1)
	return r, nil
}

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

// member reads one top-level member.
func (p *requestParser) member() {
	name := p.key()
	f, exact := fieldNamed(name)
	if f == fieldNone || fields[f].generation && !p.r.Operation.generates() {
		p.skip()
		return
	}
	spec, got := &fields[f], kindOf(p.peek())
	switch {
	case got == 0:
		p.failHere()
		return
	case !exact:
		misspelt := Printable(string(name))
		p.reject(InvalidRequest(misspelt, fmt.Sprintf("Unknown parameter: '%s'. Did you mean '%s'?", misspelt, spec.name)))
		return
	case p.seen[f]:
		p.reject(InvalidRequest(spec.name, fmt.Sprintf("Duplicate parameter: '%s'.", spec.name)))
		return
	case got != kindNull && got&spec.kinds == 0:
		p.reject(wrongType(spec.name, spec.expected, got.String()))
		return
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
}

// read reads the value of a field; it has one of the field's types and is not null.
func (p *requestParser) read(f field) {
	r := p.r
	switch f {
	case fieldModel:
		p.model()
	case fieldStream:
		r.Stream = p.boolean()
	case fieldStreamOptions:
		p.streamOptions()
	case fieldMaxTokens, fieldMaxCompletionTokens:
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
