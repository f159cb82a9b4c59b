package openai

import (
	"encoding/binary"
	"math/bits"
)

// maxUsageBytes is how long a usage object may be, so that a scanner keeps no more than 8 KiB while append doubles;
// real ones are below 1 KiB.
const maxUsageBytes = 6 << 10

// UsageScanner finds the usage object of a JSON answer of any size while the answer streams past in pieces cut
// anywhere. Only a member "usage" of the top-level object counts, not one deeper down or inside a string; the last
// sound one is taken. It keeps at most 8 KiB and nothing of the pieces it is given. It does not judge the JSON: what
// it finds in a malformed answer is unspecified. The zero value is ready for use. It is not safe for concurrent use.
type UsageScanner struct {
	depth      int
	quoted     bool    // inside a string
	escaped    bool    // behind a backslash of a string
	expectName bool    // at depth 1, before a member's name
	named      bool    // at depth 1, behind the name "usage"
	finished   bool    // behind the top-level value, or it is no object
	keeping    keeping // what the bytes that come are kept for
	kept       []byte

	usage Usage
	found bool
}

// keeping is what a UsageScanner keeps bytes for.
type keeping uint8

const (
	keepNothing keeping = iota
	keepName
	keepValue
)

// Write takes the next piece of the answer. It never fails.
func (s *UsageScanner) Write(p []byte) (int, error) {
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
func (s *UsageScanner) Usage() (Usage, bool) { return s.usage, s.found }

// step takes one byte.
func (s *UsageScanner) step(c byte) {
	if s.keeping != keepNothing {
		s.keep(c)
	}
	switch {
	case s.escaped:
		s.escaped = false
	case s.quoted:
		s.escaped = c == '\\'
		if s.quoted = c != '"'; !s.quoted && s.keeping == keepName {
			s.endName()
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
		if s.depth == 1 && s.keeping == keepValue {
			s.endValue()
		}
	case s.depth == 1 && c == ',':
		s.expectName = true
	case s.depth == 1 && c == ':':
		s.expectName = false
		if s.named {
			s.named = false
			s.start(keepValue)
		}
	case s.depth == 0 && c > ' ':
		s.finished = true
	}
}

// start begins to keep bytes.
func (s *UsageScanner) start(k keeping) {
	s.keeping, s.kept = k, s.kept[:0]
}

// keep keeps a byte, or gives up what has become too long.
func (s *UsageScanner) keep(c byte) {
	if len(s.kept) == maxUsageBytes {
		s.keeping = keepNothing
		return
	}
	s.kept = append(s.kept, c)
}

// endName decides whether the name that was kept, with its quotes, is the one that is looked for.
func (s *UsageScanner) endName() {
	s.keeping, s.expectName = keepNothing, false
	name := scanner{buf: s.kept}
	t := name.str()
	s.named = name.end() && string(t.decoded(len(s.kept))) == "usage"
}

// endValue takes the object that was kept, if it is a usage.
func (s *UsageScanner) endValue() {
	s.keeping = keepNothing
	if u, ok := ParseUsage(s.kept); ok {
		s.usage, s.found = u, true
	}
}

// stringSpecial is the offset of the first quote or backslash of p from i on, or len(p).
func stringSpecial(p []byte, i int) int {
	for ; i+8 <= len(p); i += 8 {
		x := binary.LittleEndian.Uint64(p[i:])
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
	for i < len(p) {
		switch p[i] {
		case '"', '{', '}', '[', ']':
			return i
		}
		i++
	}
	return i
}
