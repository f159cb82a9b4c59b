package azureopenai

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// responseAsked is what is special to a request for a response.
type responseAsked struct {
	background, store, summary bool
	previous                   string
	items                      []inputItem
	echo                       fields // the request's members, which the answer repeats
}

// inputItem is an item of a response's input as the service keeps it.
type inputItem struct {
	id      string // as sent; "" if the service gives it one
	kind    string
	content fields
}

var responseMembers = strings.Fields(`background conversation include input instructions max_output_tokens max_tool_calls metadata model
	parallel_tool_calls previous_response_id prompt prompt_cache_key prompt_cache_retention reasoning safety_identifier service_tier
	store stream stream_options temperature text tool_choice tools top_logprobs top_p truncation user`)

// movedMembers are those of a chat completion that have another name here.
var movedMembers = map[string]string{"messages": "input", "max_tokens": "max_output_tokens",
	"max_completion_tokens": "max_output_tokens", "response_format": "text.format", "reasoning_effort": "reasoning.effort"}

// leastOutput is the smallest maximum that a response may have.
const leastOutput = 16

// parseResponse reads a request for a response.
func (r *request) parseResponse(rt route, model string, f fields) *serviceError {
	r.response = &responseAsked{echo: f}
	steps := []func() *serviceError{
		func() *serviceError { return checkMembers(f) },
		func() *serviceError { return r.parseResponseFlags(f) },
		func() *serviceError { return f.decimal("temperature", 0, 2) },
		func() *serviceError { return f.decimal("top_p", 0, 1) },
		func() *serviceError { return r.parseInput(f) },
		func() *serviceError { return r.parseResponseTools(f) },
		func() *serviceError { return r.parseTextFormat(f) },
	}
	for _, step := range steps {
		if problem := step(); problem != nil {
			return problem
		}
	}
	return nil
}

// checkMembers refuses what a response does not know, as the service does.
func checkMembers(f fields) *serviceError {
	for _, name := range slices.Sorted(maps.Keys(f)) {
		if moved, ok := movedMembers[name]; ok {
			return invalid(name, "unsupported_parameter", "Unsupported parameter: '%s'. In the Responses API, this parameter has moved to '%s'. Try again with the new parameter.", name, moved)
		}
		if !slices.Contains(responseMembers, name) {
			return invalid(name, "unknown_parameter", "Unknown parameter: '%s'.", name)
		}
	}
	return nil
}

func (r *request) parseResponseFlags(f fields) (problem *serviceError) {
	flags := []struct {
		name string
		into *bool
	}{{"stream", &r.stream}, {"background", &r.response.background}, {"store", &r.response.store}}
	r.response.store = true
	for _, flag := range flags {
		if f.has(flag.name) {
			if *flag.into, problem = f.boolean(flag.name); problem != nil {
				return problem
			}
		}
	}
	if r.response.background && !r.response.store {
		return invalid("background", "", "Background mode requires 'store' to be true.")
	}
	if f.has("stream_options") {
		options, ok := decode[fields](f["stream_options"])
		switch {
		case !ok:
			return f.wrongType("stream_options", "an object")
		case !r.stream:
			return invalid("stream_options", "", "The 'stream_options' parameter is only allowed when 'stream' is enabled.")
		case options.has("include_usage"):
			return invalid("stream_options.include_usage", "unknown_parameter", "Unknown parameter: 'stream_options.include_usage'.")
		}
		r.noPadding = string(options["include_obfuscation"]) == "false"
	}
	if reasoning, ok := decode[fields](f["reasoning"]); ok {
		r.response.summary = reasoning.has("summary")
	}
	r.hasMaximum = f.has("max_output_tokens")
	if r.maximum, problem = f.integer("max_output_tokens", leastOutput, maxInt32, 0); problem != nil {
		return problem
	}
	r.response.previous, problem = f.text("previous_response_id")
	return problem
}

// parseInput reads the instructions and the items of the input.
func (r *request) parseInput(f fields) *serviceError {
	instructions, problem := f.text("instructions")
	if problem != nil {
		return problem
	}
	if instructions != "" {
		r.texts, r.messages = append(r.texts, instructions), r.messages+1
	}
	if !f.has("input") {
		return missing("input")
	}
	if text, ok := decode[string](f["input"]); ok {
		r.texts, r.messages = append(r.texts, text), r.messages+1
		r.response.items = []inputItem{{kind: "message", content: fields{"role": mustJSON("user"), "content": inputTexts(text)}}}
		return nil
	}
	items, ok := decode[[]fields](f["input"])
	if !ok {
		return f.wrongType("input", "one of a string or array of objects")
	}
	if len(items) == 0 {
		return invalid("input", "empty_array", "Invalid 'input': empty array. Expected an array with minimum length 1, but got an empty array instead.")
	}
	for i, item := range items {
		if problem := r.parseItem(fmt.Sprintf("input[%d]", i), item); problem != nil {
			return problem
		}
	}
	return nil
}

// inputTexts is a text as the content of a message.
func inputTexts(text string) json.RawMessage {
	return mustJSON([]map[string]string{{"type": "input_text", "text": text}})
}

var itemKinds = []string{"message", "function_call", "function_call_output", "reasoning", "item_reference", "file_search_call",
	"web_search_call", "computer_call", "computer_call_output", "image_generation_call", "code_interpreter_call", "local_shell_call",
	"local_shell_call_output", "mcp_list_tools", "mcp_approval_request", "mcp_approval_response", "mcp_call", "custom_tool_call", "custom_tool_call_output"}

func (r *request) parseItem(at string, item fields) *serviceError {
	kind, problem := item.text("type", itemKinds...)
	if problem != nil {
		problem.param = at + ".type"
		return problem
	}
	if kind == "" {
		kind = "message"
	}
	id, _ := item.text("id") // A wrong id is replaced.
	content := maps.Clone(item)
	if kind == "message" {
		if problem := r.parseInputMessage(at, item); problem != nil {
			return problem
		}
		if text, ok := decode[string](item["content"]); ok {
			content["content"] = inputTexts(text)
		}
	} else {
		for _, name := range []string{"arguments", "output", "call_id"} {
			text, _ := item.text(name)
			r.extra += CountTokens(text)
		}
	}
	if kind == "function_call_output" && !item.has("call_id") {
		return missing(at + ".call_id")
	}
	r.response.items = append(r.response.items, inputItem{id: id, kind: kind, content: content})
	return nil
}

func (r *request) parseInputMessage(at string, item fields) *serviceError {
	role, problem := item.text("role", "assistant", "system", "developer", "user")
	switch {
	case problem != nil:
		problem.param = at + ".role"
		return problem
	case role == "":
		return missing(at + ".role")
	case !item.has("content"):
		return missing(at + ".content")
	}
	r.messages++
	if text, ok := decode[string](item["content"]); ok {
		r.texts = append(r.texts, text)
		return nil
	}
	parts, ok := decode[[]fields](item["content"])
	if !ok {
		return invalid(at+".content", "invalid_type", "Invalid type for '%s.content': expected one of an array of objects or string, but got %s instead.", at, jsonType(item["content"]))
	}
	for i, part := range parts {
		where := fmt.Sprintf("%s.content[%d]", at, i)
		kind, problem := part.text("type", "input_text", "input_image", "output_text", "refusal", "input_file", "input_audio")
		if problem != nil {
			problem.param = where + ".type"
			return problem
		}
		switch kind {
		case "":
			return missing(where + ".type")
		case "input_text", "output_text":
			text, problem := part.text("text")
			if problem != nil || !part.has("text") {
				return missing(where + ".text")
			}
			r.texts = append(r.texts, text)
		case "input_image":
			r.images++
		}
	}
	return nil
}

// parseResponseTools decides whether the answer is a call: to the function that
// tool_choice names, else to the first one, unless the choice is "none" or the
// last item of the input already is a function's result.
func (r *request) parseResponseTools(f fields) *serviceError {
	if !f.has("tools") {
		return nil
	}
	tools, ok := decode[[]struct {
		Type string `json:"type"`
		function
	}](f["tools"])
	if !ok {
		return f.wrongType("tools", "an array of objects")
	}
	r.extra += CountTokens(string(f["tools"]))
	choice, _ := decode[struct {
		Name string `json:"name"`
	}](f["tool_choice"])
	last := r.response.items[len(r.response.items)-1].kind
	for _, tool := range tools {
		if tool.Type != "function" || string(f["tool_choice"]) == `"none"` || last == "function_call_output" {
			continue
		}
		if tool.Name == "" {
			return missing("tools[0].name")
		}
		if !r.toolCall || tool.Name == choice.Name {
			r.toolCall, r.function, r.parameters = true, tool.Name, tool.Parameters
		}
	}
	return nil
}

// parseTextFormat decides whether the answer's text is JSON.
func (r *request) parseTextFormat(f fields) *serviceError {
	if !f.has("text") {
		return nil
	}
	text, ok := decode[struct {
		Format fields `json:"format"`
	}](f["text"])
	if !ok {
		return f.wrongType("text", "an object")
	}
	kind, problem := text.Format.text("type", "text", "json_object", "json_schema")
	if problem != nil {
		problem.param = "text.format.type"
		return problem
	}
	if kind == "json_object" || kind == "json_schema" {
		r.jsonAnswer, r.schema = true, text.Format["schema"]
		r.extra += CountTokens(string(r.schema))
	}
	return nil
}
