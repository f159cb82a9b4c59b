package bicep

import (
	"fmt"
	"strings"
	"unicode"
)

type token struct {
	kind tokenKind
	text string  // Of a string: its characters, with ${ } for what is put in.
	in   []*Expr // Of a string: what is put in.
	line int
}

type tokenKind int

const (
	endToken tokenKind = iota
	newlineToken
	wordToken
	numberToken
	stringToken
	symbolToken
)

// symbols are what is neither word, number nor string; longer ones first.
var symbols = []string{
	"&&", "||", "==", "!=", "<=", ">=", "??",
	"{", "}", "[", "]", "(", ")", ",", ":", ".", "=", "?", "!", "<", ">", "+", "-", "*", "/", "%", "@",
}

// lex cuts a text into tokens. firstLine is the number of its first line.
func lex(text string, firstLine int) ([]token, error) {
	var tokens []token
	line := firstLine
	for text != "" {
		switch {
		case strings.HasPrefix(text, "\r\n"), text[0] == '\n':
			tokens = append(tokens, token{kind: newlineToken, line: line})
			line++
			text = text[strings.IndexByte(text, '\n')+1:]
		case text[0] == ' ' || text[0] == '\t':
			text = text[1:]
		case strings.HasPrefix(text, "//"):
			text = afterLine(text)
		case text[0] == '\'':
			t, rest, err := lexString(text, line)
			if err != nil {
				return nil, err
			}
			tokens, text = append(tokens, t), rest
		case isWord(rune(text[0])):
			word := text[:wordLength(text)]
			kind := wordToken
			if unicode.IsDigit(rune(word[0])) {
				kind = numberToken
			}
			tokens = append(tokens, token{kind: kind, text: word, line: line})
			text = text[len(word):]
		default:
			symbol := symbolAt(text)
			if symbol == "" {
				return nil, fmt.Errorf("line %d: unexpected %q", line, text[:1])
			}
			tokens = append(tokens, token{kind: symbolToken, text: symbol, line: line})
			text = text[len(symbol):]
		}
	}
	return append(tokens, token{kind: endToken, line: line}), nil
}

// afterLine is the text from the end of its first line on.
func afterLine(text string) string {
	if end := strings.IndexByte(text, '\n'); end >= 0 {
		return text[end:]
	}
	return ""
}

func isWord(r rune) bool { return r == '_' || r < 0x80 && (unicode.IsLetter(r) || unicode.IsDigit(r)) }

func wordLength(text string) int {
	end := strings.IndexFunc(text, func(r rune) bool { return !isWord(r) })
	if end < 0 {
		return len(text)
	}
	return end
}

func symbolAt(text string) string {
	for _, symbol := range symbols {
		if strings.HasPrefix(text, symbol) {
			return symbol
		}
	}
	return ""
}

var escapes = map[byte]byte{'\\': '\\', '\'': '\'', 'n': '\n', 'r': '\r', 't': '\t', '$': '$'}

// lexString reads a string of one line, which may have expressions put in.
func lexString(text string, line int) (token, string, error) {
	if strings.HasPrefix(text, "'''") {
		return token{}, "", fmt.Errorf("line %d: strings of several lines are not read", line)
	}
	t := token{kind: stringToken, line: line}
	var b strings.Builder
	for i := 1; i < len(text); {
		switch c := text[i]; {
		case c == '\'':
			t.text = b.String()
			return t, text[i+1:], nil
		case c == '\n':
			return token{}, "", fmt.Errorf("line %d: a string does not end", line)
		case c == '\\':
			if i+1 == len(text) || escapes[text[i+1]] == 0 {
				return token{}, "", fmt.Errorf("line %d: an escape is unknown", line)
			}
			b.WriteByte(escapes[text[i+1]])
			i += 2
		case strings.HasPrefix(text[i:], "${"):
			end := closing(text[i+2:])
			if end < 0 {
				return token{}, "", fmt.Errorf("line %d: ${ is not closed", line)
			}
			e, err := parseExpr(text[i+2:i+2+end], line)
			if err != nil {
				return token{}, "", err
			}
			t.in = append(t.in, e)
			b.WriteString("${}")
			i += 2 + end + 1
		default:
			b.WriteByte(c)
			i++
		}
	}
	return token{}, "", fmt.Errorf("line %d: a string does not end", line)
}

// closing is where the brace that closes an expression in a string stands.
func closing(text string) int {
	depth, quoted := 0, false
	for i := 0; i < len(text) && text[i] != '\n'; i++ {
		switch {
		case text[i] == '\'':
			quoted = !quoted
		case quoted:
		case text[i] == '{':
			depth++
		case text[i] == '}' && depth == 0:
			return i
		case text[i] == '}':
			depth--
		}
	}
	return -1
}
