package meter

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// longestValue is the most that the value of an attribute may take, in bytes.
const longestValue = 128

// Value is a text as it may stand in an attribute: valid UTF-8 of at most 128 bytes,
// without control characters and whatever else does not print. What does not fit is
// cut off, what does not print becomes "_". A text that is fine is returned as it is.
func Value(text string) string {
	if len(text) <= longestValue && plain(text) {
		return text
	}
	if len(text) > longestValue {
		end := longestValue
		for end > longestValue-utf8.UTFMax && !utf8.RuneStart(text[end]) {
			end--
		}
		text = text[:end]
	}
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '_'
		}
		return r
	}, text)
}

// plain tells whether a text is of printable ASCII alone, as nearly all are.
func plain(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}
