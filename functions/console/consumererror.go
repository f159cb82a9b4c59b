package console

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"

	"spillway/shared/consumers"
	"spillway/shared/openai"
)

// overtaken tells whether another change came first.
func overtaken(err error) bool {
	return errors.Is(err, consumers.ErrChanged) || errors.Is(err, consumers.ErrExists)
}

// conditional tells whether the client allows a change only to what it has seen.
func conditional(h http.Header) bool { return h.Get("If-Match") != "" || h.Get("If-None-Match") != "" }

// checkConditions compares what the client has seen with what is there.
func checkConditions(h http.Header, present consumers.Entry) error {
	if expected := h.Values("If-Match"); len(expected) > 0 && !matches(expected, present.ETag) {
		return errPrecondition
	}
	if unexpected := h.Values("If-None-Match"); len(unexpected) > 0 && matches(unexpected, present.ETag) {
		return errPrecondition
	}
	return nil
}

// matches tells whether one of the entity tags is the one that is there. The star is
// whatever is there.
func matches(fields []string, present string) bool {
	if present == "" {
		return false
	}
	for _, field := range fields {
		for tag := range strings.SplitSeq(field, ",") {
			if tag = strings.TrimSpace(tag); tag == "*" || strings.TrimPrefix(tag, "W/") == entityTag(present) {
				return true
			}
		}
	}
	return false
}

// entityTag is the ETag header of a row's ETag, which may hold anything.
func entityTag(etag string) string {
	return `"` + base64.RawURLEncoding.EncodeToString([]byte(etag)) + `"`
}

var errPrecondition = &openai.Error{
	Status: http.StatusPreconditionFailed, Type: "invalid_request_error", Code: "precondition_failed",
	Message: "The consumer is not as the condition of the request says. Read it again and decide again.",
}

// consumersError is the answer to what did not succeed.
func consumersError(err error) *openai.Error {
	refuse := func(status int, code string) *openai.Error {
		return &openai.Error{Status: status, Message: err.Error(), Type: "invalid_request_error", Code: code}
	}
	invalid, taken, answer := new(consumers.InvalidError), new(consumers.TakenError), new(openai.Error)
	switch {
	case errors.As(err, &answer):
		return answer
	case errors.As(err, &invalid):
		return refuse(http.StatusBadRequest, "invalid_consumer")
	case errors.Is(err, consumers.ErrNotFound):
		return refuse(http.StatusNotFound, "consumer_not_found")
	case errors.Is(err, consumers.ErrInFile):
		return refuse(http.StatusConflict, "consumer_in_file")
	case errors.As(err, &taken):
		return refuse(http.StatusConflict, "credential_taken")
	case overtaken(err), errors.Is(err, consumers.ErrFormat):
		return refuse(http.StatusConflict, "consumer_changed")
	case errors.Is(err, consumers.ErrUnknown):
		return unavailable(consumers.ErrUnknown)
	case errors.Is(err, consumers.ErrUnavailable):
		return unavailable(consumers.ErrUnavailable)
	default:
		return openai.Internal()
	}
}

func unavailable(err error) *openai.Error {
	return &openai.Error{
		Status: http.StatusServiceUnavailable, Message: err.Error(), Type: "server_error", Code: "state_unavailable",
		RetryAfter: consumersRetry,
	}
}
