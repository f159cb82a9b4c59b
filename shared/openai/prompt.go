package openai

import "iter"

// PromptText yields the decoded texts of the prompt, those that Text counts, one by one in the order of the body, and
// no more than max bytes in all: the last one may be cut, between two characters. A yielded slice may alias the body
// and is valid until the next one is asked for; it must not be changed.
func (r *Request) PromptText(max int) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		if max <= 0 {
			return
		}
		p := promptReader{left: max, yield: yield}
		for _, at := range r.texts[:r.textCount] {
			p.scanner = scanner{buf: r.body, pos: at}
			p.value(inText)
			if p.fault != "" {
				return
			}
		}
	}
}

// RawTexts is how many texts of a prompt RawText has, and no more: most prompts have few.
const RawTexts = 8

// RawText is the text with that number, from 0 on, as it stands in the body between its quotes, with its escapes; i must be
// less than Texts and RawTexts. It aliases the body, and must not be changed.
func (r *Request) RawText(i int) []byte {
	at := r.rawTexts[i]
	return r.body[at.start:at.end]
}

// place is where in a prompt a value stands; it decides what the value's strings and numbers count as.
type place uint8

const (
	inText   place = iota // strings are text of the prompt
	inTokens              // an array of an input or prompt: strings are text, numbers are tokens
	inCall                // a tool call the model made: strings are extra
)

// promptReader walks the values that hold the text of a prompt. It counts what it finds; with yield set, it
// passes on the text instead.
type promptReader struct {
	scanner
	text   Text
	texts  int
	raw    *[RawTexts]span // where the first of the texts stand
	extra  int64           // characters
	tokens int64
	images int

	yield   func([]byte) bool // nil: count
	left    int               // bytes that may still be yielded
	scratch []byte            // holds the yielded text where it had to be decoded
}

// value reads a value that stands at a place.
func (p *promptReader) value(at place) {
	switch p.peek() {
	case '{':
		p.object(at)
	case '[':
		p.list(at)
	case '"':
		t := p.str()
		if at == inCall {
			p.extra += t.text.Characters()
		} else {
			p.take(t)
		}
	default:
		if c := p.peek(); at == inTokens && kindOf(c) == kindNumber {
			p.tokens++
		}
		p.scalar()
	}
}

// list reads an array and returns how many elements it has, and the kind of the first.
func (p *promptReader) list(at place) (n int, first kind) {
	for more := p.open('['); more; more = p.next(']') {
		if n == 0 {
			first = kindOf(p.peek())
		}
		p.value(at)
		n++
	}
	return n, first
}

// object reads an object: a message, a part of its content, a tool call.
func (p *promptReader) object(at place) {
	if at == inTokens {
		at = inText
	}
	for more := p.open('{'); more; more = p.next('}') {
		switch string(p.key()) {
		case "type":
			p.partType(at)
		case "role", "id", "tool_call_id", "call_id", "url", "image_url", "file_id", "file_url", "file_data", "data", "detail",
			"format", "filename", "status", "encrypted_content", "result":
			p.skip()
		case "name":
			if at == inCall {
				p.value(inCall)
			} else {
				p.skip()
			}
		case "tool_calls", "function_call", "arguments":
			p.value(inCall)
		default:
			p.value(at)
		}
	}
}

// partType reads the type of a part of a message.
func (p *promptReader) partType(at place) {
	const longest = 32
	if p.peek() != '"' {
		p.skip()
		return
	}
	switch t := p.str(); string(t.decoded(longest)) {
	case "image_url", "input_image", "computer_screenshot":
		if at == inText {
			p.images++
		}
	}
}

// extraValue reads a value that counts with all its characters as they are written: a schema, a list of tools.
func (p *promptReader) extraValue() {
	start, wide := p.pos, p.wide
	p.skip()
	if p.fault == "" {
		p.extra += int64(p.pos - start - (p.wide - wide))
	}
}

// take counts or yields a text.
func (p *promptReader) take(t token) {
	if p.yield == nil {
		p.text = p.text.Plus(t.text)
		if p.texts < RawTexts {
			end := p.pos - len(`"`)
			p.raw[p.texts] = span{end - len(t.raw), end}
		}
		p.texts++
		return
	}
	text := t.raw
	if t.escaped {
		p.scratch = appendDecoded(p.scratch[:0], t.raw, p.left)
		text = p.scratch
	}
	text = cut(text, p.left)
	p.left -= len(text)
	if len(text) > 0 && !p.yield(text) || p.left == 0 {
		p.stop()
	}
}
