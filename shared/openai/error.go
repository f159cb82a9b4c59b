package openai

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Error is an error of the API as OpenAI and Azure write it: an HTTP status and the body {"error": {"message", "type",
// "param", "code"}}. It is a plain value; nothing here changes one once made.
type Error struct {
	Status     int           // HTTP status; 0 where an error of a stream does not tell
	Message    string        // for a person
	Type       string        // the class, "invalid_request_error"; "" is written as null
	Param      string        // the parameter at fault; "" is written as null
	Code       string        // for a program, "model_not_found"; "" is written as null
	RetryAfter time.Duration // how long to wait before trying again; ≤ 0: not said
	NoRetry    bool          // trying again cannot help: tells SDKs so by x-should-retry: false
	Challenge  string        // WWW-Authenticate of a 401; "" is the plain one
	Allow      string        // Allow of a 405, the methods that are allowed: "GET, DELETE"
}

// The types of errors that are made here.
const (
	typeInvalidRequest = "invalid_request_error"
	typeServer         = "server_error"
)

// Error implements error: status, code and message in one line.
func (e *Error) Error() string {
	return strings.TrimSpace(fmt.Sprintf("%d %s %s", e.Status, Printable(e.Code), Printable(e.Message)))
}

// Write answers a request with the error. Retry-After is in whole seconds, rounded up, since SDKs that read only it
// would come back too early otherwise; retry-after-ms is exact to the millisecond, rounded up too. Both are read by
// the OpenAI SDKs, as is x-should-retry.
func (e *Error) Write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.FormatInt(roundUp(e.RetryAfter, time.Second), 10))
		h.Set("retry-after-ms", strconv.FormatInt(roundUp(e.RetryAfter, time.Millisecond), 10))
	}
	if e.NoRetry {
		h.Set("x-should-retry", "false")
	}
	if e.Allow != "" {
		h.Set("Allow", e.Allow) // every 405 names what is allowed (RFC 9110, section 15.5.6)
	}
	if e.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", cmp.Or(e.Challenge, `Bearer realm="spillway"`)) // every 401 names a challenge (RFC 9110, section 15.5.2)
	}
	body := e.appendJSON(nil)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(e.Status)
	_, _ = w.Write(body) // a client that has left needs no answer
}

// Event is the error as a server-sent event, the end of a stream that broke after its first byte. The OpenAI SDKs
// raise it as an error.
func (e *Error) Event() []byte {
	return append(e.appendJSON([]byte("data: ")), "\n\n"...)
}

// InvalidRequest is a 400 for the parameter param ("" where no single one is at fault).
func InvalidRequest(param, message string) *Error {
	return clientError(http.StatusBadRequest, param, "", message)
}

// Unauthorized is a 401 for a missing, unknown or expired key or token; it does not say which.
func Unauthorized() *Error {
	return clientError(http.StatusUnauthorized, "", "invalid_api_key", "Incorrect API key or token provided. "+
		"Send a valid key in the api-key header, or a key or token as Authorization: Bearer.")
}

// Forbidden is a 403 for a caller who is known and may not do this.
func Forbidden(message string) *Error {
	return clientError(http.StatusForbidden, "", "insufficient_permissions", message)
}

// ModelNotFound is a 404 for a model that does not exist or that the caller may not use; it names at most ten of those
// available to the caller.
func ModelNotFound(model string, available []string) *Error {
	const most = 10
	message := fmt.Sprintf("The model '%s' does not exist or you do not have access to it.", Printable(model))
	if len(available) > 0 {
		names := make([]string, 0, most+1)
		for _, name := range slices.Sorted(slices.Values(available)) {
			if len(names) == most {
				names = append(names, "…")
				break
			}
			names = append(names, Printable(name))
		}
		message += " Available: " + strings.Join(names, ", ") + "."
	}
	return clientError(http.StatusNotFound, "model", "model_not_found", message)
}

// UnknownURL is a 404 for a path that is none of the API's.
func UnknownURL(method, path string) *Error {
	return clientError(http.StatusNotFound, "", "unknown_url",
		fmt.Sprintf("Unknown request URL: %s %s. Please check the URL for typos.", Printable(method), Printable(path)))
}

// MethodNotAllowed is a 405 for a path that is there and is called with another method than the allowed ones.
func MethodNotAllowed(method string, allowed ...string) *Error {
	e := clientError(http.StatusMethodNotAllowed, "", "method_not_supported",
		fmt.Sprintf("Not allowed to %s here. Use %s.", Printable(method), strings.Join(allowed, " or ")))
	e.Allow = strings.Join(allowed, ", ")
	return e
}

// NotImplemented is a 501 for a part of the API that is not here. SDKs would try a 5xx again; this one stays.
func NotImplemented(message string) *Error {
	e := clientError(http.StatusNotImplemented, "", "not_implemented", message)
	e.NoRetry = true
	return e
}

// TooLarge is a 413 for a body of more than limit bytes.
func TooLarge(limit int64) *Error {
	e := clientError(http.StatusRequestEntityTooLarge, "", "request_too_large",
		fmt.Sprintf("The request body is larger than %d bytes.", limit))
	e.NoRetry = true
	return e
}

// RateLimited is a 429 for a limit that comes back after retryAfter. The kind of what ran out, "tokens" or "requests",
// is its type, as with OpenAI.
func RateLimited(kind, message string, retryAfter time.Duration) *Error {
	return &Error{Status: http.StatusTooManyRequests, Message: message, Type: kind, Code: "rate_limit_exceeded", RetryAfter: retryAfter}
}

// QuotaExceeded is a 429 that no SDK should answer by trying again: a quota for long periods is spent.
func QuotaExceeded(message string, retryAfter time.Duration) *Error {
	const quota = "insufficient_quota"
	return &Error{Status: http.StatusTooManyRequests, Message: message, Type: quota, Code: quota, RetryAfter: retryAfter, NoRetry: true}
}

// Overloaded is a 503 for when no backend is able to answer.
func Overloaded(retryAfter time.Duration) *Error {
	return &Error{Status: http.StatusServiceUnavailable, Message: "No backend is able to answer at the moment. Please try again later.",
		Type: typeServer, Code: "service_unavailable", RetryAfter: retryAfter}
}

// Internal is a 500 that tells nothing of its cause.
func Internal() *Error {
	return &Error{Status: http.StatusInternalServerError, Message: "The server had an error while processing your request.",
		Type: typeServer, Code: "internal_error"}
}

// Interrupted is the error that ends a stream whose backend broke off.
func Interrupted() *Error {
	return &Error{Status: http.StatusBadGateway, Message: "The backend broke off the stream before its end.",
		Type: typeServer, Code: "stream_interrupted"}
}

// clientError is an error in what the client sent.
func clientError(status int, param, code, message string) *Error {
	return &Error{Status: status, Message: message, Type: typeInvalidRequest, Param: param, Code: code}
}

// Printable makes a foreign text fit for a message or a log line: at most 100 characters, control characters and bytes
// that are not UTF-8 as escapes (\u000a, \xff).
func Printable(text string) string {
	const most = 100
	var b strings.Builder
	count := 0
	for i, r := range text {
		if count++; count > most {
			b.WriteString("…")
			break
		}
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(text[i:], "\uFFFD"):
			fmt.Fprintf(&b, `\x%02x`, text[i])
		case !unicode.IsPrint(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// appendJSON appends the error's body.
func (e *Error) appendJSON(dst []byte) []byte {
	dst = append(dst, `{"error":{"message":`...)
	dst = appendQuoted(dst, e.Message)
	for _, member := range [...]struct{ name, value string }{{"type", e.Type}, {"param", e.Param}, {"code", e.Code}} {
		dst = append(append(append(dst, `,"`...), member.name...), `":`...)
		if member.value == "" {
			dst = append(dst, "null"...)
		} else {
			dst = appendQuoted(dst, member.value)
		}
	}
	return append(dst, "}}"...)
}

// roundUp is d in whole units, rounded up.
func roundUp(d, unit time.Duration) int64 {
	n := int64(d / unit)
	if d%unit > 0 {
		n++
	}
	return n
}

// appendQuoted appends text as a JSON string. Bytes that are not UTF-8 become U+FFFD.
func appendQuoted(dst []byte, text string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	for _, r := range text {
		switch {
		case r == '"', r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hex[r>>4], hex[r&0xF])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}

var _ error = (*Error)(nil)
