package tokens

import "spillway/shared/openai"

// feature is a kind of thing in a prompt that costs tokens.
type feature int

const (
	letters  feature = iota // ASCII letters
	spaces                  // U+0020
	symbols                 // ASCII punctuation and other printable characters
	digits                  // 0–9
	breaks                  // line feeds, tabs and other control characters
	narrow                  // characters of U+0080–U+07FF: Latin with accents, Greek, Cyrillic, Hebrew, Arabic
	wide                    // characters above: CJK, Hangul, Kana, emoji, most of India
	extra                   // characters of tools, functions, schemas and tool calls
	messages                // messages of a chat
	featureCount
)

// features counts the features of one prompt.
type features [featureCount]float64

// measures is all that an estimate needs to know of a request.
type measures struct {
	text      features
	exact     float64 // tokens that need no estimate
	images    float64
	requested int64   // largest output the client allowed
	answers   float64 // n
	limited   bool    // the client set a maximum for the output
	generates bool    // the operation generates text
}

func measure(r *openai.Request) measures {
	x := measures{
		exact:     float64(max(r.PromptTokens, 0)),
		images:    float64(max(r.Images, 0)),
		requested: requestedOutput(r),
		answers:   float64(max(r.N, 1)),
		limited:   r.HasMaxTokens,
		generates: r.Operation != openai.Embeddings,
	}
	x.text[extra] = float64(max(r.Extra, 0))
	if r.Messages > 0 {
		x.text[messages] = float64(r.Messages)
		x.exact += replyTokens
	}
	if r.Text.Characters() <= 0 {
		return x
	}
	s := defaultSample
	seen := sampleOf(r)
	ascii, other := float64(max(r.Text.ASCII, 0)), float64(max(r.Text.Other, 0))
	if seen.ascii() > 0 {
		copy(s[letters:narrow], seen[letters:narrow])
	}
	if seen.other() > 0 {
		copy(s[narrow:], seen[narrow:])
	}
	ascii /= float64(s.ascii())
	for f := letters; f < narrow; f++ {
		x.text[f] = ascii * float64(s[f])
	}
	other /= float64(s.other())
	for f := narrow; f <= wide; f++ {
		x.text[f] = other * float64(s[f])
	}
	return x
}
