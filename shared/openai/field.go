package openai

import "fmt"

// field is a top-level parameter of a request that we read.
type field uint8

const (
	fieldNone field = iota // any other parameter
	fieldModel
	fieldStream
	fieldStreamFormat
	fieldStreamOptions
	fieldMaxTokens
	fieldMaxCompletionTokens
	fieldMaxOutputTokens
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
	fieldText
	fieldPromptTemplate
	fieldBackground
	fieldStore
	fieldPreviousResponse
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

var (
	// modelled operations have a request that may name a model, and a prompt.
	modelled = ^setOf(0, UploadFile, CreateBatch)
	// prompting operations give the model tools and formats along with the prompt.
	prompting = textual | setOf(Responses)
	// imaging operations take a number of pictures to make.
	imaging = setOf(ImageGenerations, ImageEdits, ImageVariations)
	// streaming operations stream if their request says stream.
	streaming = textual | setOf(Responses, ImageGenerations, ImageEdits, Transcriptions)
)

// fields says of each field how it is spelt, which values it takes (null always counts as absent), and for which
// operations it is read; for the others it is like any parameter that we do not know.
var fields = [...]struct {
	name     string
	kinds    kind
	expected string // the kinds in words
	in       operationSet
}{
	fieldModel:               {"model", kindString, "a string", modelled},
	fieldStream:              {"stream", kindBool, "a boolean", streaming},
	fieldStreamFormat:        {"stream_format", kindString, "a string", setOf(Speech)},
	fieldStreamOptions:       {"stream_options", kindObject, "an object", textual},
	fieldMaxTokens:           {"max_tokens", kindNumber, "an integer", textual},
	fieldMaxCompletionTokens: {"max_completion_tokens", kindNumber, "an integer", textual},
	fieldMaxOutputTokens:     {"max_output_tokens", kindNumber, "an integer", setOf(Responses)},
	fieldN:                   {"n", kindNumber, "an integer", textual | imaging},
	fieldBestOf:              {"best_of", kindNumber, "an integer", textual},
	fieldMessages:            {"messages", kindArray, "an array of objects", modelled},
	fieldPrompt:              {"prompt", kindString | kindArray, "a string or an array", modelled &^ setOf(Responses)},
	fieldInput:               {"input", kindString | kindArray, "a string or an array", modelled},
	fieldInstructions:        {"instructions", kindString, "a string", modelled},
	fieldSuffix:              {"suffix", kindString, "a string", modelled},
	fieldTools:               {"tools", kindAny, "", prompting},
	fieldToolChoice:          {"tool_choice", kindAny, "", prompting},
	fieldFunctions:           {"functions", kindAny, "", prompting},
	fieldFunctionCall:        {"function_call", kindAny, "", prompting},
	fieldResponseFormat:      {"response_format", kindAny, "", prompting},
	fieldPrediction:          {"prediction", kindAny, "", prompting},
	fieldText:                {"text", kindAny, "", setOf(Responses)},
	fieldPromptTemplate:      {"prompt", kindAny, "", setOf(Responses)},
	fieldBackground:          {"background", kindBool, "a boolean", setOf(Responses)},
	fieldStore:               {"store", kindBool, "a boolean", setOf(Responses)},
	fieldPreviousResponse:    {"previous_response_id", kindString, "a string", setOf(Responses)},
}

// fieldNamed finds the field of an operation with this decoded name. A name that differs only in case is found too, and
// exact is false: some services match names without regard to case, so it can be neither read nor ignored.
func fieldNamed(op Operation, name []byte) (f field, exact bool) {
	f, exact = fieldSpelt(name), true
	if f == fieldNone {
		var buf [32]byte
		f, exact = fieldSpelt(lower(buf[:0], name)), false
	}
	if f == fieldPrompt && op == Responses {
		f = fieldPromptTemplate
	}
	if f == fieldNone || !fields[f].in.has(op) {
		return fieldNone, true
	}
	return f, exact
}

// fieldSpelt finds the first field whose name is exactly name.
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
	case "text":
		return fieldText
	case "stream_format":
		return fieldStreamFormat
	case "max_output_tokens":
		return fieldMaxOutputTokens
	case "background":
		return fieldBackground
	case "store":
		return fieldStore
	case "previous_response_id":
		return fieldPreviousResponse
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
