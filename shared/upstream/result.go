package upstream

import (
	"context"
	"io"
	"net/http"
	"time"

	"spillway/shared/http1"
	"spillway/shared/openai"
	"spillway/shared/upstream/wire"
)

// Outcome says whose matter an attempt's end is, and so what to do next.
type Outcome uint8

// The outcomes of an attempt.
const (
	// OK is a good answer, to be relayed.
	OK Outcome = iota
	// ClientFault is a 4xx that any backend would give: it is relayed.
	ClientFault
	// Throttled is a 429: the deployment is full, not ill.
	Throttled
	// Failed is a fault of the backend or of the way to it: 408, 5xx, a refused
	// or lost connection, a timeout, an error inside a 200 stream, an answer
	// that cannot be read.
	Failed
	// Broken is a fault of the backend's configuration: 401, 403, a deployment
	// that does not exist, a credential that cannot be had.
	Broken
	// Canceled means that the client left or that the request's time is up.
	Canceled
)

// String returns the outcome's name.
func (o Outcome) String() string {
	switch o {
	case OK:
		return "ok"
	case ClientFault:
		return "client_fault"
	case Throttled:
		return "throttled"
	case Failed:
		return "failed"
	case Broken:
		return "broken"
	default:
		return "canceled"
	}
}

// Retryable tells whether another deployment may do better. Nothing has reached
// the client then.
func (o Outcome) Retryable() bool { return o == Throttled || o == Failed || o == Broken }

// The reasons of attempts and deliveries that did not end well, beside
// "status_" followed by a number.
const (
	ReasonDial        = "dial"            // the name was not found or the connection not made
	ReasonTLS         = "tls"             // the handshake failed
	ReasonHeaders     = "timeout_headers" // no headers in time
	ReasonIdle        = "timeout_idle"    // no further bytes in time
	ReasonReset       = "reset"           // the connection was lost
	ReasonCut         = "cut"             // the answer ended before its end
	ReasonRedirect    = "redirect"        // a 3xx, which is never followed: it would carry the credential elsewhere
	ReasonContentType = "content_type"    // an answer of another kind than was asked for
	ReasonMalformed   = "malformed"       // an answer that cannot be read
	ReasonEmpty       = "empty"           // a stream without any output
	ReasonStream      = "stream_error"    // an error inside a 200
	ReasonCredential  = "credential"      // the backend's credential could not be had
	ReasonEndpoint    = "endpoint"        // the backend has no address
	ReasonCanceled    = "canceled"        // the client left
	ReasonDeadline    = "deadline"        // the request's time is up
	// ReasonStreamOptions is a 400 that refuses the stream_options which we, not
	// the client, have put into the request (see Call.DropUsage): the same
	// request without them would be served.
	ReasonStreamOptions = "stream_options_refused"
)

// Error is why an attempt or a delivery failed. It never holds a credential, a
// query or a body.
type Error struct {
	// Reason is one of the Reason constants, or "status_503" and the like.
	Reason string
	// Err is the cause, nil if the reason says it all.
	Err error
}

// Error returns the reason and the cause.
func (e *Error) Error() string {
	if e.Err == nil {
		return "upstream: " + e.Reason
	}
	return "upstream: " + e.Reason + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Result is how an attempt ended. It belongs to one goroutine.
type Result struct {
	Outcome Outcome
	// Status is the backend's HTTP status, 0 if none came. For an error inside a
	// 200 it is the status that the error stands for.
	Status int
	// Header is the backend's, until Close. Its Content-Length is that of what Relay
	// will write, and absent if that is not known beforehand. Its values may be kept.
	Header http.Header
	// RetryAfter is how long the backend asked to be left alone, uncapped.
	RetryAfter    time.Duration
	HasRetryAfter bool
	// Sent says that bytes of the request may have reached the backend.
	Sent bool
	// Reason is short and of a small set, for logs and metrics; "" when OK.
	Reason string
	// Err is an *Error; nil when OK.
	Err error
	// Fault is the backend's error object, nil if it sent none.
	Fault     *openai.Error
	RateLimit RateLimit
	// TimeToFirstByte runs from sending to the answer's headers.
	TimeToFirstByte time.Duration
	// Stream says that the answer is an event stream.
	Stream bool
	// Unread says that the backend compressed its answer although it was asked
	// not to: it is passed through, and no usage can be found in it.
	Unread bool
	// Usage is known here already for an answer that was read whole.
	Usage    openai.Usage
	HasUsage bool
	// ObjectID and ObjectStatus are the id and the status of what the answer is
	// about, "" if not known: the members "id" and "status" of a JSON answer, or of
	// the response that the first events of a stream tell of. Of a JSON answer that
	// was not read whole its beginning is looked at.
	ObjectID     string
	ObjectStatus string

	client    *Client
	parent    context.Context // the caller's
	op        openai.Operation
	dropUsage bool
	// clientsVersion: the client has chosen the api-version.
	clientsVersion bool
	object         bool // the answer is a JSON object, or begins like one

	watch
	ours    bool                    // our own transport has made Header, which nobody else has
	room    [usualFields]wire.Field // for the header that is sent; on the stack it would be an eighth of that
	started time.Time               // of sending
	memory  memoryBody              // the request's body, if it is sent from memory
	read    *readBody               // the same, if it is read; nil: it is not
	body    io.ReadCloser           // the backend's answer; nil once it is read or given up

	announced int64 // the length of the answer, −1 if its header does not tell

	// What has been read of the answer and not been relayed: (*buf)[:filled].
	buf     *[]byte
	filled  int
	scanned int   // up to here no event ends that begins before
	unended bool  // the last event lacks its blank line
	readErr error // how reading ended, nil if it has not
	relayed bool

	released bool // nothing of the exchange goes on
}

// CountsOnBreaker tells whether the attempt is a failure to a circuit breaker.
func (r *Result) CountsOnBreaker() bool {
	switch r.Outcome {
	case Failed:
		return r.Status < 300 || r.client.options.FailureStatus(r.Status)
	case Broken:
		return true
	default:
		return false
	}
}

// Delivery is what became of an answer on its way to the client.
type Delivery struct {
	// Bytes is how much was written to the client.
	Bytes int64
	Usage openai.Usage
	// HasUsage says that the backend reported its usage.
	HasUsage bool
	// ObjectStatus is the last status seen of what the answer is about, as in
	// Result.
	ObjectStatus string
	// Text is the generated text that a stream delivered while no usage was
	// known, at most 64 KiB; nil once usage is known.
	Text []byte
	// Beyond counts the characters of such text that are not in Text.
	Beyond openai.Text
	// Reason and Err say why the delivery broke; "" and nil if it did not.
	Reason string
	Err    error
	// ClientGone says that the client left before the end.
	ClientGone bool
	// Truncated says that the backend's answer broke off. A stream was then
	// ended with an error event; any other answer is incomplete, and the
	// client's connection must be cut so that it notices.
	Truncated bool
}

// Close frees what the attempt holds: an unfinished request ends at the backend
// at once. After it the call's body is not read any more. Further calls do
// nothing.
func (r *Result) Close() {
	r.release()
	r.buf = r.client.buffers.give(r.buf)
	r.filled = 0
	if r.ours {
		http1.GiveHeader(r.Header)
	}
	r.Header = nil
}

// release ends the exchange with the backend and keeps what was read of it. It is
// called at each end that an attempt may have.
func (r *Result) release() {
	if r.released {
		return
	}
	r.released = true
	r.end()
	if r.body != nil {
		_ = r.body.Close()
		r.body = nil
	}
	r.memory.release()
	if r.read != nil {
		r.read.detach()
	}
}

// fail ends the attempt with an outcome that holds no answer.
func (r *Result) fail(outcome Outcome, reason string, err error) *Result {
	r.Outcome, r.Reason, r.Err = outcome, reason, &Error{Reason: reason, Err: scrub(err)}
	r.release()
	r.buf = r.client.buffers.give(r.buf)
	r.filled = 0
	return r
}
