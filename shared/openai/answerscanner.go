package openai

import (
	"cmp"
	"math/bits"
)

// maxKeptBytes is how long a value that is looked for may be, so that a scanner keeps no more than 8 KiB while append
// doubles; real ones, a usage object and an id, are below 1 KiB.
const maxKeptBytes = 6 << 10

// AnswerScanner finds the usage object, the id and the status of a JSON answer of any size while the answer streams past
// in pieces cut anywhere. Only members of the top-level object count, not those deeper down or inside a string; of each
// the last sound one is taken. It keeps at most 8 KiB and nothing of the pieces it is given. It does not judge the
// JSON: what it finds in a malformed answer is unspecified. The zero value is ready for use. It is not safe for
// concurrent use.
type AnswerScanner struct {
	depth      int
	quoted     bool    // inside a string
	escaped    bool    // behind a backslash of a string
	expectName bool    // at depth 1, before a member's name
	finished   bool    // behind the top-level value, or it is no object
	named      keeping // at depth 1, behind a name that is looked for: what its value is
	keeping    keeping // what the bytes that come are kept for
	kept       []byte

	usage      Usage
	found      bool
	id, status string
}

// keeping is what an AnswerScanner keeps bytes for.
type keeping uint8

const (
	keepNothing keeping = iota
	keepName
	keepUsage
	keepID
	keepStatus
)

// Write takes the next piece of the answer. It never fails.
func (s *AnswerScanner) Write(p []byte) (int, error) {
	if s.depth == 0 && !s.quoted && !s.finished && len(p) <= maxKeptBytes && s.whole(p) {
		return len(p), nil
	}
	for i := 0; i < len(p) && !s.finished; i++ {
		if s.keeping == keepNothing {
			if s.quoted && !s.escaped {
				i = stringSpecial(p, i)
			} else if !s.quoted && s.depth > 1 {
				i = structural(p, i)
			}
			if i == len(p) {
				break
			}
		}
		s.step(p[i])
	}
	return len(p), nil
}

// Usage is the usage found so far.
func (s *AnswerScanner) Usage() (Usage, bool) { return s.usage, s.found }

// ID is the id found so far, of a response, a file or a batch: 1 to 256 letters, digits, dots, underscores and hyphens,
// and so one that a path can name; "" if there is none.
func (s *AnswerScanner) ID() string { return s.id }

// Status is the status found so far, "completed" or "in_progress"; "" if there is none. It is made like an ID.
func (s *AnswerScanner) Status() string { return s.status }

// whole takes an answer that comes at once, as the short ones do, and quicker than byte by byte. It returns false, and has
// found nothing, unless p begins with a sound object.
func (s *AnswerScanner) whole(p []byte) bool {
	found, w := *s, scanner{buf: p}
	w.space()
	for more := w.open('{'); more; more = w.next('}') {
		switch sought, c := soughtFor(w.key()), w.peek(); {
		case sought == keepUsage && c == '{':
			if u, ok := w.usage(); ok {
				found.usage, found.found = u, true
			}
		case sought == keepID && c == '"':
			found.id = cmp.Or(w.str().id(), found.id)
		case sought == keepStatus && c == '"':
			found.status = cmp.Or(w.str().id(), found.status)
		default:
			w.skip()
		}
	}
	if w.fault != "" {
		return false
	}
	found.finished = true
	*s = found
	return true
}

// step takes one byte.
func (s *AnswerScanner) step(c byte) {
	if s.keeping != keepNothing {
		s.keep(c)
	}
	switch {
	case s.escaped:
		s.escaped = false
	case s.quoted:
		s.escaped = c == '\\'
		if s.quoted = c != '"'; !s.quoted {
			s.endString()
		}
	case c == '"':
		s.quoted = true
		if s.depth == 1 && s.expectName {
			s.start(keepName)
			s.keep(c)
		}
	case c == '{', c == '[':
		s.depth++
		s.expectName = true
	case c == '}', c == ']':
		s.depth--
		s.finished = s.depth <= 0
		if s.depth == 1 {
			s.endObject()
		}
	case s.depth == 1 && c == ',':
		s.expectName = true
	case s.depth == 1 && c == ':':
		s.expectName = false
		s.start(s.named)
		s.named = keepNothing
	case s.depth == 0 && c > ' ':
		s.finished = true
	}
}

// start begins to keep bytes.
func (s *AnswerScanner) start(k keeping) {
	s.keeping, s.kept = k, s.kept[:0]
}

// keep keeps a byte, or gives up what has become too long.
func (s *AnswerScanner) keep(c byte) {
	if len(s.kept) == maxKeptBytes {
		s.keeping = keepNothing
		return
	}
	s.kept = append(s.kept, c)
}

// endString takes the string that was kept: a name, which decides what is looked for behind it, or a value.
func (s *AnswerScanner) endString() {
	if s.keeping == keepNothing || s.depth > 1 {
		return
	}
	kept := scanner{buf: s.kept}
	kept.space()
	t := kept.str()
	sound := kept.end()
	switch s.keeping {
	case keepName:
		s.expectName = false
		if sound {
			s.named = soughtFor(t.decoded(len(s.kept)))
		}
	case keepID:
		if id := t.id(); sound && id != "" {
			s.id = id
		}
	case keepStatus:
		if status := t.id(); sound && status != "" {
			s.status = status
		}
	}
	s.keeping = keepNothing
}

// soughtFor is what the value of a member with this name is kept for.
func soughtFor(name []byte) keeping {
	switch string(name) {
	case "usage":
		return keepUsage
	case "id":
		return keepID
	case "status":
		return keepStatus
	}
	return keepNothing
}

// endObject takes the object that was kept, if it is a usage.
func (s *AnswerScanner) endObject() {
	if s.keeping == keepUsage {
		if u, ok := ParseUsage(s.kept); ok {
			s.usage, s.found = u, true
		}
	}
	s.keeping = keepNothing
}

// stringSpecial is the offset of the first quote or backslash of p from i on, or len(p).
func stringSpecial(p []byte, i int) int {
	for ; len(p)-i >= 8; i += 8 {
		x := word(p[i:])
		quote, backslash := x^(ones*'"'), x^(ones*'\\')
		if special := ((quote-ones)&^quote | (backslash-ones)&^backslash) & highs; special != 0 {
			return i + bits.TrailingZeros64(special)>>3
		}
	}
	for i < len(p) && p[i] != '"' && p[i] != '\\' {
		i++
	}
	return i
}

// structural is the offset of the first quote or bracket of p from i on, or len(p).
func structural(p []byte, i int) int {
	for ; len(p)-i >= 8; i += 8 {
		x := word(p[i:])
		quote, opened, closed := x^(ones*'"'), (x|ones*0x20)^(ones*'{'), (x|ones*0x20)^(ones*'}') // '[' and ']' lack the bit 0x20
		if special := ((quote-ones)&^quote | (opened-ones)&^opened | (closed-ones)&^closed) & highs; special != 0 {
			return i + bits.TrailingZeros64(special)>>3
		}
	}
	for ; i < len(p); i++ {
		switch p[i] {
		case '"', '{', '}', '[', ']':
			return i
		}
	}
	return i
}
