package openai

import (
	"unicode"
	"unicode/utf8"
)

// token is a string of the text: its raw bytes between the quotes, and the characters it decodes to.
type token struct {
	raw     []byte
	text    Text
	escaped bool // raw has escapes
}

// decoded is the token's string, in raw itself where nothing is escaped. The result of an escaped one is cut at max
// bytes.
func (t token) decoded(max int) []byte {
	if !t.escaped {
		return t.raw
	}
	return appendDecoded(nil, t.raw, max)
}

// str reads a string. Most are short, and plain from quote to quote.
func (s *scanner) str() token {
	if s.peek() != '"' {
		s.failHere()
		return token{}
	}
	const short = 64
	start := s.pos + 1
	plain, _ := plainWords(s.buf[start:min(len(s.buf), start+short)])
	end := start + plain
	if end < len(s.buf) && s.buf[end] == '"' {
		s.pos = end + 1
		return token{raw: s.buf[start:end], text: Text{ASCII: int64(end - start)}}
	}
	return s.mixed(start, end)
}

// placeOf is where t, the string that was just read, stands between its quotes: a half-open range of offsets, zeros if
// it is empty.
func (s *scanner) placeOf(t token) [2]int {
	if len(t.raw) == 0 {
		return [2]int{}
	}
	end := s.pos - len(`"`)
	return [2]int{end - len(t.raw), end}
}

// mixed reads on in a string that begins at start and is plain up to i.
func (s *scanner) mixed(start, i int) token {
	buf := s.buf
	var t token
	taken := 0 // bytes beyond one for each ASCII character
	for i < len(buf) {
		switch c := buf[i]; {
		case c == '"':
			t.raw = buf[start:i]
			t.text.ASCII += int64(i - start - taken)
			s.pos = i + 1
			return t
		case c == '\\' && i+1 < len(buf) && buf[i+1] == 'u':
			r, size := unescapeHex(buf[i:])
			if size == 0 {
				return s.failString(i, "invalid escape")
			}
			t.escaped = true
			t.text.add(r)
			taken += size
			i += size
		default:
			run := textRun(buf, i)
			if run.size == 0 {
				return s.failString(i, faultOf(c))
			}
			t.escaped = t.escaped || run.escapes > 0
			t.text.Other += int64(run.runes)
			s.wide += run.wide - run.runes
			taken += run.escapes + run.wide
			i += run.size
		}
	}
	return s.failString(i, "unexpected end")
}

// failString ends the walk at a fault of a string.
func (s *scanner) failString(at int, fault string) token {
	s.pos = at
	s.fail(fault)
	return token{}
}

// faultOf says what is wrong with text that begins with c, when no more of it can be read.
func faultOf(c byte) string {
	switch {
	case c == '\\':
		return "invalid escape"
	case c < ' ':
		return "control character in a string"
	default:
		return "invalid UTF-8"
	}
}

// unescape decodes the escape at the beginning of buf, a backslash; size 0 if it is none. Half a surrogate pair is
// sound JSON and decodes to U+FFFD, as encoding/json has it.
func unescape(buf []byte) (r rune, size int) {
	if len(buf) < 2 {
		return 0, 0
	}
	switch c := buf[1]; c {
	case '"', '\\', '/':
		return rune(c), 2
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		return unescapeHex(buf)
	}
	return 0, 0
}

// unescapeHex decodes \uXXXX, or two of them that are a surrogate pair.
func unescapeHex(buf []byte) (r rune, size int) {
	first, ok := hex4(buf)
	if !ok {
		return 0, 0
	}
	if first < 0xD800 || first > 0xDFFF {
		return first, 6
	}
	if second, ok := hex4(buf[6:]); ok && first < 0xDC00 && second >= 0xDC00 && second <= 0xDFFF {
		return 0x10000 + (first-0xD800)<<10 + (second - 0xDC00), 12
	}
	return utf8.RuneError, 6
}

// hex4 reads \uXXXX.
func hex4(buf []byte) (rune, bool) {
	if len(buf) < 6 || buf[0] != '\\' || buf[1] != 'u' {
		return 0, false
	}
	r := hexDigit[buf[2]]<<12 | hexDigit[buf[3]]<<8 | hexDigit[buf[4]]<<4 | hexDigit[buf[5]]
	return r, r >= 0
}

// hexDigit is the value of each hexadecimal digit, and negative for all other bytes, even when shifted.
var hexDigit = func() (values [256]rune) {
	for c := range values {
		values[c] = -1
	}
	for i, c := range "0123456789abcdef" {
		values[c], values[unicode.ToUpper(c)] = rune(i), rune(i)
	}
	return values
}()

// appendDecoded appends a token's decoded string to dst, as many whole characters as fit into max more bytes.
func appendDecoded(dst, raw []byte, max int) []byte {
	limit := len(dst) + max
	for i := 0; i < len(raw); {
		start := i
		for i < len(raw) && raw[i] != '\\' {
			i++
		}
		if plain := raw[start:i]; len(dst)+len(plain) > limit {
			return append(dst, cut(plain, limit-len(dst))...)
		}
		dst = append(dst, raw[start:i]...)
		if i == len(raw) {
			break
		}
		r, size := unescape(raw[i:])
		if len(dst)+utf8.RuneLen(r) > limit {
			break
		}
		dst = utf8.AppendRune(dst, r)
		i += size
	}
	return dst
}

// cut shortens text to at most max bytes without splitting a character.
func cut[T []byte | string](text T, max int) T {
	if len(text) <= max {
		return text
	}
	for max > 0 && !utf8.RuneStart(text[max]) {
		max--
	}
	return text[:max]
}
