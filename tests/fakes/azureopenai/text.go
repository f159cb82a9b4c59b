package azureopenai

import (
	"encoding/json"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxWord is the longest run of letters or digits that is one token.
const maxWord = 6

// CountTokens is the simulator's tokenizer: a token is up to six ASCII letters
// or digits with the space before them, or any other single character. It is
// deterministic, and close to real vocabularies on English text.
func CountTokens(text string) int64 {
	var n int64
	for text != "" {
		text = text[tokenLength(text):]
		n++
	}
	return n
}

// splitTokens cuts text into its tokens; joined they are the text again.
func splitTokens(text string) []string {
	var tokens []string
	for text != "" {
		n := tokenLength(text)
		tokens = append(tokens, text[:n])
		text = text[n:]
	}
	return tokens
}

// tokenLength is the length in bytes of the first token of a text.
func tokenLength(text string) int {
	start := 0
	if text[0] == ' ' {
		start = 1
	}
	end := start
	for end < len(text) && end-start < maxWord && isWord(text[end]) {
		end++
	}
	if end > start {
		return end
	}
	_, size := utf8.DecodeRuneInString(text)
	return size
}

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// words are one token each, with the space before them and without. They are so in
// the published vocabularies as well: who counts the text of an answer that broke
// off by these comes to the number of CountTokens.
var words = []string{"the", "flow", "of", "water", "over", "a", "dam", "holds", "its", "level", "while", "rain",
	"fills", "lake", "and", "doors", "stay", "closed", "until", "more", "comes", "than", "before", "can", "take"}

// prose returns n tokens of text; the first has no space before it.
func (d dice) prose(n int64) []string {
	tokens := make([]string, n)
	for i := range tokens {
		tokens[i] = " " + words[d.IntN(len(words))]
	}
	if n > 0 {
		tokens[0] = tokens[0][1:]
	}
	return tokens
}

// length draws the number of tokens an answer would have without a maximum.
func (d dice) length(o *Output) int64 {
	switch {
	case o.Exact > 0:
		return o.Exact
	case o.Spread == 0:
		return o.Mean
	}
	return max(1, int64(math.Round(float64(o.Mean)*math.Exp(o.Spread*d.NormFloat64()))))
}

// maxSchemaValues and maxSchemaDepth end schemas that refer to themselves, wide
// or deep.
const (
	maxSchemaValues = 1000
	maxSchemaDepth  = 8
)

// maker makes up values that fit the common part of JSON Schema: type, enum,
// const, properties, items, $ref into $defs, anyOf.
type maker struct {
	root map[string]any
	text string // of the next free string
	made int
}

func (m *maker) value(schema map[string]any, depth int) any {
	if m.made++; m.made > maxSchemaValues || depth > maxSchemaDepth {
		return nil
	}
	if ref, ok := schema["$ref"].(string); ok {
		schema = resolve(m.root, ref)
	}
	if value, ok := schema["const"]; ok {
		return value
	}
	if values, ok := schema["enum"].([]any); ok && len(values) > 0 {
		return values[0]
	}
	if options, ok := schema["anyOf"].([]any); ok && len(options) > 0 {
		option, _ := options[0].(map[string]any)
		return m.value(option, depth+1)
	}
	kind, _ := schema["type"].(string)
	if kinds, ok := schema["type"].([]any); ok && len(kinds) > 0 {
		kind, _ = kinds[0].(string)
	}
	switch kind {
	case "string":
		text := m.text
		m.text = "a"
		return text
	case "integer":
		return 7
	case "number":
		return 1.5
	case "boolean":
		return true
	case "null":
		return nil
	case "array":
		items, _ := schema["items"].(map[string]any)
		if depth == maxSchemaDepth || items == nil {
			return []any{}
		}
		return []any{m.value(items, depth+1)}
	}
	return m.object(schema, depth)
}

func (m *maker) object(schema map[string]any, depth int) map[string]any {
	value := map[string]any{}
	properties, _ := schema["properties"].(map[string]any)
	if depth == maxSchemaDepth {
		return value
	}
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		property, _ := properties[name].(map[string]any)
		value[name] = m.value(property, depth+1)
	}
	return value
}

// resolve follows a reference like #/$defs/step.
func resolve(root map[string]any, ref string) map[string]any {
	node := root
	for _, name := range strings.Split(strings.TrimPrefix(ref, "#"), "/") {
		if name == "" {
			continue
		}
		next, _ := node[name].(map[string]any)
		node = next
	}
	return node
}

// jsonText returns JSON that fits the schema (nil: any object), with a string
// of about n tokens in it.
func (d dice) jsonText(schema json.RawMessage, n int64) string {
	long := strings.Join(d.prose(max(n, 1)), "")
	var root map[string]any
	if json.Unmarshal(schema, &root) != nil || len(root) == 0 {
		root = map[string]any{"type": "object", "properties": map[string]any{"answer": map[string]any{"type": "string"}}}
	}
	m := maker{root: root, text: long}
	text, err := json.Marshal(m.value(root, 0))
	if err != nil { // Cannot happen: the value was made from decoded JSON.
		return "{}"
	}
	return string(text)
}

// promptCache remembers the beginnings of prompts, as the service does for
// prompts of 1,024 tokens and more.
type promptCache struct {
	prefixes map[uint32]uint32 // crc of the first 4,096 characters → crc of the whole
}

const cachedPrompts = 1000

// look returns how many of the prompt's tokens were cached, and remembers it.
func (c *promptCache) look(prefix, whole uint32, tokens int64) int64 {
	if tokens < 1024 {
		return 0
	}
	before, seen := c.prefixes[prefix]
	if c.prefixes == nil || len(c.prefixes) >= cachedPrompts {
		c.prefixes = map[uint32]uint32{}
	}
	c.prefixes[prefix] = whole
	switch {
	case !seen:
		return 0
	case before == whole:
		return tokens / 128 * 128
	}
	return 1024
}
