package tokens

import (
	"unicode/utf8"

	"spillway/shared/openai"
)

const (
	// promptBytes is the most text that is read of one prompt.
	promptBytes = 1 << 20
	// promptTexts is the most texts that are counted one by one; a call of the
	// tokenizer for a text of one byte costs as much as 10 bytes.
	promptTexts = 1000
)

// Prompt returns how many tokens the prompt of r is for the model, with the
// frame of its messages. It is exact as Count is, and not if the request holds
// what has no text to count: images, tools, schemas, tool calls. It reads the
// request's body, so it must come before Request.Release. Of a prompt longer
// than 32 KiB, samples from its first MiB are counted.
func (c *Counter) Prompt(model string, r *openai.Request) (tokens int64, exact bool) {
	tokens, exact = c.promptText(model, r)
	tokens = add(tokens, max(r.PromptTokens, 0))
	if r.Messages > 0 {
		tokens = add(tokens, int64(r.Messages)*messageTokens(model)+replyTokens)
	}
	if r.Extra > 0 || r.Images > 0 {
		tokens = add(tokens, ceil(float64(r.Extra)*startASCII+float64(r.Images)*startImage))
		exact = false
	}
	return tokens, exact
}

// promptText counts the texts of a prompt each by itself, as they are
// tokenized: no token spans two messages. Too many or too long, they are sampled
// as one text.
func (c *Counter) promptText(model string, r *openai.Request) (tokens int64, exact bool) {
	var all []byte
	var ends []int
	for text := range r.PromptText(promptBytes) {
		all = append(all, text...)
		ends = append(ends, len(all))
	}
	if len(all) > exactBytes || len(ends) > promptTexts {
		tokens, _ = c.Count(model, all)
		if seen := int64(utf8.RuneCount(all)); r.Text.Characters() > seen {
			tokens = ceil(float64(tokens) * float64(r.Text.Characters()) / float64(seen))
		}
		return tokens, false
	}
	exact = true
	start := 0
	for _, end := range ends {
		n, whole := c.Count(model, all[start:end])
		tokens, exact, start = tokens+n, exact && whole, end
	}
	return tokens, exact
}
