package azureopenai

import (
	"time"
)

// FaultKind names a way to fail.
type FaultKind string

// The kinds of fault. Unless said otherwise a fault acts after the limiter
// has accepted (and charged) the request.
const (
	// FaultDelay waits Fault.Delay before anything else; it combines with
	// every other fault.
	FaultDelay FaultKind = "delay"
	// FaultRefuse refuses the connection: in memory RoundTrip returns a dial
	// error (nothing was sent); over a socket it acts as FaultReset. Nothing is
	// counted by the limiter.
	FaultRefuse FaultKind = "refuse"
	// FaultReset closes the connection before the headers, after the request
	// was read. Nothing is counted by the limiter.
	FaultReset FaultKind = "reset"
	// FaultStatus answers Fault.Status with Fault.Body (default: a body like
	// the service's). 401, 403, 404 and 429 are not charged.
	FaultStatus FaultKind = "status"
	// FaultThrottle answers 429 of the kind Fault.Throttle, saying to come back
	// in Fault.RetryAfter. It is not charged.
	FaultThrottle FaultKind = "throttle"
	// FaultHangBeforeHeaders never sends headers: it waits until the client
	// leaves or the fault is removed (then the request goes on).
	FaultHangBeforeHeaders FaultKind = "hang-before-headers"
	// FaultHangAfterHeaders sends the headers and Fault.Events stream events
	// (or Fault.Bytes of a plain body), then waits likewise.
	FaultHangAfterHeaders FaultKind = "hang-after-headers"
	// FaultCut breaks the connection after Fault.Events stream events, or after
	// Fault.Bytes if > 0. A plain body breaks after Fault.Bytes (0: half way).
	FaultCut FaultKind = "cut"
	// FaultStreamError sends an error as event number Fault.Events (0: the
	// first) of a 200 stream and ends it. Plain answers: status 500.
	FaultStreamError FaultKind = "stream-error"
	// FaultResponseFailed ends the stream of a response with response.failed as
	// event number Fault.Events (0: the first), or when Fault.Tokens are generated;
	// a response in the background ends as failed. Elsewhere it is FaultStreamError.
	FaultResponseFailed FaultKind = "response-failed"
	// FaultMalformedSSE sends bytes that are not an event stream in place of
	// event number Fault.Events and ends. Plain answers: not hit.
	FaultMalformedSSE FaultKind = "malformed-sse"
	// FaultBadJSON sends broken JSON, as event number Fault.Events or as the
	// whole plain body, with status 200.
	FaultBadJSON FaultKind = "bad-json"
	// FaultContentType answers 200 with an HTML page.
	FaultContentType FaultKind = "content-type"
	// FaultEmptyStream answers 200 with the right headers and no body.
	FaultEmptyStream FaultKind = "empty-stream"
	// FaultRedirect answers 307 to Fault.Location.
	FaultRedirect FaultKind = "redirect"
	// FaultLowerLimit is the temporary rate limit adjustment: while it lasts,
	// the token limit and its header are at most Fault.Limit. It combines with
	// every other fault.
	FaultLowerLimit FaultKind = "lower-limit"
)

// Fault is something to go wrong. Conditions are joined: a request is hit if
// it matches, the fault is still active, and the dice say so.
type Fault struct {
	Kind FaultKind
	// Match narrows the requests that are hit; the zero value is all.
	Match Match
	// After lets that many matching requests pass first.
	After int64
	// Times is how many requests are hit before the fault ends. 0: no bound.
	Times int64
	// Probability hits a matching request with this chance. 0 means 1.
	Probability float64
	// For ends the fault that long after Inject. 0: no bound.
	For time.Duration

	Delay      time.Duration     // FaultDelay.
	Status     int               // FaultStatus. Default: 500.
	Body       string            // FaultStatus, FaultContentType, FaultBadJSON, FaultMalformedSSE: replaces the default body.
	Header     map[string]string // Added to the headers of the answer.
	Throttle   ThrottleKind      // FaultThrottle. Default: ThrottleTokens.
	RetryAfter time.Duration     // FaultThrottle. Default: 1 s.
	Events     int64             // See the kinds.
	// Tokens makes FaultHangAfterHeaders, FaultCut, FaultStreamError and FaultResponseFailed strike a
	// stream when that many tokens are generated and sent, in place of Events: what
	// the client has then is all that was generated. A shorter answer is not hit.
	Tokens   int64
	Bytes    int64  // See the kinds.
	Location string // FaultRedirect.
	Limit    int64  // FaultLowerLimit: tokens per minute.
	// Uncharged makes FaultStatus act before the limiter.
	Uncharged bool
}

// Match narrows the requests a fault hits. Empty fields match everything.
type Match struct {
	Deployment string
	Operation  Operation
	// Stream: "true" or "false" matches only streams, or only plain requests.
	Stream string
	// Header must be present on the request with this value.
	Header map[string]string
}

// ThrottleKind is one of the reasons the service gives for a 429.
type ThrottleKind string

const (
	// ThrottleTokens: the token limit is used up.
	ThrottleTokens ThrottleKind = "tokens"
	// ThrottleRequests: the request limit is used up.
	ThrottleRequests ThrottleKind = "requests"
	// ThrottleCapacity: the system as a whole is busy.
	ThrottleCapacity ThrottleKind = "capacity"
	// ThrottleOverestimate: this one request is larger than the whole limit.
	ThrottleOverestimate ThrottleKind = "overestimate"
	// ThrottleUtilization: a PTU deployment is at or above 100 %.
	ThrottleUtilization ThrottleKind = "utilization"
)

// ActiveFault is a fault that was injected and has not ended.
type ActiveFault struct {
	ID    int64
	Fault Fault
	// Fired is how many requests it has hit.
	Fired int64
}
