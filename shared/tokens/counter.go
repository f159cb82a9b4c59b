package tokens

import (
	"sync"
	"unicode/utf8"
)

// Counter counts tokens with tiktoken's vocabularies, which are embedded in
// the program. A vocabulary takes 5–25 ms to build and 1–3 MiB of heap, so
// each is built once, in the background, when it is first asked for; until
// then counts are estimates. A Counter is safe for concurrent use.
type Counter struct {
	encodings map[encodingName]*encoding // immutable after NewCounter
}

// NewCounter returns a Counter that has not built anything yet.
func NewCounter() *Counter {
	c := &Counter{encodings: make(map[encodingName]*encoding)}
	for _, name := range []encodingName{o200k, cl100k, p50k} {
		c.encodings[name] = &encoding{name: name, built: make(chan struct{})}
	}
	return c
}

// Warm starts to build the vocabularies of the models given, or of o200k_base
// if none is given, and returns at once. The channel it returns is closed when
// all of them are built; nobody has to wait for it.
func (c *Counter) Warm(models ...string) <-chan struct{} {
	wanted := map[encodingName]bool{}
	for _, model := range models {
		name, _ := encodingOf(model)
		wanted[name] = true
	}
	if len(wanted) == 0 {
		wanted[o200k] = true
	}
	done := make(chan struct{})
	for name := range wanted {
		c.encodings[name].build()
	}
	go func() {
		defer close(done)
		for name := range wanted {
			<-c.encodings[name].built
		}
	}()
	return done
}

// Count returns how many tokens text is for model, between 0 and len(text).
// Special tokens in the text count as ordinary text. It is exact if the
// model's vocabulary is known and built, and the text is not so long (32 KiB)
// or so unbroken (512 bytes without a space or punctuation) that it had to be
// sampled or cut. No text, however long or odd, costs more than 50 ms.
func (c *Counter) Count(model string, text []byte) (tokens int64, exact bool) {
	if len(text) == 0 {
		return 0, true
	}
	name, known := encodingOf(model)
	t := c.encodings[name].tokenizer()
	if t == nil {
		return guess(text), false
	}
	tokens, exact = countText(t, text)
	return tokens, exact && known
}

// encoding is one vocabulary, built at most once.
type encoding struct {
	name  encodingName
	start sync.Once
	built chan struct{} // closed when the build is over
	bpe   tokenizer     // written before built is closed; nil if the build failed
}

// tokenizer returns nil while the vocabulary is not built, and starts to build
// it if nobody has.
func (e *encoding) tokenizer() tokenizer {
	select {
	case <-e.built:
		return e.bpe
	default:
		e.build()
		return nil
	}
}

func (e *encoding) build() {
	e.start.Do(func() {
		go func() {
			defer close(e.built)
			if t, err := tokenizers[e.name](); err == nil {
				e.bpe = t
			}
		}()
	})
}

// guess estimates the tokens of text without any vocabulary.
func guess(text []byte) int64 {
	if len(text) > exactBytes {
		return extrapolate(text, guess)
	}
	runes := utf8.RuneCount(text)
	ascii := 0
	for _, c := range text {
		if c < utf8.RuneSelf {
			ascii++
		}
	}
	return ceil(float64(ascii)*startASCII + float64(runes-ascii)*startOther)
}
