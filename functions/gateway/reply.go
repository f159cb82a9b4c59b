package gateway

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	mathrand "math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"spillway/shared/clock"
	"spillway/shared/openai"
	"spillway/shared/upstream"
	"spillway/shared/usage"
)

// reply relays the answer, and settles every reservation with what it took.
func (g *Gateway) reply(ctx context.Context, w *response, req *request, h *hold, a *answer) {
	req.space.bill = bill{h, a, req.record}
	bill := &req.space.bill
	remembered := g.begin(ctx, w, req, bill)
	defer w.bound(time.Time{}) // for the connection's next request
	delivery := a.result.Relay(w, req.space.flush)
	remembered()
	g.finish(ctx, w, req, bill, &delivery)
}

// begin sends the answer's status and headers. It returns what waits until the answer is
// remembered, where it has to be.
func (g *Gateway) begin(ctx context.Context, w *response, req *request, bill *bill) (remembered func()) {
	a, record := bill.answer, bill.record
	servedBy(record, a)
	record.BackendID = backendID(a.result.Header)
	remembered = g.remember(ctx, req.consumer, req, bill.hold, a)
	if a.result.Outcome == upstream.ClientFault {
		var used usage.Tokens
		if a.result.Evaluated() { // what a content filter refuses is billed
			used.Prompt = g.exactPrompt(req)
		}
		bill.settle(used, used.Prompt == 0)
	} else if a.result.HasUsage {
		// The answer is here as a whole: settled first, its headers tell the
		// consumer what is left after it.
		bill.settle(tokensOf(a.result.Usage), true)
	}
	end, _ := ctx.Deadline()
	w.bound(end.Add(lastWords))
	upstream.CopyHeaders(w.Header(), a.result.Header)
	decorate(w, req, record)
	if record.Measured {
		w.set(headerConsumed, bill.consumed())
	}
	if !a.result.Stream {
		remembered() // the next request may ask another instance
	}
	w.WriteHeader(a.result.Status)
	record.FirstByte = w.firstByte()
	return remembered
}

// finish settles what has not been settled, once the answer has been delivered.
func (g *Gateway) finish(ctx context.Context, w *response, req *request, bill *bill, delivery *upstream.Delivery) {
	a := bill.answer
	switch {
	case a.result.Outcome == upstream.ClientFault:
	case req.runsOn(a.result) && (!delivery.HasUsage || !g.settleOnce(ctx, req.consumer, a.result.ObjectID)):
		// What it took is told to who asks for it later, or was to who has asked meanwhile:
		// that is when the consumer is charged with what exceeds the estimate.
		bill.keep()
	case delivery.HasUsage:
		bill.settle(tokensOf(delivery.Usage), true)
		g.Estimator.Learn(a.pool.Model, req.estimate, delivery.Usage)
	default:
		bill.settle(g.count(req, a, delivery), false)
	}
	if a.result.Stream {
		w.set(http.TrailerPrefix+headerConsumed, bill.consumed()) // only its end tells
	}
	g.explain(w, a.result, delivery, bill.record)
}

// bill is all that was reserved for an answer.
type bill struct {
	hold   *hold
	answer *answer
	record *usage.Record
}

// settle charges everything with what was really used. The first of settle and keep
// counts.
func (b *bill) settle(used usage.Tokens, measured bool) {
	b.record.Tokens, b.record.Measured = used, measured
	b.record.Cost = b.answer.pool.Price.Cost(used)
	b.hold.settle(used)
	b.answer.charge.settle(used.Total())
	b.answer.spill.Settle(b.hold.consumer.charge(used))
}

// keep charges everything with what was reserved.
func (b *bill) keep() {
	b.hold.keep()
	b.answer.charge.keep()
	b.answer.spill.Settle(b.answer.spill.Reserved())
}

// consumed is what the answer counts against the consumer's limits.
func (b *bill) consumed() string {
	return strconv.FormatInt(b.hold.consumer.charge(b.record.Tokens), 10)
}

// runsOn tells whether a good answer is that of a response which is made in the
// background, and not known to be complete.
func (r *request) runsOn(result *upstream.Result) bool {
	return r.wire.Background && r.route.Operation == openai.Responses && result.Outcome == upstream.OK && !result.HasUsage
}

// lastWords is the time left for the event that ends a stream whose time is up.
const lastWords = 5 * time.Second

// explain notes on the record how a relay ended that did not end well.
func (g *Gateway) explain(w *response, result *upstream.Result, d *upstream.Delivery, record *usage.Record) {
	last := &record.Attempts[len(record.Attempts)-1]
	switch {
	case d.ClientGone:
		last.Reason = "client_gone"
		w.status = statusClientGone
	case d.Err != nil:
		last.Reason = d.Reason
		// A stream has told its client by an error event. A plain answer that
		// ends early must not look complete.
		w.broken = !result.Stream
	}
}

// countFailed notes what backends have read for attempts that failed, when the
// client has its answer: counting takes time.
func (g *Gateway) countFailed(req *request, record *usage.Record) {
	for _, i := range req.failed {
		record.Attempts[i].Prompt = g.exactPrompt(req)
	}
}

// count is the tokens of an answer that came without usage: an old api
// version, or a client that left in the middle of a stream.
func (g *Gateway) count(req *request, a *answer, d *upstream.Delivery) usage.Tokens {
	if !countsTokens(req.route.Operation) {
		return usage.Tokens{}
	}
	completion, _ := g.Counter.Count(req.model, d.Text)
	if beyond := d.Beyond.Characters(); beyond > 0 && len(d.Text) > 0 {
		completion += completion * beyond / int64(utf8.RuneCount(d.Text))
	}
	return usage.Tokens{Prompt: g.exactPrompt(req), Completion: completion}
}

// countsTokens tells the operations whose answers cost tokens even if none are
// reported. Of images, sound and judgements some models report tokens; the others are
// counted as requests alone.
func countsTokens(op openai.Operation) bool {
	switch op {
	case openai.ChatCompletions, openai.Completions, openai.Embeddings, openai.Responses:
		return true
	}
	return false
}

func tokensOf(u openai.Usage) usage.Tokens {
	return usage.Tokens{Prompt: u.Prompt, Cached: u.Cached, Completion: u.Completion, Reasoning: u.Reasoning}
}

// The headers that tell the client how it was served.
const (
	headerRequestID  = "X-Request-Id"
	headerBackend    = "X-Spillway-Backend"
	headerDeployment = "X-Spillway-Deployment"
	headerAttempts   = "X-Spillway-Attempts"
	headerSpillover  = "X-Spillway-Spillover"
	headerConsumed   = "X-Spillway-Tokens-Consumed"
)

// decorate adds the headers that tell how the request was served.
func decorate(w *response, req *request, record *usage.Record) {
	w.set(headerRequestID, record.RequestID)
	w.set(headerBackend, record.Backend)
	w.set(headerDeployment, record.Deployment)
	w.set(headerAttempts, strconv.Itoa(len(record.Attempts)))
	if record.Spillover != "" {
		w.set(headerSpillover, record.Spillover)
	}
	if req.afresh {
		w.set(controlFreshRoute, "true")
	}
}

// servedBy notes who answered, or was to answer.
func servedBy(record *usage.Record, a *answer) {
	record.Pool, record.Backend, record.Deployment = a.pool.Name, a.member.Backend.Name, a.member.Name
	if record.Region = a.member.Backend.Region; record.Region == "" {
		record.Region = regionOf(a.result.Header)
	}
	record.Spillover = string(a.spillover)
	if by := handedOn(a.result.Header); by != "" {
		record.Deployment, record.Spillover = by, cmp.Or(record.Spillover, spilledByService)
	}
}

// spilledByService is noted where Azure OpenAI's own spillover was at work: a
// provisioned deployment had no room, and the service handed the request on to a
// standard one of the same resource, as the client or the deployment's settings asked.
const spilledByService = "service"

// handedOn is the deployment that served in place of the one that was asked, or "".
func handedOn(h http.Header) string {
	by := headerValue(h, "X-Ms-Deployment-Name")
	const longest = 64
	if headerValue(h, "X-Ms-Spillover-From-Deployment") == "" || len(by) > longest || !plain(by) {
		return ""
	}
	return strings.Clone(by) // the header's memory is not for whoever keeps the name
}

// regionOf is the region that a backend says it is in, as Azure writes names of
// regions in settings: "East US 2" is eastus2. Empty if it says nothing sensible.
func regionOf(h http.Header) string {
	const longest = 40
	region := make([]byte, 0, longest)
	for _, c := range []byte(headerValue(h, "X-Ms-Region")) {
		switch {
		case c == ' ':
			continue
		case c >= 'A' && c <= 'Z':
			c += 'a' - 'A'
		case (c < 'a' || c > 'z') && (c < '0' || c > '9'):
			return ""
		}
		if len(region) == longest {
			return ""
		}
		region = append(region, c)
	}
	return string(region)
}

// refuse answers with an error of our own.
func (g *Gateway) refuse(w *response, record *usage.Record, e *openai.Error) {
	record.Refused = e.Code
	if record.Refused == "" {
		record.Refused = e.Type
	}
	if e.Status == statusClientGone {
		w.status = statusClientGone
		return
	}
	header := w.Header()
	header.Set(headerRequestID, record.RequestID)
	if n := len(record.Attempts); n > 0 {
		header.Set(headerAttempts, strconv.Itoa(n))
	}
	e.Write(w)
}

// openRecord starts the record of a request.
func openRecord(record *usage.Record, r *http.Request, arrived clock.Instant) {
	id := headerValue(r.Header, headerRequestID)
	if !plain(id) {
		id = newRequestID()
	}
	record.Start, record.RequestID = arrived.Time(), id
	record.TraceID = traceID(headerValue(r.Header, "Traceparent"))
}

// plain tells whether a caller's id may be repeated in headers and logs.
func plain(id string) bool {
	if id == "" || len(id) > 128 {
		return false
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return false
		}
	}
	return true
}

// newRequestID is unique, and no secret.
func newRequestID() string {
	b := make([]byte, 0, 16)
	b = binary.BigEndian.AppendUint64(b, mathrand.Uint64())
	b = binary.BigEndian.AppendUint64(b, mathrand.Uint64())
	return string(hex.AppendEncode(append(make([]byte, 0, 36), "req_"...), b))
}

// traceID is the trace-id of a W3C traceparent, or "".
func traceID(traceparent string) string {
	_, rest, _ := strings.Cut(traceparent, "-")
	id, rest, _ := strings.Cut(rest, "-")
	if len(id) != 32 || !plain(id) || !strings.Contains(rest, "-") {
		return ""
	}
	return id
}

func backendID(h http.Header) string {
	for _, name := range []string{"Apim-Request-Id", headerRequestID} {
		if id := headerValue(h, name); plain(id) {
			return id
		}
	}
	return ""
}

// response remembers what was sent, tells the consumer's limits with every answer,
// and flushes where the host can: a Lambda response has no Flusher, and streams
// every write.
type response struct {
	http.ResponseWriter
	clock   *clock.Clock
	limits  []*Limit // of the consumer, once it is known
	values  []string // of the fields that were set, in one piece of memory
	status  int
	started bool
	arrived clock.Instant // when the request came
	begun   clock.Instant // when the answer was started
	broken  bool          // the answer ended early and must not look complete
}

// set sets a field of the header. The name is in canonical form.
func (w *response) set(name, value string) {
	if len(w.values) == cap(w.values) {
		const usual = 12 // fields that the gateway adds
		w.values = make([]string, 0, usual)
	}
	w.values = append(w.values, value)
	n := len(w.values)
	w.Header()[name] = w.values[n-1 : n : n]
}

// WriteHeader sends the status once.
func (w *response) WriteHeader(status int) {
	if w.started {
		return
	}
	w.started, w.status, w.begun = true, status, w.clock.Read()
	w.showLimits()
	w.ResponseWriter.WriteHeader(status)
}

// firstByte is the time from the request's arrival to the first byte of its answer.
func (w *response) firstByte() time.Duration { return w.begun.Since(w.arrived) }

// Write sends bytes of the body.
func (w *response) Write(p []byte) (int, error) {
	if !w.started {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}

// bound sets the time until which the answer must be written, zero: there is none. A
// client that reads no more must not hold its backend for ever. Our server sets it where
// something is written before the handler has returned; hosts without deadlines bound the
// call themselves.
func (w *response) bound(until time.Time) {
	_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(until)
}

func (w *response) flush() error {
	err := http.NewResponseController(w.ResponseWriter).Flush()
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}

func randomBelow(n uint64) uint64 { return mathrand.Uint64N(n) }
