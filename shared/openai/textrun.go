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
// Where the processor can, whole blocks are measured at once, whatever is in them; else text is measured by runs of its
// kinds.
func textRun(buf []byte, i int) run {
	if hasBlocks {
		if r := blockRun(buf, i); r.size > 0 {
			return r
		}
	}
	rest := buf[i:]
	switch c := rest[0]; {
	case c == '"' || c < ' ':
		return run{}
	case c == '\\':
		if _, size := unescape(rest); size != len(`\n`) {
			return run{}
		}
		size, escapes := escapedRun(rest[2:]) // an escape seldom comes alone
		return run{size: 2 + size, escapes: 1 + escapes}
	case c >= utf8.RuneSelf:
		size, wide, runes := wideRun(rest)
		return run{size: size, wide: wide, runes: runes}
	default:
		return run{size: plainRun(rest)}
	}
}
