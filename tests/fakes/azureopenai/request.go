package azureopenai

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"strings"
	"unicode/utf8"
)

// request is what the simulator understands of a request body.
type request struct {
	operation                               Operation
	stream, streamOptions, usage, noPadding bool
	maximum                                 int64 // of the output
	hasMaximum                              bool
	n, candidates                           int64    // choices answered, choices generated (best_of)
	texts                                   []string // of the prompt, in order
	inputs                                  []prompt // what is read apart from messages
	messages, named                         int64
	characters, tokenArray, images, extra   int64 // extra: tokens of tools and formats
	function                                string
	parameters                              json.RawMessage
	toolCall, legacyCall, jsonAnswer        bool
	schema                                  json.RawMessage
	echo, base64, seeded                    bool
	dimensions                              int64
	context                                 int64 // tokens of the responses before this one
	response                                *responseAsked
	image                                   *imageAsked
	speech                                  *speechAsked
	audio                                   *audioAsked
	moderated                               []string
	upload                                  *storedFile
	batch                                   *batchObject
}

// prompt is one input of a completion or embedding: a text or a token array.
type prompt struct {
	text   string
	tokens int64
}

const maxInt32 = 1<<31 - 1

// parseRequest checks a body as the service does and takes out what matters.
func parseRequest(rt route, model string, in input) (*request, *serviceError) {
	r := &request{operation: rt.operation, n: 1, candidates: 1}
	if !rt.stored && kindOf(model) != rt.operation.needs() {
		return nil, notFor(rt.operation, model)
	}
	if problem := r.parse(rt, model, in); problem != nil {
		return nil, problem
	}
	for _, text := range r.texts {
		r.characters += int64(utf8.RuneCountInString(text))
	}
	return r, nil
}

// parse reads the request of an operation.
func (r *request) parse(rt route, model string, in input) *serviceError {
	switch r.operation {
	case ChatCompletions, Completions, Embeddings:
		return r.parseClassic(rt, model, in.fields)
	case Responses:
		return r.parseResponse(rt, model, in.fields)
	case ImageGenerations, ImageEdits, ImageVariations:
		return r.parseImage(model, in)
	case Speech:
		return r.parseSpeech(model, in.fields)
	case Transcriptions, Translations:
		return r.parseAudio(model, in)
	case Moderations:
		return r.parseModeration(in.fields)
	}
	return r.parseStored(rt, in)
}

// parseClassic reads a chat completion, a completion or an embedding.
func (r *request) parseClassic(rt route, model string, f fields) *serviceError {
	steps := []func() *serviceError{
		func() *serviceError { return r.parseStream(rt, f) },
		func() *serviceError { return r.parseSizes(rt, model, f) },
		func() *serviceError { return f.decimal("temperature", 0, 2) },
		func() *serviceError { return f.decimal("top_p", 0, 1) },
		func() *serviceError { return r.parsePrompt(f) },
	}
	if rt.operation == Embeddings {
		steps = []func() *serviceError{func() *serviceError { return r.parseEmbeddings(f) },
			func() *serviceError { return r.parsePrompt(f) }}
	}
	if rt.operation == ChatCompletions {
		steps = append(steps, func() *serviceError { return r.parseTools(f) }, func() *serviceError { return r.parseFormat(f) })
	}
	for _, step := range steps {
		if problem := step(); problem != nil {
			return problem
		}
	}
	r.seeded = f.has("seed")
	return nil
}

func notFor(operation Operation, model string) *serviceError {
	return invalid("", "OperationNotSupported", "The %s operation does not work with the specified model, %s. Please choose different model and try again.",
		strings.ReplaceAll(string(operation), "/", " "), model)
}

func (r *request) parseStream(rt route, f fields) (problem *serviceError) {
	if r.stream, problem = f.boolean("stream"); problem != nil {
		return problem
	}
	if !f.has("stream_options") {
		return nil
	}
	if rt.dialect == classic && before(rt.apiVersion, "2024-09-01") {
		return invalid("stream_options", "unknown_parameter", "Unknown parameter: 'stream_options'.")
	}
	if !r.stream {
		return invalid("stream_options", "", "The 'stream_options' parameter is only allowed when 'stream' is enabled.")
	}
	var options fields
	if json.Unmarshal(f["stream_options"], &options) != nil {
		return f.wrongType("stream_options", "an object")
	}
	r.streamOptions = true
	if r.usage, problem = options.boolean("include_usage"); problem != nil {
		return problem
	}
	r.noPadding = string(options["include_obfuscation"]) == "false"
	return nil
}

// reasoningModel says whether the model refuses max_tokens.
func reasoningModel(model string) bool {
	for _, prefix := range []string{"o1", "o3", "o4", "gpt-5"} {
		if strings.HasPrefix(model, prefix) {
			return true
		}
	}
	return false
}

func (r *request) parseSizes(rt route, model string, f fields) (problem *serviceError) {
	name := "max_tokens"
	if r.operation == ChatCompletions && f.has("max_completion_tokens") {
		switch {
		case rt.dialect == classic && before(rt.apiVersion, "2024-09-01"):
			return invalid("max_completion_tokens", "unknown_parameter", "Unknown parameter: 'max_completion_tokens'.")
		case f.has("max_tokens"):
			return invalid("max_tokens", "invalid_parameter_combination", "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.")
		}
		name = "max_completion_tokens"
	} else if f.has("max_tokens") && reasoningModel(model) {
		return invalid("max_tokens", "unsupported_parameter", "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.")
	}
	r.hasMaximum = f.has(name)
	if r.maximum, problem = f.integer(name, 1, maxInt32, 0); problem != nil {
		return problem
	}
	if r.n, problem = f.integer("n", 1, 128, 1); problem != nil {
		return problem
	}
	r.candidates = r.n
	if r.operation == Completions && f.has("best_of") {
		if r.candidates, problem = f.integer("best_of", 1, 128, 1); problem != nil {
			return problem
		}
		if r.candidates < r.n {
			return invalid("best_of", "", "You requested that the server return more choices than it will generate (HINT: best_of must be greater than or equal to n).")
		}
	}
	r.echo, problem = f.boolean("echo")
	return problem
}

func (r *request) parseEmbeddings(f fields) (problem *serviceError) {
	var format string
	if f.has("encoding_format") {
		if json.Unmarshal(f["encoding_format"], &format) != nil || (format != "float" && format != "base64") {
			return invalid("encoding_format", "invalid_value", "Invalid value for 'encoding_format': expected 'float' or 'base64'.")
		}
	}
	r.base64 = format == "base64"
	r.dimensions, problem = f.integer("dimensions", 1, 3072, 0)
	return problem
}

// parsePrompt reads what the model is asked, by operation.
func (r *request) parsePrompt(f fields) *serviceError {
	switch r.operation {
	case ChatCompletions:
		return r.parseMessages(f)
	case Completions:
		return r.parseInputs(f, "prompt")
	}
	return r.parseInputs(f, "input")
}

// parseInputs reads "text", ["text", …], [1, 2, …] or [[1, 2], …].
func (r *request) parseInputs(f fields, name string) *serviceError {
	if !f.has(name) {
		return missing(name)
	}
	raw := f[name]
	var texts []string
	var arrays [][]int64
	if text, ok := decode[string](raw); ok {
		texts = []string{text}
	} else if list, ok := decode[[]string](raw); ok {
		texts = list
	} else if tokens, ok := decode[[]int64](raw); ok {
		arrays = [][]int64{tokens}
	} else if lists, ok := decode[[][]int64](raw); ok {
		arrays = lists
	} else {
		return f.wrongType(name, "one of a string, array of strings, array of integers, or array of integer arrays")
	}
	for _, text := range texts {
		if text == "" && r.operation == Embeddings {
			return invalid(name, "", "'$.input' is invalid. Please check the API reference: the input must not be an empty string.")
		}
		r.texts = append(r.texts, text)
		r.inputs = append(r.inputs, prompt{text: text, tokens: CountTokens(text)})
	}
	for _, array := range arrays {
		r.tokenArray += int64(len(array))
		r.inputs = append(r.inputs, prompt{tokens: int64(len(array))})
	}
	if len(r.inputs) == 0 || len(r.inputs) > 2048 {
		return invalid(name, "", "Invalid '%s': expected between 1 and 2048 elements, but got %d instead.", name, len(r.inputs))
	}
	return nil
}

// decode reads a value of one type, all of it or nothing.
func decode[T any](raw json.RawMessage) (v T, ok bool) {
	if json.Unmarshal(raw, &v) != nil {
		var none T
		return none, false
	}
	return v, true
}

func missing(name string) *serviceError {
	return invalid(name, "missing_required_parameter", "Missing required parameter: '%s'.", name)
}

// charge is the limiter's estimate on arrival: a quarter of the characters,
// rounded up, plus the largest possible output where a maximum is given.
func (r *request) charge() int64 {
	return max(1, (r.characters+3)/4+r.tokenArray+r.maximum*r.candidates)
}

// promptTokens is the true size of the prompt: its text, three tokens a
// message, one a name, three for the answer's start, 85 an image.
func (r *request) promptTokens() int64 {
	n := r.context + r.extra + r.images*85
	if r.operation == ChatCompletions || r.operation == Responses {
		for _, text := range r.texts {
			n += CountTokens(text)
		}
		return n + 3*r.messages + r.named + 3
	}
	for _, in := range r.inputs {
		n += in.tokens
	}
	return n
}

// digests are checksums of the first 4,096 bytes of the prompt's text and of
// all of it.
func (r *request) digests() (prefix, whole uint32) {
	left := 4096
	for _, text := range r.texts {
		whole = crc32.Update(whole, castagnoli, []byte(text))
		part := text[:min(left, len(text))]
		prefix = crc32.Update(prefix, castagnoli, []byte(part))
		left -= len(part)
	}
	return prefix, whole
}

// contains says whether a text of the prompt holds a word.
func (r *request) contains(word string) bool {
	for _, text := range r.texts {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

// Charge is what a Fixed or Sliding limiter books for a chat completion, a
// completion, an embedding or a response of this body, in tokens. The error says
// why the service would not accept the body.
func Charge(operation Operation, body []byte) (int64, error) {
	f, problem := parseFields(body)
	if problem == nil {
		model := "gpt-4o"
		if operation == Embeddings {
			model = "text-embedding-3-small"
		}
		var r *request
		rt := route{dialect: openAI, endpoint: &endpoint{operation: operation}}
		if r, problem = parseRequest(rt, model, input{fields: f}); problem == nil {
			return r.charge(), nil
		}
	}
	return 0, fmt.Errorf("status %d: %s", problem.status, problem.message)
}
