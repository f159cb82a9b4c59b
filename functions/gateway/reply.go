package gateway

import (
	"cmp"
	"crypto/rand"
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
func (g *Gateway) reply(w *response, req *request, h *hold, a *answer, record *usage.Record) {
	servedBy(record, a)
	record.BackendID = backendID(a.result.Header)
	settle := func(used usage.Tokens, measured bool) {
		record.Tokens, record.Measured = used, measured
		record.Cost = a.pool.Price.Cost(used)
		h.settle(used)
		a.charge.settle(used.Total())
		a.spill.Settle(h.consumer.charge(used))
	}
	if a.result.Outcome == upstream.ClientFault {
		var used usage.Tokens
		if a.result.Evaluated() { // what a content filter refuses is billed
			used.Prompt = g.exactPrompt(req)
		}
		settle(used, used.Prompt == 0)
	} else if a.result.HasUsage {
		// The answer is here as a whole: settled first, its headers tell the
		// consumer what is left after it.
		settle(tokensOf(a.result.Usage), true)
	}

	// A client that reads no more must not hold its backend for ever. Hosts
	// without deadlines bound the call themselves.
	connection := http.NewResponseController(w.ResponseWriter)
	_ = connection.SetWriteDeadline(time.Now().Add(g.Total + lastWords))
	defer func() { _ = connection.SetWriteDeadline(time.Time{}) }()

	header := w.Header()
	upstream.CopyHeaders(header, a.result.Header)
	decorate(header, a, record)
	consumed := func(name string) {
		header.Set(name, strconv.FormatInt(h.consumer.charge(record.Tokens), 10))
	}
	if record.Measured {
		consumed(headerConsumed)
	}
	w.WriteHeader(a.result.Status)
	record.FirstByte = g.Clock.Now().Sub(record.Start)
	delivery := a.result.Relay(w, w.flush)

	switch {
	case a.result.Outcome == upstream.ClientFault:
	case delivery.HasUsage:
		settle(tokensOf(delivery.Usage), true)
		g.Estimator.Learn(a.pool.Model, req.estimate, delivery.Usage)
	default:
		settle(g.count(req, a, delivery), false)
	}
	if a.result.Stream {
		consumed(http.TrailerPrefix + headerConsumed) // only its end tells
	}
	g.explain(w, a, delivery, record)
}

// lastWords is the time left for the event that ends a stream whose time is up.
const lastWords = 5 * time.Second

// explain notes on the record how a relay ended that did not end well.
func (g *Gateway) explain(w *response, a *answer, d upstream.Delivery, record *usage.Record) {
	last := &record.Attempts[len(record.Attempts)-1]
	switch {
	case d.ClientGone:
		last.Reason = "client_gone"
		w.status = statusClientGone
	case d.Err != nil:
		last.Reason = d.Reason
		// A stream has told its client by an error event. A plain answer that
		// ends early must not look complete.
		w.broken = !a.result.Stream
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
func (g *Gateway) count(req *request, a *answer, d upstream.Delivery) usage.Tokens {
	completion, _ := g.Counter.Count(req.model, d.Text)
	if beyond := d.Beyond.Characters(); beyond > 0 && len(d.Text) > 0 {
		completion += completion * beyond / int64(utf8.RuneCount(d.Text))
	}
	return usage.Tokens{Prompt: g.exactPrompt(req), Completion: completion}
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
func decorate(header http.Header, a *answer, record *usage.Record) {
	header.Set(headerRequestID, record.RequestID)
	header.Set(headerBackend, a.member.Backend.Name)
	header.Set(headerDeployment, a.member.Name)
	header.Set(headerAttempts, strconv.Itoa(len(record.Attempts)))
	if a.spillover != "" {
		header.Set(headerSpillover, string(a.spillover))
	}
}

// servedBy notes who answered, or was to answer.
func servedBy(record *usage.Record, a *answer) {
	record.Pool, record.Backend, record.Deployment = a.pool.Name, a.member.Backend.Name, a.member.Name
	record.Region = cmp.Or(a.member.Backend.Region, regionOf(a.result.Header))
	record.Spillover = string(a.spillover)
}

// regionOf is the region that a backend says it is in, as Azure writes names of
// regions in settings: "East US 2" is eastus2. Empty if it says nothing sensible.
func regionOf(h http.Header) string {
	name := strings.ToLower(strings.ReplaceAll(h.Get("X-Ms-Region"), " ", ""))
	const longest = 40
	if len(name) > longest || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return ""
	}
	return name
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
	if e.Status == http.StatusMethodNotAllowed {
		header.Set("Allow", http.MethodPost) // RFC 9110, section 15.5.6
	}
	e.Write(w)
}

// open starts the record of a request.
func (g *Gateway) open(w *response, r *http.Request) *usage.Record {
	id := r.Header.Get(headerRequestID)
	if !plain(id) {
		id = newRequestID()
	}
	return &usage.Record{Start: g.Clock.Now(), RequestID: id, TraceID: traceID(r.Header.Get("Traceparent"))}
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

func newRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the process rather
	return "req_" + hex.EncodeToString(b[:])
}

// traceID is the trace-id of a W3C traceparent, or "".
func traceID(traceparent string) string {
	parts := strings.Split(traceparent, "-")
	if len(parts) < 4 || len(parts[1]) != 32 || !plain(parts[1]) {
		return ""
	}
	return parts[1]
}

func backendID(h http.Header) string {
	for _, name := range []string{"Apim-Request-Id", headerRequestID} {
		if id := h.Get(name); plain(id) {
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
	limits  []Limit // of the consumer, once it is known
	status  int
	started bool
	broken  bool // the answer ended early and must not look complete
}

// WriteHeader sends the status once.
func (w *response) WriteHeader(status int) {
	if w.started {
		return
	}
	w.started, w.status = true, status
	showLimits(w.Header(), w.limits, w.clock.Now())
	w.ResponseWriter.WriteHeader(status)
}

// Write sends bytes of the body.
func (w *response) Write(p []byte) (int, error) {
	if !w.started {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}

func (w *response) flush() error {
	err := http.NewResponseController(w.ResponseWriter).Flush()
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}

func randomBelow(n uint64) uint64 { return mathrand.Uint64N(n) }
