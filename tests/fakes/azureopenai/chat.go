package azureopenai

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

var roles = []string{"system", "developer", "user", "assistant", "tool", "function"}

// parseMessages reads the messages of a chat.
func (r *request) parseMessages(f fields) *serviceError {
	if !f.has("messages") {
		return missing("messages")
	}
	var messages []fields
	if json.Unmarshal(f["messages"], &messages) != nil {
		return f.wrongType("messages", "an array of objects")
	}
	if len(messages) == 0 {
		return invalid("messages", "empty_array", "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.")
	}
	for i, m := range messages {
		if problem := r.parseMessage(i, m); problem != nil {
			return problem
		}
	}
	r.messages = int64(len(messages))
	return nil
}

func (r *request) parseMessage(i int, m fields) *serviceError {
	at := fmt.Sprintf("messages[%d]", i)
	var role string
	if !m.has("role") {
		return missing(at + ".role")
	}
	if json.Unmarshal(m["role"], &role) != nil || !slices.Contains(roles, role) {
		return invalid(at+".role", "invalid_value", "Invalid value: %s. Supported values are: '%s'.", m["role"], strings.Join(roles, "', '"))
	}
	if m.has("name") {
		r.named++
	}
	if m.has("tool_calls") {
		r.extra += CountTokens(string(m["tool_calls"]))
	}
	if !m.has("content") {
		if role == "assistant" {
			return nil
		}
		return invalid(at+".content", "invalid_type", "Invalid value for 'content': expected a string, got null.")
	}
	var text string
	if json.Unmarshal(m["content"], &text) == nil {
		r.texts = append(r.texts, text)
		return nil
	}
	var parts []fields
	if json.Unmarshal(m["content"], &parts) != nil {
		return invalid(at+".content", "invalid_type", "Invalid type for '%s.content': expected one of a string or array of objects, but got %s instead.", at, jsonType(m["content"]))
	}
	for j, part := range parts {
		if problem := r.parsePart(fmt.Sprintf("%s.content[%d]", at, j), part); problem != nil {
			return problem
		}
	}
	return nil
}

func (r *request) parsePart(at string, part fields) *serviceError {
	var kind, text string
	if !part.has("type") {
		return missing(at + ".type")
	}
	_ = json.Unmarshal(part["type"], &kind) // A wrong type is an unknown kind.
	switch kind {
	case "text":
		if json.Unmarshal(part["text"], &text) != nil {
			return missing(at + ".text")
		}
		r.texts = append(r.texts, text)
	case "image_url":
		r.images++
	case "input_audio", "file", "refusal":
	default:
		return invalid(at+".type", "invalid_value", "Invalid value: %s. Supported values are: 'text', 'image_url', 'input_audio', 'refusal', and 'file'.", part["type"])
	}
	return nil
}

// function is the part of a tool that names it.
type function struct {
	Name       string          `json:"name"`
	Parameters json.RawMessage `json:"parameters"`
}

// parseTools decides whether the answer is a call: to the function that
// tool_choice names, else to the first one, unless the choice is "none" or the
// last message already is a tool's result.
func (r *request) parseTools(f fields) *serviceError {
	var functions []function
	switch {
	case f.has("tools"):
		var tools []struct {
			Function function `json:"function"`
		}
		if json.Unmarshal(f["tools"], &tools) != nil {
			return f.wrongType("tools", "an array of objects")
		}
		for _, tool := range tools {
			functions = append(functions, tool.Function)
		}
		r.extra += CountTokens(string(f["tools"]))
	case f.has("functions"):
		if json.Unmarshal(f["functions"], &functions) != nil {
			return f.wrongType("functions", "an array of objects")
		}
		r.extra += CountTokens(string(f["functions"]))
		r.legacyCall = true
	}
	if len(functions) == 0 {
		return nil
	}
	chosen := functions[0]
	for _, name := range []string{"tool_choice", "function_call"} {
		if string(f[name]) == `"none"` {
			return nil
		}
		var choice struct {
			Name     string   `json:"name"`
			Function function `json:"function"`
		}
		if f.has(name) && json.Unmarshal(f[name], &choice) == nil {
			for _, fn := range functions {
				if fn.Name == choice.Function.Name || fn.Name == choice.Name {
					chosen = fn
				}
			}
		}
	}
	var messages []struct {
		Role string `json:"role"`
	}
	_ = json.Unmarshal(f["messages"], &messages) // Checked by parseMessages.
	if last := messages[len(messages)-1].Role; last == "tool" || last == "function" {
		return nil
	}
	r.toolCall, r.function, r.parameters = true, chosen.Name, chosen.Parameters
	return nil
}

// parseFormat decides whether the answer's text is JSON.
func (r *request) parseFormat(f fields) *serviceError {
	if !f.has("response_format") {
		return nil
	}
	var format struct {
		Type   string `json:"type"`
		Schema struct {
			Schema json.RawMessage `json:"schema"`
		} `json:"json_schema"`
	}
	if json.Unmarshal(f["response_format"], &format) != nil {
		return f.wrongType("response_format", "an object")
	}
	switch format.Type {
	case "text":
	case "json_object", "json_schema":
		r.jsonAnswer, r.schema = true, format.Schema.Schema
		r.extra += CountTokens(string(format.Schema.Schema))
	default:
		return invalid("response_format.type", "invalid_value", "Invalid value: '%s'. Supported values are: 'json_object', 'json_schema', and 'text'.", format.Type)
	}
	return nil
}
