package http1

import "strings"

// A Class is a set of bytes.
type Class uint8

// The classes of what stands in the first line of a message and in its header.
const (
	InToken Class = 1 << iota // a method or a field's name: RFC 9110, section 5.6.2
	InValue                   // a field's value: no control characters but the tab
	InHost                    // a name, an IPv4 address or an IPv6 address, and a port
	InPath                    // a path that is written as it is meant
	InQuery                   // a query as it is sent
)

// classes are the classes of each byte.
var classes = func() (of [256]Class) {
	for c := range of {
		if c >= ' ' && c != 0x7f || c == '\t' {
			of[c] |= InValue
		}
		if c > ' ' && c != 0x7f {
			of[c] |= InQuery
		}
		switch {
		case c >= '0' && c <= '9', c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z':
			of[c] |= InToken | InHost | InPath
		case c < 0x80 && strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)):
			of[c] |= InToken
		}
	}
	for _, c := range []byte(".-_:[]") {
		of[c] |= InHost
	}
	for _, c := range []byte("/-._~:") {
		of[c] |= InPath
	}
	return of
}()

// All tells whether a text consists of bytes of a class.
func All[T string | []byte](text T, of Class) bool {
	for i := range len(text) {
		of &= classes[text[i]]
	}
	return of != 0
}
