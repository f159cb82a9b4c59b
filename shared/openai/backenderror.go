package openai

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// maxErrorBody is how much of a backend's error body is looked at; real ones are below 4 KiB.
const maxErrorBody = 64 << 10

// ParseError reads a backend's error body as loosely as they come: OpenAI's and Azure's {"error": {…}} with a code
// that is a string or a number, an error that is only a string, and the bare {"message"} or {"statusCode", "message"}
// of what may stand before a backend. It never fails: a body that says nothing gives a message made from the status.
// Status 0, an error inside a stream, is derived from the error's own status or code, else from its type; 0 remains
// where nothing tells.
func ParseError(status int, body []byte) *Error {
	e := &Error{Status: status}
	if len(body) <= maxErrorBody {
		var fields errorFields
		if json.Unmarshal(body, &fields) == nil {
			e.fill(fields)
		}
	}
	if e.Message == "" {
		e.Message = "The backend reported an error."
		if status != 0 {
			e.Message = strings.TrimSpace("The backend answered "+strconv.Itoa(status)+" "+http.StatusText(status)) + "."
		}
	}
	return e
}

// errorFields are the members an error body may have, on top or inside "error".
type errorFields struct {
	Error      json.RawMessage `json:"error"`
	Message    loose           `json:"message"`
	Type       loose           `json:"type"`
	Param      loose           `json:"param"`
	Code       loose           `json:"code"`
	Status     loose           `json:"status"`
	StatusCode loose           `json:"statusCode"`
	Detail     loose           `json:"detail"`
}

// loose takes a string or a number as text, and any other value as nothing.
type loose string

// UnmarshalJSON implements json.Unmarshaler; it accepts everything.
func (l *loose) UnmarshalJSON(raw []byte) error {
	var text string
	switch kindOf(raw[0]) {
	case kindString:
		if json.Unmarshal(raw, &text) != nil {
			return nil
		}
	case kindNumber:
		text = string(raw)
	}
	*l = loose(text)
	return nil
}

// fill takes what the fields say.
func (e *Error) fill(f errorFields) {
	inner := bytes.TrimSpace(f.Error)
	if len(inner) > 0 && kindOf(inner[0]) == kindObject {
		var object errorFields
		if json.Unmarshal(inner, &object) == nil {
			object.Error = nil
			f = object
		}
	} else if len(inner) > 0 && kindOf(inner[0]) == kindString {
		_ = f.Detail.UnmarshalJSON(inner) // never fails
	}
	e.Message, e.Type, e.Param, e.Code = string(f.Message), string(f.Type), string(f.Param), string(f.Code)
	if e.Message == "" {
		e.Message = string(f.Detail)
	}
	if e.Status == 0 {
		e.Status = statusOf(f)
	}
}

// statusOf derives an HTTP status from what an error says of itself.
func statusOf(f errorFields) int {
	for _, text := range [...]loose{f.Status, f.StatusCode, f.Code} {
		if n, err := strconv.Atoi(string(text)); err == nil && n >= 400 && n <= 599 {
			return n
		}
	}
	switch f.Code {
	case "rate_limit_exceeded", "insufficient_quota":
		return http.StatusTooManyRequests
	case "content_filter", "invalid_prompt", "bio_policy", "misalignment_policy_violation", "data_residency_mismatch",
		"invalid_image", "invalid_image_format", "invalid_base64_image", "invalid_image_url", "invalid_image_mode",
		"image_too_large", "image_too_small", "image_file_too_large", "image_parse_error", "image_content_policy_violation",
		"unsupported_image_media_type", "empty_image_file", "failed_to_download_image", "image_file_not_found":
		return http.StatusBadRequest
	case typeServer, "vector_store_timeout":
		return http.StatusInternalServerError
	}
	switch f.Type {
	case typeInvalidRequest:
		return http.StatusBadRequest
	case typeServer:
		return http.StatusInternalServerError
	}
	return 0
}

var _ json.Unmarshaler = (*loose)(nil)
