package upstream

import (
	"bytes"

	"spillway/shared/openai"
)

// longEvent is an event too long to hold, a picture or the whole of a long response:
// it passes in pieces, and what must be known of it is found on the way.
type longEvent struct {
	op      openai.Operation
	end     lineEnd
	begun   bool
	name    []byte               // its type; empty if it has none
	within  bool                 // what is scanned is the response inside of it
	scanner openai.AnswerScanner // of the object that tells its usage
}

// maxType is how long the type of an event may be.
const maxType = 64

// pass takes the next piece of the event, and returns the length of what belongs to it,
// −1 if all of it does.
func (l *longEvent) pass(p []byte) int {
	end := l.end.find(p)
	if end >= 0 {
		p = p[:end]
	}
	if !l.begun {
		l.begun = true
		p = l.begin(p)
	}
	_, _ = l.scanner.Write(p)
	return end
}

// begin reads the type of the event from its first piece, and returns what of it is to
// be scanned: the response in it, if it is about one, else its whole object.
func (l *longEvent) begin(p []byte) []byte {
	start := bytes.IndexByte(p, '{')
	if start < 0 {
		return nil
	}
	lines, _ := openai.LastEvent(p[:start])
	object := p[start:]
	l.name = bytes.Clone(lines.Name)
	if len(l.name) == 0 {
		l.name = bytes.Clone(typeIn(object[:min(len(object), 4*maxType)]))
	}
	if !bytes.HasPrefix(l.name, []byte("response.")) {
		return object
	}
	l.within = true
	_, response, _ := bytes.Cut(object, []byte(`"response":`))
	return response
}

// typeIn is the value of the member "type" at the beginning of an event's object, nil
// if it is not there.
func typeIn(object []byte) []byte {
	_, rest, _ := bytes.Cut(object, []byte(`"type":`))
	value, quoted := bytes.CutPrefix(bytes.TrimLeft(rest, " "), []byte(`"`))
	end := bytes.IndexByte(value, '"')
	if !quoted || end < 0 || end > maxType {
		return nil
	}
	return value[:end]
}

// chunk is what the event was that has passed: what one of its type is with nothing in it, and what was
// found on the way.
func (l *longEvent) chunk() *openai.Chunk {
	if len(l.name) == 0 {
		return new(openai.Chunk)
	}
	chunk := openai.ParseChunk(l.op, openai.Event{Name: l.name, Data: []byte("{}")})
	chunk.Usage, chunk.HasUsage = l.scanner.Usage()
	if l.within {
		chunk.ID, chunk.Status = l.scanner.ID(), l.scanner.Status()
	}
	return &chunk
}

// lineEnd finds the blank line that ends an event which comes in pieces.
type lineEnd struct {
	inLine bool // the current line is not empty
	cr     bool // the last byte was a carriage return
}

// find returns the length of what belongs to the event, −1 if all of p does.
func (l *lineEnd) find(p []byte) int {
	for i, c := range p {
		switch {
		case c == '\n' && l.cr:
			l.cr = false
		case c == '\n' || c == '\r':
			if !l.inLine {
				return i + 1
			}
			l.inLine, l.cr = false, c == '\r'
		default:
			l.inLine, l.cr = true, false
		}
	}
	return -1
}
