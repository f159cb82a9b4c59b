package openai

import "unicode/utf8"

// run is text at the beginning of what is left of a string: plain bytes, escapes of one letter and characters that are
// not ASCII. It never ends inside an escape or a character.
type run struct {
	size    int // bytes
	escapes int // each two bytes, and one ASCII character
	wide    int // bytes that are not ASCII
	runes   int // characters that those are
}

// hasBlocks tells whether blockRun can be used. Only tests change it.
var hasBlocks = canReadBlocks()

// textRun measures the text of a string from i on. It may end before the text does, but is empty only at what is
// neither: a quote, an escape of several letters, or a fault. All of buf before i must be sound.
//
// Where the processor can, it is measured by blocks, whatever is in them; else, and near the end, by words.
func textRun(buf []byte, i int) run {
	if hasBlocks {
		if r := blockRun(buf, i); r.size > 0 {
			return r
		}
	}
	return wordRun(buf[i:])
}

// wordRun measures text to its end: what is plain, what has escapes and what is not ASCII each by a run of its kind.
func wordRun(buf []byte) (r run) {
	for r.size < len(buf) {
		rest := buf[r.size:]
		switch c := rest[0]; {
		case c == '"':
			return r
		case c == '\\':
			if _, size := unescape(rest); size != len(`\n`) {
				return r
			}
			size, escapes := escapedRun(rest[2:]) // an escape seldom comes alone
			r.size += 2 + size
			r.escapes += 1 + escapes
		case c >= utf8.RuneSelf:
			size, wide, runes := wideRun(rest)
			if size == 0 {
				return r
			}
			r.size += size
			r.wide += wide
			r.runes += runes
		case c < ' ':
			return r
		default:
			r.size += plainRun(rest) // at least one
		}
	}
	return r
}
