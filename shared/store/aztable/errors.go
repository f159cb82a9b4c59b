package aztable

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"spillway/shared/store"
)

var errMalformed = errors.New("malformed answer")

// Error is the failure of one request. It says what happened without any text
// that came from a URL, a header or a body, because those may hold secrets.
type Error struct {
	// Operation is what was asked, such as "replace".
	Operation string
	// Status is the HTTP status of the answer, 0 if there was none.
	Status int
	// Code is the service's error code, such as "UpdateConditionNotSatisfied".
	Code string
	// Reason says in a few words why there was no usable answer.
	Reason string
	// Hint says what is probably wrong and what to do about it, if the failure is
	// one that does not pass by itself.
	Hint string
	// Kind is the error of package store that the caller acts on.
	Kind error

	cause error // context.Canceled, context.DeadlineExceeded or nil.
	sent  bool  // The service may have seen the request.
}

// codeHTTPS is a 400 that says nothing about the row.
const codeHTTPS = "AccountRequiresHttps"

// The reasons that hint tells apart.
const (
	reasonNoToken     = "no token: "
	reasonNoHost      = "no such host"
	reasonNoConnect   = "cannot connect"
	reasonCertificate = "certificate refused"
	reasonMalformed   = "malformed answer"
	reasonTimeout     = "timeout"
)

// Error implements error.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "aztable: %s: ", e.Operation)
	if e.Kind != nil {
		fmt.Fprintf(&b, "%v: ", e.Kind)
	}
	if e.Status != 0 {
		fmt.Fprintf(&b, "status %d %s", e.Status, e.Code)
	}
	b.WriteString(e.Reason)
	text := strings.TrimSpace(b.String())
	if e.Hint != "" {
		text += ": " + e.Hint
	}
	return text
}

// Unwrap gives the Kind, and the context's error if that was the reason.
func (e *Error) Unwrap() []error {
	var causes []error
	for _, err := range []error{e.Kind, e.cause} {
		if err != nil {
			causes = append(causes, err)
		}
	}
	return causes
}

// newError describes a failed request.
func newError(operation string, progress *exchange, err error) *Error {
	e := &Error{Operation: operation, sent: progress.sent()}
	var answer *azcore.ResponseError
	var credential *credentialError
	var network net.Error
	var dial *net.OpError
	var name *net.DNSError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &answer):
		e.Status = answer.StatusCode
		e.Code = cleanCode(answer.ErrorCode)
	case errors.As(err, &credential):
		e.Reason = reasonNoToken + credential.reason
	case errors.Is(err, context.Canceled):
		e.Reason, e.cause = "canceled", context.Canceled
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		e.Reason, e.cause = reasonTimeout, context.DeadlineExceeded
	case errors.As(err, &name) && name.IsNotFound:
		e.Reason, e.sent = reasonNoHost, false
	case errors.As(err, &dial) && dial.Op == "dial":
		e.Reason, e.sent = reasonNoConnect, false
	case errors.As(err, &certificate):
		e.Reason, e.sent = reasonCertificate, false
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		e.Reason = "connection reset"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		e.Reason = "connection closed"
	case errors.Is(err, errMalformed):
		e.Reason = reasonMalformed
	default:
		e.Reason = fmt.Sprintf("transport error (%T)", err)
	}
	return e
}

// readError gives the failure of a read its kind: a read has no effect, so all
// that is not "not found" is "not available".
func readError(err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	e.Kind = store.ErrUnavailable
	if e.missing() {
		e.Kind = store.ErrNotFound
	}
	return e
}

// writeError gives the failure of a write its kind. Only an answer that refuses
// the write proves that nothing was written:
//
//	404 of a row or table       not found
//	409 of a row, 412           conflict
//	400, 413                    invalid
//	other statuses of refused   unavailable: refused before anything was written,
//	                            as 429, when the request units of a Cosmos DB
//	                            account are used up
//	408, 5xx, anything else     ambiguous, as is no answer to a request that was
//	                            sent; also 503, which the front end may give for a
//	                            write that is still on its way
func writeError(err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	e.Kind = e.writeKind()
	return e
}

// refused are the statuses that are decided before a request is carried out.
// Others, such as 499, are a proxy's word on its own patience.
var refused = []int{
	http.StatusUnauthorized, http.StatusPaymentRequired, http.StatusForbidden, http.StatusNotFound,
	http.StatusMethodNotAllowed, http.StatusProxyAuthRequired, http.StatusConflict, http.StatusLengthRequired,
	http.StatusRequestURITooLong, http.StatusUnsupportedMediaType, http.StatusMisdirectedRequest,
	http.StatusTooManyRequests, http.StatusRequestHeaderFieldsTooLarge,
	449, // Retry With, of Cosmos DB: another write of the row was under way.
}

func (e *Error) writeKind() error {
	switch {
	case e.Status == 0 && e.sent:
		return store.ErrAmbiguous
	case e.Status == 0:
		return store.ErrUnavailable
	case e.missing():
		return store.ErrNotFound
	case e.Status == http.StatusPreconditionFailed:
		return store.ErrConflict
	case e.Status == http.StatusConflict && e.Code == "EntityAlreadyExists":
		return store.ErrConflict
	case e.Code == codeHTTPS:
		return store.ErrUnavailable
	case e.Status == http.StatusBadRequest, e.Status == http.StatusRequestEntityTooLarge:
		return store.ErrInvalid
	case slices.Contains(refused, e.Status):
		return store.ErrUnavailable
	}
	return store.ErrAmbiguous
}

// missing tells whether the service says that the row, or its table, does not
// exist. A 404 without a code of the service comes from something else.
func (e *Error) missing() bool {
	if e.Status != http.StatusNotFound {
		return false
	}
	switch e.Code {
	case "ResourceNotFound", "EntityNotFound", "EntityDoesNotExist", "TableNotFound":
		return true
	}
	return false
}

// isMissing tells whether the service answered that the row or the table does
// not exist.
func isMissing(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.missing()
}

// unavailable marks any failure as one that wrote no row.
func unavailable(err error) error {
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	e.Kind = store.ErrUnavailable
	return e
}

// cleanCode keeps an error code if it looks like one: letters alone, so that
// nothing passes that a proxy has put there instead, such as a signature.
func cleanCode(code string) string {
	if len(code) > 64 {
		return ""
	}
	for _, c := range code {
		if letter := 'a' <= c|0x20 && c|0x20 <= 'z'; !letter {
			return ""
		}
	}
	return code
}
