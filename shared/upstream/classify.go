package upstream

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"spillway/shared/openai"
)

// byStatus is the outcome of an answer by its status alone. A 404 needs its
// body, too: see notFound.
func byStatus(status int) Outcome {
	switch {
	case status >= 200 && status <= 299:
		return OK
	case status == http.StatusTooManyRequests:
		return Throttled
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusNotFound:
		return Broken
	case status == http.StatusRequestTimeout, status < 400, status >= 500:
		return Failed
	default:
		return ClientFault
	}
}

func statusReason(status int) string {
	if status >= 300 && status <= 399 {
		return ReasonRedirect
	}
	return "status_" + strconv.Itoa(status)
}

// missing are the codes of a 404 that concern what the configuration says of
// the backend: the deployment, the model, the endpoint or its api-version. Azure
// writes its number for the last two.
var missing = map[string]bool{
	"deploymentnotfound": true, "model_not_found": true, "modelnotfound": true, "resourcenotfound": true,
	"unknown_model": true, "404": true, "": true,
}

// notFound tells whose matter a 404 is. One that is not the API's own, such as
// the page of a proxy, and one that concerns the deployment are the backend's;
// anything else (a file, a previous answer that the request refers to) is the
// client's. So is all that the API says of what the request's path names by an id.
//
// A path that does not exist under the api-version that the client chose is the
// client's: else a version that Azure does not know would take out one backend after
// another.
func notFound(op openai.Operation, fault *openai.Error, clientsVersion bool) Outcome {
	switch {
	case fault == nil:
		return Broken
	case clientsVersion && fault.Code == "404":
		return ClientFault
	case strings.Contains(op.Path(), "{id}"):
		return ClientFault
	case missing[strings.ToLower(fault.Code)]:
		return Broken
	default:
		return ClientFault
	}
}

// refusesStreamOptions tells whether a fault of 400 is about the field that was
// put into the request so as to learn its usage.
func refusesStreamOptions(fault *openai.Error) bool {
	const field = "stream_options"
	return fault != nil && (strings.HasPrefix(fault.Param, field) || strings.Contains(fault.Message, field))
}

// parseFault reads an error body, and returns nil if it is not one of the API.
func parseFault(status int, body []byte) *openai.Error {
	body = bytes.TrimLeft(body, " \t\r\n")
	if len(body) == 0 || body[0] != '{' || !bytes.Contains(body, []byte(`"error"`)) {
		return nil
	}
	return openai.ParseError(status, body)
}

// byFault is the outcome of an error inside a 200, and the status it stands for.
func byFault(fault *openai.Error) (Outcome, int) {
	code, kind := strings.ToLower(fault.Code), strings.ToLower(fault.Type)
	status := fault.Status
	switch {
	case limited[code], limited[kind]:
		status = http.StatusTooManyRequests
	case filtered[code]:
		status = http.StatusBadRequest
	case code != "" && missing[code]:
		status = http.StatusNotFound
	case status < 400:
		status = http.StatusInternalServerError
	}
	return byStatus(status), status
}

// filtered are the codes by which a request is refused for what it says, in
// lower case.
var filtered = map[string]bool{"content_filter": true, "responsibleaipolicyviolation": true, "context_length_exceeded": true}

// Evaluated tells whether the backend has refused the request for what it says:
// then it has read the whole prompt, and bills it.
func (r *Result) Evaluated() bool {
	return r.Outcome == ClientFault && r.Fault != nil && filtered[strings.ToLower(r.Fault.Code)]
}

// limited are the codes and types of a full backend, in lower case. "tokens" and
// "requests" are OpenAI's types for its rate limits.
var limited = map[string]bool{
	"rate_limit_exceeded": true, "rate_limit_error": true, "ratelimitreached": true, "rate_limit": true,
	"too_many_requests": true, "toomanyrequests": true, "insufficient_quota": true, "quota_exceeded": true,
	"tokens": true, "requests": true,
}

// unanswered judges an attempt that got no headers.
func (r *Result) unanswered(err error) (Outcome, string, error) {
	if r.stalled() {
		return Failed, ReasonHeaders, errStalled
	}
	if ended := r.parent.Err(); ended != nil {
		return r.interrupted(err, "")
	}
	var dial *net.OpError
	var dns *net.DNSError
	switch {
	case !r.Sent && strings.Contains(err.Error(), "invalid header field"):
		return Broken, ReasonCredential, err // a client's field would not have come in
	case strings.Contains(err.Error(), "malformed"):
		return Failed, ReasonMalformed, errNotHTTP // the original quotes the backend
	case isTLS(err):
		return Failed, ReasonTLS, err
	case errors.As(err, &dns), errors.As(err, &dial) && dial.Op == "dial", errors.As(err, &dial) && dial.Op == "proxyconnect":
		return Failed, ReasonDial, err
	case !r.Sent && errors.Is(err, context.DeadlineExceeded):
		return Failed, ReasonDial, err
	default:
		return Failed, ReasonReset, err
	}
}

var errNotHTTP = errors.New("the answer is not HTTP")

// interrupted judges an attempt that ended before its answer had begun, or while
// it was read: by the client, by the request's deadline, by the watch, or for
// the reason otherwise.
func (r *Result) interrupted(err error, otherwise string) (Outcome, string, error) {
	switch ended := r.parent.Err(); {
	case errors.Is(ended, context.DeadlineExceeded):
		return Canceled, ReasonDeadline, ended
	case ended != nil:
		return Canceled, ReasonCanceled, ended
	case r.stalled():
		return Failed, ReasonIdle, errStalled
	case errors.Is(err, io.ErrUnexpectedEOF):
		return Failed, ReasonCut, err
	default:
		return Failed, otherwise, err
	}
}

// isTLS tells whether err is of a TLS handshake. Not all such errors of the
// standard library have a type of their own.
func isTLS(err error) bool {
	var (
		record      tls.RecordHeaderError
		alert       tls.AlertError
		certificate *tls.CertificateVerificationError
		authority   x509.UnknownAuthorityError
		hostname    x509.HostnameError
		invalid     x509.CertificateInvalidError
	)
	return errors.As(err, &record) || errors.As(err, &alert) || errors.As(err, &certificate) ||
		errors.As(err, &authority) || errors.As(err, &hostname) || errors.As(err, &invalid) ||
		strings.Contains(err.Error(), "TLS handshake") || strings.Contains(err.Error(), "to HTTPS client") || strings.Contains(err.Error(), "tls: ")
}

// scrub takes the URL, whose query may hold a secret, out of an error.
func scrub(err error) error {
	var inURL *url.Error
	if errors.As(err, &inURL) {
		return scrub(inURL.Err)
	}
	return err
}
