package openai

import (
	"fmt"
	"maps"
	"slices"
	"unicode/utf8"
)

// FormRequest reads what a gateway must know of the fields of a form, a request for op whose body is
// multipart/form-data: model, stream, n, and the text of the prompt, with the rules and errors that the members of a JSON
// body have. Model is "" where the form has none. The request does not have the form: its method Body must not be called.
// The error is for the client (400).
func FormRequest(op Operation, form map[string]string) (*Request, *Error) {
	body := []byte{'{'}
	for _, name := range slices.Sorted(maps.Keys(form)) {
		f, _ := fieldNamed(op, []byte(name))
		if f == fieldNone {
			continue
		}
		value := form[name]
		if !utf8.ValidString(value) {
			param := fields[f].name
			return nil, InvalidRequest(param, fmt.Sprintf("Invalid '%s': expected text in UTF-8.", param))
		}
		if len(body) > 1 {
			body = append(body, ',')
		}
		body = append(appendQuoted(body, name), ':')
		body = appendFormValue(body, fields[f].kinds, value)
	}
	return ParseRequest(op, append(body, '}'))
}

// appendFormValue appends the JSON value that a field of a form stands for: a number or a boolean where the parameter is
// one and the text is too, else the text as a string.
func appendFormValue(dst []byte, kinds kind, text string) []byte {
	s := scanner{buf: []byte(text)}
	got := kindOf(s.peek())
	s.scalar()
	if s.end() && got&kinds&(kindNumber|kindBool) != 0 {
		return append(dst, text...)
	}
	return appendQuoted(dst, text)
}
