package tokens

import "strings"

// encodingName is the name of a vocabulary as tiktoken spells it.
type encodingName string

const (
	o200k  encodingName = "o200k_base"
	cl100k encodingName = "cl100k_base"
	p50k   encodingName = "p50k_base"
)

// modelRules maps the beginning of a model's name to its encoding; the first
// match counts, so the longer beginnings of a family stand before the shorter.
// The published tables of tiktoken stop short of several models, and of the
// spelling gpt-35-turbo, which only Azure uses. gpt-oss uses o200k_harmony,
// which differs from o200k_base in special tokens only.
var modelRules = [...]struct {
	prefix   string
	encoding encodingName
}{
	{"gpt-5", o200k},
	{"gpt-4o", o200k},
	{"gpt-4.1", o200k},
	{"gpt-4.5", o200k},
	{"gpt-oss", o200k},
	{"chatgpt-4o", o200k},
	{"codex-mini", o200k},
	{"o1", o200k},
	{"o3", o200k},
	{"o4", o200k},
	{"gpt-4", cl100k},
	{"gpt-35-turbo", cl100k},
	{"gpt-3.5", cl100k},
	{"text-embedding-3", cl100k},
	{"text-embedding-ada-002", cl100k},
	{"davinci-002", cl100k},
	{"babbage-002", cl100k},
	{"text-davinci", p50k},
	{"code-davinci", p50k},
	{"code-cushman", p50k},
	{"text-curie", p50k},
	{"text-babbage", p50k},
	{"text-ada", p50k},
	{"davinci", p50k},
	{"curie", p50k},
	{"babbage", p50k},
	{"ada", p50k},
}

// Encoding returns the name of the vocabulary that model uses, by the
// beginning of its name without regard to case; "ft:" before a fine-tuned
// model is skipped. For a name that matches nothing it returns o200k_base, the
// vocabulary of every recent model, and false.
func Encoding(model string) (name string, known bool) {
	e, known := encodingOf(model)
	return string(e), known
}

func encodingOf(model string) (encodingName, bool) {
	model = trimPrefixFold(model, "ft:")
	for _, rule := range modelRules {
		if hasPrefixFold(model, rule.prefix) {
			return rule.encoding, true
		}
	}
	return o200k, false
}

// messageTokens is what the frame of one chat message costs: start, role,
// separator and end for the models before gpt-5; one less has been seen on
// recorded answers of the reasoning models.
func messageTokens(model string) int64 {
	model = trimPrefixFold(model, "ft:")
	for _, prefix := range [...]string{"gpt-5", "o1", "o3", "o4"} {
		if hasPrefixFold(model, prefix) {
			return 3
		}
	}
	return 4
}

// replyTokens is what every chat prompt ends with: the start of the answer.
const replyTokens = 3

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

func trimPrefixFold(s, prefix string) string {
	if hasPrefixFold(s, prefix) {
		return s[len(prefix):]
	}
	return s
}
