// Package upstream makes one attempt on one deployment: it builds the request,
// sends it, reads as much of the answer as is needed to judge it, and then
// relays it. Nothing of an answer reaches the client before it has been judged
// good, so that every failure up to then can be made good by another attempt
// elsewhere.
package upstream

import (
	"cmp"
	"context"
	"io"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"spillway/shared/lifetime"
	"spillway/shared/openai"
)

// Backend is one endpoint. It is not changed or copied after it has been made, and
// is safe for concurrent use.
type Backend struct {
	// Name is for logs.
	Name string
	// Region is where it is, for usage reports; empty: what its answers say.
	Region string
	// Endpoint is the scheme, the host and an optional path prefix.
	Endpoint *url.URL
	Dialect  openai.Dialect
	// APIVersion is the api-version to ask for; empty: the client's.
	APIVersion string
	// Credential authenticates us to the backend; nil: nothing is sent.
	Credential Credential
	// Header are fields that every request to the backend has, by their canonical
	// names. They replace the client's; the credential's replace them.
	Header http.Header
	// Transport sends the requests to this backend, such as one that trusts an
	// authority of its own (see NewTransport); nil: the Client's. It must not
	// follow redirects.
	Transport http.RoundTripper

	last atomic.Pointer[address] // of the last request: most go to the same
}

// Body is a request's body, as often as it is needed: once for each attempt, and
// once more where a kept connection turns out to be closed. It is safe for
// concurrent use.
type Body interface {
	// NewReader returns a reader of the whole body. Its Close may be called while
	// another goroutine reads; nothing of the body is read once it has returned.
	NewReader() io.ReadCloser
	// Size is the body's length in bytes.
	Size() int64
}

// Call is one attempt's request. Neither Header nor Body is changed, so that
// the same ones serve all attempts of a request.
type Call struct {
	Operation openai.Operation
	// Deployment is the deployment's name on the backend. It matters where the
	// operation's path has it.
	Deployment string
	// ID is that of the response, the file or the batch which the operation is
	// about, "" if it is about none.
	ID string
	// Query is what of the client's query is passed on, "" if nothing.
	Query string
	// APIVersion is what the client sent, "" if nothing.
	APIVersion string
	// Header is the client's. Hop-by-hop fields, credentials and the gateway's own
	// fields (X-Spillway-…) in it are not sent on. With a form for a body it has the
	// form's Content-Type.
	Header http.Header
	// Body is nil where the request has none.
	Body Body
	// Stream says that the client asked for an event stream.
	Stream bool
	// DropUsage says that we asked for the stream's usage and the client did
	// not: the chunk that carries nothing else is kept from it.
	DropUsage bool
	// Within, if positive, bounds the time until the answer has begun (of a
	// stream: until its first good event), on top of the Client's own timeouts.
	// It is for trials, which must end before their claim does.
	Within time.Duration
}

// Options are the settings of a Client. The zero value is usable.
type Options struct {
	// Transport sends the requests to backends that have none of their own; nil:
	// NewTransport(Connect, nil). It must not follow redirects.
	Transport http.RoundTripper
	// Connect bounds the dial, and once more the TLS handshake. Default 5 s.
	Connect time.Duration
	// ResponseHeaders bounds the time from the start of an attempt to the
	// headers of its answer. Default 120 s.
	ResponseHeaders time.Duration
	// StreamIdle bounds the wait for the next bytes of an answer once its
	// headers have come. Default 60 s.
	StreamIdle time.Duration
	// FailureStatus tells which statuses count on a deployment's breaker.
	// Default: 500 to 599.
	FailureStatus func(status int) bool
}

// Client makes attempts. It is safe for concurrent use.
type Client struct {
	options Options
	buffers buffers
	alarms  lifetime.Alarms
}

// New makes a Client.
func New(o Options) *Client {
	o.Connect = cmp.Or(max(o.Connect, 0), 5*time.Second)
	o.ResponseHeaders = cmp.Or(max(o.ResponseHeaders, 0), 120*time.Second)
	o.StreamIdle = cmp.Or(max(o.StreamIdle, 0), 60*time.Second)
	if o.Transport == nil {
		o.Transport = NewTransport(o.Connect, nil)
	}
	if o.FailureStatus == nil {
		o.FailureStatus = func(status int) bool { return status >= 500 && status <= 599 }
	}
	return &Client{options: o}
}

// Do makes one attempt and judges it. It returns
//
//   - for an event stream: with the first good event in hand,
//   - for speech: with its first bytes in hand,
//   - for any other answer of up to 256 KiB: with all of it in hand,
//   - for a larger one: with its beginning in hand,
//   - or with the reason why there is none.
//
// The Result is never nil and must be closed. The answer lives under ctx until
// then: when ctx ends, so does the backend's request.
func (c *Client) Do(ctx context.Context, b *Backend, call Call) *Result {
	return c.DoIn(ctx, new(Result), b, call)
}

// DoIn is Do for who has the memory for the Result, such as a Result that has been closed
// and is not used any more. It returns r.
func (c *Client) DoIn(ctx context.Context, r *Result, b *Backend, call Call) *Result {
	*r = Result{} // with values in it, it would be made on the stack first
	r.client, r.parent, r.dropUsage, r.op, r.RateLimit = c, ctx, call.DropUsage, call.Operation, unknownRateLimit
	r.clientsVersion = b.Dialect == openai.Azure && b.APIVersion == "" && call.APIVersion != ""
	if ctx.Err() != nil {
		return r.fail(r.interrupted(ctx.Err(), ReasonReset))
	}
	if b.Endpoint == nil {
		return r.fail(Broken, ReasonEndpoint, errNoEndpoint)
	}
	r.start(ctx, &c.alarms, c.options.ResponseHeaders, call.Within)
	credential, err := b.credential(r.life)
	switch {
	case err != nil && ctx.Err() != nil:
		return r.fail(r.interrupted(err, ReasonCredential))
	case err != nil:
		return r.fail(Broken, ReasonCredential, err)
	}
	by := cmp.Or(b.Transport, c.options.Transport)
	header := appendFields(r.room[:0], call.Header, b.Header, credential)
	r.started = time.Now()
	to := b.address(call.target(b.APIVersion), by)
	response, err := r.send(by, to, header, call.Body)
	answered := time.Now()
	r.TimeToFirstByte = answered.Sub(r.started)
	if err != nil {
		r.rest()
		r.Sent = r.taken()
		outcome, reason, cause := r.unanswered(err)
		r.Sent = maySent(reason, r.Sent || call.Body == nil)
		return r.fail(outcome, reason, cause)
	}
	r.Sent = true
	r.body = response.Body
	response.Request = nil // the body of a long stream would hold it, and its header
	r.Status, r.Header, r.ours = response.StatusCode, response.Header, to.by != nil
	r.RateLimit = ParseRateLimit(response.Header)
	if r.Status >= 400 {
		r.RetryAfter, r.HasRetryAfter = RetryAfter(response.Header, answered)
	}
	r.expect(answered, c.options.StreamIdle)
	r.receive(response, call.Stream)
	return r
}

// maySent tells whether bytes of a request that failed for the reason may have
// reached the backend. A transport may have taken its body before it had a connection
// to send it on; a request without a body does not show whether it was sent.
func maySent(reason string, taken bool) bool {
	switch reason {
	case ReasonDial, ReasonTLS, ReasonCredential:
		return false
	}
	return taken
}

// CloseIdleConnections closes the connections that no attempt uses, but for those of
// the backends' own transports.
func (c *Client) CloseIdleConnections() {
	if t, ok := c.options.Transport.(interface{ CloseIdleConnections() }); ok {
		t.CloseIdleConnections()
	}
}
