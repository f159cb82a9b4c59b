package gateway

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	mathrand "math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"spillway/shared/openai"
	"spillway/shared/upstream"
	"spillway/shared/usage"
)

// reply relays the answer, and settles every reservation with what it took.
func (g *Gateway) reply(w *response, req *request, h *hold, a *answer, record *usage.Record) {
	record.Pool, record.Backend, record.Deployment = a.pool.Name, a.member.Backend.Name, a.member.Name
	record.Spillover = string(a.spillover)
	record.BackendID = backendID(a.result.Header)
	settle := func(used usage.Tokens, measured bool) {
		record.Tokens, record.Measured = used, measured
		record.Cost = a.pool.Price.Cost(used)
		h.settle(used.Total())
		a.charge.settle(used.Total())
		a.spill.Settle(used.Total())
	}
	if a.result.Outcome == upstream.ClientFault {
		settle(usage.Tokens{}, true)
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
	g.decorate(header, h, a, record)
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
)

// decorate adds the headers that tell how the request was served.
func (g *Gateway) decorate(header http.Header, h *hold, a *answer, record *usage.Record) {
	header.Set(headerRequestID, record.RequestID)
	header.Set(headerBackend, a.member.Backend.Name)
	header.Set(headerDeployment, a.member.Name)
	header.Set(headerAttempts, strconv.Itoa(len(record.Attempts)))
	if a.spillover != "" {
		header.Set(headerSpillover, string(a.spillover))
	}
	g.showLimits(header, h.consumer)
}

// showLimits adds the x-ratelimit headers of the consumer's own limits, in
// place of the backend's.
func (g *Gateway) showLimits(header http.Header, c *Consumer) {
	for _, limit := range c.Limits {
		switch {
		case limit.Quota:
		case limit.Requests:
			g.showLimit(header, limit, "X-Ratelimit-Limit-Requests", "X-Ratelimit-Remaining-Requests", "X-Ratelimit-Reset-Requests")
		default:
			g.showLimit(header, limit, "X-Ratelimit-Limit-Tokens", "X-Ratelimit-Remaining-Tokens", "X-Ratelimit-Reset-Tokens")
		}
	}
}

// showLimit adds the headers of one limit. Their names are in canonical form.
func (g *Gateway) showLimit(header http.Header, l Limit, amount, remaining, reset string) {
	status := l.Status()
	values := [...]string{
		strconv.FormatInt(status.Amount, 10),
		strconv.FormatInt(max(0, status.Remaining), 10),
		g.until(status.ResetAt).Round(time.Millisecond).String(),
	}
	header[amount], header[remaining], header[reset] = values[0:1:1], values[1:2:2], values[2:3:3]
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

// response remembers what was sent, and flushes where the host can: a Lambda
// response has no Flusher, and streams every write.
type response struct {
	http.ResponseWriter
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
