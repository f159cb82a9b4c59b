package azureopenai

import (
	"bytes"
	"encoding/json"
	"strings"
)

// fields are the members of a request body, by exact name; of duplicate names
// the last one counts.
type fields map[string]json.RawMessage

func parseFields(body []byte) (fields, *serviceError) {
	var f fields
	if err := json.Unmarshal(body, &f); err != nil || f == nil {
		return nil, invalid("", "", "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library correctly. "+
			"The OpenAI API expects a JSON payload, but what was sent was not valid JSON.)")
	}
	return f, nil
}

// has says whether a member is there and not null.
func (f fields) has(name string) bool {
	raw, ok := f[name]
	return ok && string(raw) != "null"
}

func (f fields) model() (string, *serviceError) {
	if !f.has("model") {
		return "", invalid("", "", "you must provide a model parameter")
	}
	var name string
	if json.Unmarshal(f["model"], &name) != nil {
		return "", f.wrongType("model", "a string")
	}
	return name, nil
}

func (f fields) wrongType(name, want string) *serviceError {
	return invalid(name, "invalid_type", "Invalid type for '%s': expected %s, but got %s instead.", name, want, jsonType(f[name]))
}

// jsonType names the type of a JSON value as the service does.
func jsonType(raw json.RawMessage) string {
	switch {
	case len(raw) == 0:
		return "nothing"
	case raw[0] == '"':
		return "a string"
	case raw[0] == '{':
		return "an object"
	case raw[0] == '[':
		return "an array"
	case raw[0] == 't' || raw[0] == 'f':
		return "a boolean"
	case raw[0] == 'n':
		return "null"
	case bytes.ContainsAny(raw, ".eE"):
		return "a decimal number"
	}
	return "an integer"
}

// integer reads an optional integer; fallback if absent.
func (f fields) integer(name string, low, high, fallback int64) (int64, *serviceError) {
	if !f.has(name) {
		return fallback, nil
	}
	var n int64
	if json.Unmarshal(f[name], &n) != nil {
		return 0, f.wrongType(name, "an integer")
	}
	if n < low {
		return 0, invalid(name, "integer_below_min_value", "Invalid '%s': integer below minimum value. Expected a value >= %d, but got %d instead.", name, low, n)
	}
	if n > high {
		return 0, invalid(name, "integer_above_max_value", "Invalid '%s': integer above maximum value. Expected a value <= %d, but got %d instead.", name, high, n)
	}
	return n, nil
}

func (f fields) boolean(name string) (bool, *serviceError) {
	var b bool
	if f.has(name) && json.Unmarshal(f[name], &b) != nil {
		return false, f.wrongType(name, "a boolean")
	}
	return b, nil
}

func (f fields) decimal(name string, low, high float64) *serviceError {
	if !f.has(name) {
		return nil
	}
	var x float64
	if json.Unmarshal(f[name], &x) != nil {
		return f.wrongType(name, "a decimal number")
	}
	if x < low || x > high {
		return invalid(name, "decimal_out_of_range", "Invalid '%s': expected a value between %v and %v, but got %v instead.", name, low, high, x)
	}
	return nil
}

// text reads an optional string that is one of the values, if there are any.
func (f fields) text(name string, values ...string) (string, *serviceError) {
	var text string
	if !f.has(name) {
		return "", nil
	}
	if json.Unmarshal(f[name], &text) != nil {
		return "", f.wrongType(name, "a string")
	}
	for _, value := range values {
		if text == value {
			return text, nil
		}
	}
	if len(values) > 0 {
		return "", invalid(name, "invalid_value", "Invalid value: '%s'. Supported values are: '%s'.", text, strings.Join(values, "', '"))
	}
	return text, nil
}
