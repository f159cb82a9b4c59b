package config

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
)

// Encode returns the consumer as JSON on one line, from which ParseConsumer
// reads the same value. Equal consumers have equal texts: keys come in the
// order of the Go fields, and those that say no more than their absence are
// left out. Keys are written as their whole hashes, so it is not for logs.
func (c Consumer) Encode() []byte { return appendValue(nil, reflect.ValueOf(c)) }

// appendValue appends a value as the decoder reads it.
func appendValue(text []byte, v reflect.Value) []byte {
	switch value := v.Interface().(type) {
	case KeyHash:
		return strconv.AppendQuote(text, value.Reveal())
	case Spillover:
		if value.TokensPerMinute == 0 {
			return strconv.AppendBool(text, value.Allowed)
		}
	}
	switch v.Kind() {
	case reflect.Struct:
		return appendMapping(text, v)
	case reflect.Slice:
		text = append(text, '[')
		for i := range v.Len() {
			if i > 0 {
				text = append(text, ',')
			}
			text = appendValue(text, v.Index(i))
		}
		return append(text, ']')
	case reflect.Pointer:
		return appendValue(text, v.Elem())
	case reflect.Bool:
		return strconv.AppendBool(text, v.Bool())
	case reflect.Int64:
		return strconv.AppendInt(text, v.Int(), 10)
	case reflect.Float64:
		return strconv.AppendFloat(text, v.Float(), 'g', -1, 64)
	default:
		return appendText(text, v.String())
	}
}

// appendMapping appends the fields of a struct whose absence would mean
// something else.
func appendMapping(text []byte, v reflect.Value) []byte {
	text = append(text, '{')
	begin := len(text)
	for _, f := range fieldsOf(v.Type()) {
		part := v.Field(f.index)
		none := part.IsZero() || part.Kind() == reflect.Slice && part.Len() == 0
		if none && f.standard == "" && !f.required {
			continue
		}
		if len(text) > begin {
			text = append(text, ',')
		}
		text = append(appendText(text, f.name), ':')
		text = appendValue(text, part)
	}
	return append(text, '}')
}

// appendText appends a text, in which nothing is to be read as a variable.
func appendText(text []byte, value string) []byte {
	quoted, err := json.Marshal(strings.ReplaceAll(value, "${", "$${"))
	if err != nil {
		panic(err) // a string is always encoded
	}
	return append(text, quoted...)
}
