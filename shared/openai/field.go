package openai

import "fmt"

// field is a top-level parameter of a request that we read.
type field uint8

const (
	fieldNone field = iota // any other parameter
	fieldModel
	fieldStream
	fieldStreamOptions
	fieldMaxTokens
	fieldMaxCompletionTokens
	fieldN
	fieldBestOf
	fieldMessages
	fieldPrompt
	fieldInput
	fieldInstructions
	fieldSuffix
	fieldTools
	fieldToolChoice
	fieldFunctions
	fieldFunctionCall
	fieldResponseFormat
	fieldPrediction
)

// kind is a set of types of JSON values.
type kind uint8

const (
	kindString kind = 1 << iota
	kindNumber
	kindBool
	kindNull
	kindArray
	kindObject
	kindAny = kindString | kindNumber | kindBool | kindNull | kindArray | kindObject
)

// fields says of each field how it is spelt, which values it takes (null always counts as absent), and whether it
// matters only where text is generated.
var fields = [...]struct {
	name       string
	kinds      kind
	expected   string // the kinds in words
	generation bool
}{
	fieldModel:               {name: "model", kinds: kindString, expected: "a string"},
	fieldStream:              {name: "stream", kinds: kindBool, expected: "a boolean", generation: true},
	fieldStreamOptions:       {name: "stream_options", kinds: kindObject, expected: "an object", generation: true},
	fieldMaxTokens:           {name: "max_tokens", kinds: kindNumber, expected: "an integer", generation: true},
	fieldMaxCompletionTokens: {name: "max_completion_tokens", kinds: kindNumber, expected: "an integer", generation: true},
	fieldN:                   {name: "n", kinds: kindNumber, expected: "an integer", generation: true},
	fieldBestOf:              {name: "best_of", kinds: kindNumber, expected: "an integer", generation: true},
	fieldMessages:            {name: "messages", kinds: kindArray, expected: "an array of objects"},
	fieldPrompt:              {name: "prompt", kinds: kindString | kindArray, expected: "a string or an array"},
	fieldInput:               {name: "input", kinds: kindString | kindArray, expected: "a string or an array"},
	fieldInstructions:        {name: "instructions", kinds: kindString, expected: "a string"},
	fieldSuffix:              {name: "suffix", kinds: kindString, expected: "a string"},
	fieldTools:               {name: "tools", kinds: kindAny},
	fieldToolChoice:          {name: "tool_choice", kinds: kindAny},
	fieldFunctions:           {name: "functions", kinds: kindAny},
	fieldFunctionCall:        {name: "function_call", kinds: kindAny},
	fieldResponseFormat:      {name: "response_format", kinds: kindAny},
	fieldPrediction:          {name: "prediction", kinds: kindAny},
}

// fieldNamed finds the field with this decoded name. A name that differs only in case is found too, and exact is false:
// some services match names without regard to case, so it can be neither read nor ignored.
func fieldNamed(name []byte) (f field, exact bool) {
	if f := fieldSpelt(name); f != fieldNone {
		return f, true
	}
	var buf [32]byte
	return fieldSpelt(lower(buf[:0], name)), false
}

// fieldSpelt finds the field whose name is exactly name.
func fieldSpelt(name []byte) field {
	switch string(name) {
	case "model":
		return fieldModel
	case "stream":
		return fieldStream
	case "stream_options":
		return fieldStreamOptions
	case "max_tokens":
		return fieldMaxTokens
	case "max_completion_tokens":
		return fieldMaxCompletionTokens
	case "n":
		return fieldN
	case "best_of":
		return fieldBestOf
	case "messages":
		return fieldMessages
	case "prompt":
		return fieldPrompt
	case "input":
		return fieldInput
	case "instructions":
		return fieldInstructions
	case "suffix":
		return fieldSuffix
	case "tools":
		return fieldTools
	case "tool_choice":
		return fieldToolChoice
	case "functions":
		return fieldFunctions
	case "function_call":
		return fieldFunctionCall
	case "response_format":
		return fieldResponseFormat
	case "prediction":
		return fieldPrediction
	}
	return fieldNone
}

// lower appends name in lower case to dst as far as dst has room, with the two letters beyond ASCII that Unicode folds
// to ASCII ones: ſ (U+017F) to s and K (U+212A) to k.
func lower(dst, name []byte) []byte {
	for _, r := range string(name[:min(len(name), cap(dst))]) {
		switch {
		case r >= 'A' && r <= 'Z':
			r |= 0x20
		case r == 'ſ':
			r = 's'
		case r == '\u212A':
			r = 'k'
		case r >= 0x80:
			r = 0x7F // in no field's name
		}
		dst = append(dst, byte(r))
	}
	return dst
}

// kindOf tells a value's type by its first byte; 0 if no value begins so.
func kindOf(first byte) kind {
	switch {
	case first == '"':
		return kindString
	case first == '{':
		return kindObject
	case first == '[':
		return kindArray
	case first == 't', first == 'f':
		return kindBool
	case first == 'n':
		return kindNull
	case first == '-', first >= '0' && first <= '9':
		return kindNumber
	}
	return 0
}

// String names a single kind as OpenAI's error messages do.
func (k kind) String() string {
	switch k {
	case kindString:
		return "a string"
	case kindNumber:
		return "a number"
	case kindBool:
		return "a boolean"
	case kindNull:
		return "null"
	case kindArray:
		return "an array"
	case kindObject:
		return "an object"
	}
	return "something else"
}

// wrongType is the error for a value of another type than param takes.
func wrongType(param, expected, got string) *Error {
	e := InvalidRequest(param, fmt.Sprintf("Invalid type for '%s': expected %s, but got %s instead.", param, expected, got))
	e.Code = "invalid_type"
	return e
}
