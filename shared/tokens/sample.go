package tokens

import (
	"math"

	"spillway/shared/openai"
)

// sampleBytes is how much of a request is looked at to learn what kind of text
// it is: the numbers in the request say how many ASCII and other characters
// there are in all, the sample says which. English prose has 4.8 characters per
// token, source code 3.4 and JSON 2.8, so the difference is not small, and
// symbols and line breaks tell them apart.
const (
	sampleBytes = windowCount * windowSize
	windowCount = 16
	windowSize  = 128
)

// sample counts the characters of a piece of text by feature.
type sample [wide + 1]int64

// defaultSample is what text consists of that was not seen: English prose, and
// CJK if it is not ASCII.
var defaultSample = sample{letters: 788, spaces: 165, symbols: 32, digits: 7, breaks: 8, wide: 1}

func (s *sample) ascii() int64 {
	return s[letters] + s[spaces] + s[symbols] + s[digits] + s[breaks]
}

func (s *sample) other() int64 { return s[narrow] + s[wide] }

// sampleOf looks at some text of r: at windows spread over the body if that is
// little else than text, which takes the same time for any length; else at the
// beginning of the text.
func sampleOf(r *openai.Request) (s sample) {
	raw := r.Bytes()
	if text := r.Text.ASCII + 3*r.Text.Other; len(raw) == 0 || text < int64(len(raw))/4*3 {
		return sampleOfTexts(r)
	}
	if len(raw) <= sampleBytes {
		s.takeEscaped(raw)
		return s
	}
	for i := range windowCount {
		from := (len(raw) - windowSize) * i / (windowCount - 1)
		s.takeEscaped(raw[from : from+windowSize])
	}
	return s
}

// sampleOfTexts looks at the beginning of the text of r.
func sampleOfTexts(r *openai.Request) (s sample) {
	if r.Texts > openai.RawTexts {
		return sampleOfManyTexts(r)
	}
	left := sampleBytes
	for i := range r.Texts {
		text := r.RawText(i)
		text = text[:min(len(text), left)]
		s.takeEscaped(text)
		left -= len(text)
	}
	return s
}

// sampleOfManyTexts reads the prompt once more.
func sampleOfManyTexts(r *openai.Request) (s sample) {
	for text := range r.PromptText(sampleBytes) {
		s.take(text)
	}
	return s
}

// takeEscaped counts text as it stands in a JSON string, where line feeds,
// quotes and backslashes are escaped.
func (s *sample) takeEscaped(text []byte) {
	for len(text) > 0 {
		var counts uint64
		i := 0
		for end := min(len(text), blockSize); i < end; i++ {
			c := text[i]
			if c == '\\' {
				if i++; i == len(text) {
					break
				}
				switch c = text[i]; c {
				case 'n', 't', 'r':
					c = '\n'
				case 'u':
					c = firstOfWide
					i += 4
				}
			}
			counts += counterOf[c]
		}
		s.add(counts)
		text = text[min(i, len(text)):]
	}
}

// take counts text.
func (s *sample) take(text []byte) {
	for len(text) > 0 {
		block := text[:min(len(text), blockSize)]
		text = text[len(block):]
		var counts uint64
		for _, c := range block {
			counts += counterOf[c]
		}
		s.add(counts)
	}
}

// blockSize is how many characters eight bits can count.
const blockSize = math.MaxUint8

// add adds the counters of one block.
func (s *sample) add(counts uint64) {
	for f := range s {
		s[f] += int64(counts >> (8 * f) & math.MaxUint8)
	}
}

// firstOfWide is the lowest first byte of the characters that count as wide.
const firstOfWide = 0xE0

// counterOf maps the first byte of a character to 1 in the counter of its
// feature. Eight counters of eight bits share one word, so that a byte costs one
// addition; counter 0 is the lowest. Bytes inside a character have a counter
// that nobody reads.
var counterOf = func() (table [256]uint64) {
	for c := range table {
		f := symbols
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
			f = letters
		case c >= '0' && c <= '9':
			f = digits
		case c == ' ':
			f = spaces
		case c < ' ':
			f = breaks
		case c >= firstOfWide:
			f = wide
		case c >= 0xC0:
			f = narrow
		case c >= 0x80:
			f = wide + 1
		}
		table[c] = 1 << (8 * f)
	}
	return table
}()
