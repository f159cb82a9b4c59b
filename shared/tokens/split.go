package tokens

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

const (
	// exactBytes is the most text that one count hands to the tokenizer. The
	// slowest valid text found costs 0.8 µs per byte in pieces of pieceBytes
	// (a 2-core machine under load), so a count stays below about 30 ms. What
	// is longer is sampled.
	exactBytes = 32 << 10
	// sampleWindows is how many evenly spaced windows a longer text is sampled
	// in: a system prompt in English with a document in Japanese behind it must
	// not be judged by its beginning.
	sampleWindows = 8
	// windowBytes leaves room for a window to be moved to the start of a rune.
	windowBytes = exactBytes/sampleWindows - utf8.UTFMax
	// pieceBytes is the longest text handed to the tokenizer in one call. Its
	// merge loop is quadratic in the length of an unbroken run, whatever the
	// run is made of: 100,000 equal letters take 10 s in one call and 25 ms in
	// calls of 512 bytes.
	pieceBytes = 512
)

// tokenizer is the one method of a tiktoken encoding that is used here. It
// treats special tokens in the text as ordinary text; the other encoding
// methods panic on them.
type tokenizer interface {
	EncodeOrdinary(text string) []int
}

// countText counts the tokens of text. It is exact if the whole text was
// handed over and every cut lay where no token can span it. The tokenizer sees
// at most exactBytes bytes, in pieces of at most pieceBytes. The result is at
// most len(text).
func countText(t tokenizer, text []byte) (tokens int64, exact bool) {
	if len(text) <= exactBytes {
		return countPieces(t, text)
	}
	return extrapolate(text, func(window []byte) int64 {
		n, _ := countPieces(t, window)
		return n
	}), false
}

// extrapolate counts windows of a long text, and each for its part of the text.
func extrapolate(text []byte, count func(window []byte) int64) (tokens int64) {
	for i := range sampleWindows {
		from, to := len(text)*i/sampleWindows, len(text)*(i+1)/sampleWindows
		window := text[runeStart(text, from):runeStart(text, from+windowBytes)]
		tokens += count(window) * int64(to-from) / int64(len(window))
	}
	return min(tokens, int64(len(text)))
}

func countPieces(t tokenizer, text []byte) (tokens int64, exact bool) {
	exact = true
	for len(text) > 0 {
		n, clean := cut(text, pieceBytes)
		piece := text[:n]
		text = text[n:]
		exact = exact && clean
		if !utf8.Valid(piece) {
			// The tokenizer would read a stray byte as U+FFFD, three bytes. Each
			// counts as one token here, as in a vocabulary of bytes.
			valid := bytes.ToValidUTF8(piece, nil)
			tokens += int64(len(piece) - len(valid))
			piece, exact = valid, false
		}
		tokens += int64(len(t.EncodeOrdinary(string(piece))))
	}
	return tokens, exact
}

// cut returns the length of the first piece of text, at most limit (≥ 4) and
// at least one rune, and whether the piece ends where no token spans the cut.
func cut(text []byte, limit int) (n int, clean bool) {
	if len(text) <= limit {
		return len(text), true
	}
	for i := limit; i > 0; i-- {
		if boundary(text, i) {
			return i, true
		}
	}
	for n = limit; n > limit-utf8.UTFMax && !utf8.RuneStart(text[n]); n-- {
	}
	return n, false
}

// boundary tells whether the patterns of all encodings end a word between
// text[i-1] and text[i]. They do before a space, a line feed or a punctuation
// mark (but not an apostrophe, which may begin an English contraction) that
// follows a letter, and before a space that follows anything but white space.
func boundary(text []byte, i int) bool {
	c := text[i]
	if c < utf8.RuneSelf {
		if c == '\'' || c != ' ' && c != '\n' && !unicode.IsPunct(rune(c)) {
			return false
		}
		before, _ := utf8.DecodeLastRune(text[:i])
		if c == ' ' {
			return before != utf8.RuneError && !unicode.IsSpace(before)
		}
		return unicode.IsLetter(before)
	}
	if !utf8.RuneStart(c) {
		return false
	}
	r, _ := utf8.DecodeRune(text[i:])
	if !unicode.IsPunct(r) {
		return false
	}
	before, _ := utf8.DecodeLastRune(text[:i])
	return unicode.IsLetter(before)
}

// plainWord returns the space and the letters from a to z that begin at an index of text,
// if it is plain that the patterns of all encodings take just them as one word: what
// stands before is visible, and behind them the text ends or goes on with a space, a
// comma or a full stop. Else it returns "".
func plainWord(text string, from int) string {
	if text[from] != ' ' || from > 0 && (text[from-1] <= ' ' || text[from-1] >= utf8.RuneSelf-1) {
		return ""
	}
	to := from + 1
	for to < len(text) && 'a' <= text[to] && text[to] <= 'z' {
		to++
	}
	if to == from+1 || to < len(text) && text[to] != ' ' && text[to] != ',' && text[to] != '.' {
		return ""
	}
	return text[from:to]
}

// runeStart returns the first index ≥ i at which a rune starts; in text that is
// no UTF-8, an index near i.
func runeStart(text []byte, i int) int {
	for end := i + utf8.UTFMax - 1; i < end && !utf8.RuneStart(text[i]); {
		i++
	}
	return i
}
