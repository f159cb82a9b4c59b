package openai

import (
	"encoding/binary"
	"math/bits"
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

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// str reads a string. Plain ASCII goes by eight bytes at a time: a byte has its high bit set in special if it is below
// 0x20, a quote, a backslash or not ASCII; the lowest such bit is never false, because borrows only travel upward from
// a byte that is special itself (Bit Twiddling Hacks, "Determine if a word has a zero byte").
func (s *scanner) str() token {
	if s.peek() != '"' {
		s.failHere()
		return token{}
	}
	buf, start := s.buf, s.pos+1
	i := start
	var t token
	taken := 0 // bytes of escapes and of characters that are not ASCII
	for {
		for i+8 <= len(buf) {
			x := binary.LittleEndian.Uint64(buf[i:])
			special := (x | (x - ones*' ') | ((x ^ ones*'"') - ones) | ((x ^ ones*'\\') - ones)) & highs
			if special != 0 {
				i += bits.TrailingZeros64(special) >> 3
				break
			}
			i += 8
		}
		if i >= len(buf) {
			s.pos = len(buf)
			s.fail("unexpected end")
			return token{}
		}
		switch c := buf[i]; {
		case c == '"':
			t.raw = buf[start:i]
			t.text.ASCII += int64(i - start - taken)
			s.pos = i + 1
			return t
		case c == '\\':
			r, size := unescape(buf[i:])
			if size == 0 {
				s.pos = i
				s.fail("invalid escape")
				return token{}
			}
			t.escaped = true
			t.text.add(r)
			taken += size
			i += size
		case c >= utf8.RuneSelf:
			size, runes := wideRun(buf[i:])
			if size == 0 {
				s.pos = i
				s.fail("invalid UTF-8")
				return token{}
			}
			t.text.Other += int64(runes)
			taken += size
			s.wide += size - runes
			i += size
		case c < ' ':
			s.pos = i
			s.fail("control character in a string")
			return token{}
		default: // the last bytes of the text, too few for a word
			i++
		}
	}
}

// wideRun measures the run of characters that are not ASCII at the beginning of buf; size 0 if the first is invalid.
func wideRun(buf []byte) (size, runes int) {
	for size < len(buf) && buf[size] >= utf8.RuneSelf {
		// Most of them, CJK above all, have three bytes; 0xE0 and 0xED have stricter rules.
		if b := buf[size:]; len(b) >= 3 && b[0]&0xF0 == 0xE0 && b[0] != 0xE0 && b[0] != 0xED && b[1]&0xC0 == 0x80 && b[2]&0xC0 == 0x80 {
			size += 3
			runes++
			continue
		}
		r, n := utf8.DecodeRune(buf[size:])
		if r == utf8.RuneError && n <= 1 {
			return size, runes // the caller meets the bad byte again, as the first
		}
		size += n
		runes++
	}
	return size, runes
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
	var r rune
	for _, c := range buf[2:6] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

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
