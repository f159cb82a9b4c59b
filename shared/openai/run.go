package openai

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// The runs of this file read the inside of a string by words of eight bytes: one operation on a word works on all its
// bytes, and the answer for a byte is the highest bit of that byte. Sums and differences carry only upward, and only
// out of a byte that is itself special, so the lowest byte that is marked is marked truly (Bit Twiddling Hacks,
// "Determine if a word has a zero byte"). Processors that read no blocks read all text so, the others what is short.
const (
	ones  = 0x0101010101010101
	lows  = 0x7F7F7F7F7F7F7F7F
	highs = 0x8080808080808080
)

// plainWords is how many bytes at the beginning of buf are plain: ASCII but for control characters, quotes and
// backslashes. It stops before a word that is not whole, and ended is false.
func plainWords(buf []byte) (size int, ended bool) {
	i := 0
	for ; len(buf)-i >= 8; i += 8 {
		x := word(buf[i:])
		// x^2 makes a quote 0x20 and only exchanges control characters, so both are below 0x21 (Lemire, "Detect control
		// characters, quotes and backslashes efficiently using SWAR").
		if special := (x | ((x ^ ones*2) - ones*0x21) | ((x ^ ones*'\\') - ones)) & highs; special != 0 {
			return i + bits.TrailingZeros64(special)>>3, true
		}
	}
	return i, false
}

// plainRun is how many bytes at the beginning of buf are plain, however many.
//
// It reads words first, as text is often interrupted soon, and then blocks that stay in the processor's nearest cache: a
// quote or a backslash is found at the speed of bytes.IndexByte, and what lies before it need only be asked for control
// characters and bytes beyond ASCII. Blocks begin small, so that little is searched in vain where the text is
// interrupted often.
func plainRun(buf []byte) int {
	const (
		short        = 256
		firstBlock   = 512
		largestBlock = 4 << 10
	)
	i, ended := plainWords(buf[:min(len(buf), short)])
	if ended {
		return i
	}
	for block := firstBlock; i < len(buf); block = min(2*block, largestBlock) {
		text := buf[i:min(i+block, len(buf))]
		n := printable(before(before(text, '"'), '\\'))
		i += n
		if n < len(text) {
			break
		}
	}
	return i
}

// word is the first eight bytes of b.
func word(b []byte) uint64 { return binary.LittleEndian.Uint64(b) }

// before is text up to the first c, or all of it.
func before(text []byte, c byte) []byte {
	if i := bytes.IndexByte(text, c); i >= 0 {
		return text[:i]
	}
	return text
}

// printable is how many bytes at the beginning of text are ASCII but for control characters.
func printable(text []byte) int {
	i := 0
	for len(text)-i >= 64 {
		b := (*[64]byte)(text[i:])
		x0, x1, x2, x3 := word(b[0:]), word(b[8:]), word(b[16:]), word(b[24:])
		x4, x5, x6, x7 := word(b[32:]), word(b[40:]), word(b[48:]), word(b[56:])
		wide := x0 | x1 | x2 | x3 | x4 | x5 | x6 | x7
		control := (x0 - ones*' ') | (x1 - ones*' ') | (x2 - ones*' ') | (x3 - ones*' ') |
			(x4 - ones*' ') | (x5 - ones*' ') | (x6 - ones*' ') | (x7 - ones*' ')
		if (wide|control)&highs != 0 {
			break
		}
		i += 64
	}
	for ; len(text)-i >= 8; i += 8 {
		x := word(text[i:])
		if special := (x | (x - ones*' ')) & highs; special != 0 {
			return i + bits.TrailingZeros64(special)>>3
		}
	}
	for i < len(text) && text[i] >= ' ' && text[i] < 0x80 {
		i++
	}
	return i
}

// escapedRun measures text with many escapes at the beginning of buf, code or JSON inside of JSON: plain bytes, and
// escapes of one letter. It tells how many bytes that is, up to where no escape has come for a while, and how many
// escapes are in it, all of ASCII characters. Where they are is not asked by a branch for each, which the processor
// would guess wrong half the time: every word is taken alike, and ends the run only if something in it is neither.
func escapedRun(buf []byte) (size, escapes int) {
	const while = 256
	var counts uint64  // the escapes of the last while, by their place in a word; at most 128, as each has two bytes
	var escaped uint64 // the lowest byte is marked if the byte before was a backslash
	for ; len(buf)-size >= 8; size += 8 {
		if size%while == 0 && size > 0 {
			if counts == 0 {
				break
			}
			escapes += sum(counts)
			counts = 0
		}
		x := word(buf[size:])
		backslash := ^((x ^ ones*'\\') + lows) & highs
		escaped |= backslash << 8
		notQuote, notN, notT := (x^ones*'"')+lows, (x^ones*'n')+lows, (x^ones*'t')+lows
		notControl := x + ones*(0x80-' ')
		end := (x | ^((notQuote | escaped) & notControl)) & highs
		if other := escaped & notQuote & notN & notT; end|other != 0 {
			if end |= notLetters(x, other); end != 0 {
				at := bits.TrailingZeros64(end)
				size += at >> 3
				counts += backslash & (1<<at - 1) >> 7
				escaped &= 1 << at
				break
			}
		}
		counts += backslash >> 7
		escaped = backslash >> 56
	}
	escapes += sum(counts)
	if escaped != 0 { // the escape is not whole
		return size - 1, escapes - 1
	}
	return size, escapes
}

// sum adds up the bytes of x, which are together less than 256.
func sum(x uint64) int { return int(x * ones >> 56) }

// notLetters marks those of the marked bytes of x that are no letter of an escape: "/", "b", "f" or "r".
func notLetters(x, marked uint64) (others uint64) {
	for ; marked != 0; marked &= marked - 1 {
		at := bits.TrailingZeros64(marked)
		switch byte(x >> (at &^ 7)) {
		case '/', 'b', 'f', 'r':
		default:
			others |= 1 << at
		}
	}
	return others
}

// wideRun measures text that is not ASCII at the beginning of buf: how many bytes it is, how many of them are not ASCII,
// and how many characters those are. The size is 0 if the first character is invalid.
func wideRun(buf []byte) (size, wide, runes int) {
	for size < len(buf) && buf[size] >= utf8.RuneSelf {
		switch b := buf[size:]; {
		case isTriple(b):
			n := 1
			for isTriple(b[3*n:]) {
				n++
			}
			size, wide, runes = size+3*n, wide+3*n, runes+n
		case isPair(b):
			size, wide, runes = size+2, wide+2, runes+1
			if len(b) > 2 && b[2] >= utf8.RuneSelf { // a word of Cyrillic, and no umlaut
				words, pairs := pairRun(b[2:])
				size, wide, runes = size+words, wide+2*pairs, runes+pairs
			}
		default:
			r, n := utf8.DecodeRune(b)
			if r == utf8.RuneError && n <= 1 {
				return size, wide, runes // the caller meets the bad byte again, as the first
			}
			size, wide, runes = size+n, wide+n, runes+1
		}
	}
	return size, wide, runes
}

// isTriple tells whether b begins with one of the usual characters of three bytes, CJK above all; those whose first byte
// is 0xE0 or 0xED have stricter rules.
func isTriple(b []byte) bool {
	return len(b) >= 3 && b[0]&0xF0 == 0xE0 && b[0] != 0xE0 && b[0] != 0xED && b[1]&0xC0 == 0x80 && b[2]&0xC0 == 0x80
}

// isPair tells whether b begins with a character of two bytes.
func isPair(b []byte) bool {
	return len(b) >= 2 && b[0]&0xE0 == 0xC0 && b[0] >= 0xC2 && b[1]&0xC0 == 0x80
}

// pairRun measures text with many characters of two bytes at the beginning of buf, up to eight bytes without any: how
// many bytes it is, and how many such characters are in it; all others are plain. Their first byte is 110xxxxx, though
// 0xC0 and 0xC1 are none, and their second is 10xxxxxx.
func pairRun(buf []byte) (size, pairs int) {
	var second uint64 // the lowest byte is marked if the byte before was a first one
	for ; len(buf)-size >= 8; size += 8 {
		x := word(buf[size:])
		notASCII := x & highs
		first := notASCII & (x << 1)
		second |= first << 8
		overlong := first &^ (((x &^ ones & lows) ^ ones*0x40) + lows)
		special := (((x ^ ones*2) - ones*0x21) | ((x ^ ones*'\\') - ones)) &^ x & highs
		if notASCII == 0 || notASCII&^first^second|first&(x<<2)|overlong|special != 0 {
			break
		}
		pairs += bits.OnesCount64(first)
		second = first >> 56
	}
	if second&0x80 != 0 { // the last character is not whole
		return size - 1, pairs - 1
	}
	return size, pairs
}
