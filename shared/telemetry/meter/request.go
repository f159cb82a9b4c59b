package meter

import (
	"net/http"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"

	"spillway/shared/usage"
)

// requestKey is all that a request's series are made of. What a client sent is in it
// only where the configuration knows it.
type requestKey struct {
	consumer, operation, model          string
	backend, deployment, region         string
	spillover, shadowed, refused, ended string // ended: the last attempt's reason
	status                              int
	stream, reserved                    bool
}

// clone is the key in memory of its own.
func (k requestKey) clone() requestKey {
	for _, s := range []*string{
		&k.consumer, &k.operation, &k.model, &k.backend, &k.deployment, &k.region,
		&k.spillover, &k.shadowed, &k.refused, &k.ended,
	} {
		*s = strings.Clone(*s)
	}
	return k
}

// requestSeries are the instruments at the attributes of one kind of request.
type requestSeries struct {
	requests, spilled, spilledTokens, unreported, shadowed adder
	input, output                                          recorder[int64]
	duration, firstChunk, perOutputToken, wait             recorder[float64]
}

// attemptKey is how one attempt ended.
type attemptKey struct{ deployment, reason string }

// clone is the key in memory of its own.
func (k attemptKey) clone() attemptKey {
	return attemptKey{strings.Clone(k.deployment), strings.Clone(k.reason)}
}

// ok is the reason of an attempt that ended well.
const ok = "ok"

// Request counts one finished request.
func (m *Meter) Request(r *usage.Record) {
	if m == nil {
		return
	}
	k := keyOf(r)
	s := m.requests.get(k)
	s.requests.add(1)
	for i := range r.Attempts {
		a := &r.Attempts[i]
		m.attempts.get(attemptKey{a.Deployment, a.Reason}).add(1)
	}
	if len(r.Attempts) > 0 {
		s.duration.record(r.Duration.Seconds())
	}
	if r.Waited > 0 {
		s.wait.record(r.Waited.Seconds())
	}
	if k.spillover != "" {
		s.spilled.add(1)
		s.spilledTokens.add(r.Tokens.Total())
	}
	if k.shadowed != "" {
		s.shadowed.add(1)
	}
	s.countTokens(r)
	if r.Stream && r.FirstByte > 0 && answered(r) {
		s.firstChunk.record(r.FirstByte.Seconds())
		if rest := r.Tokens.Completion - 1; rest > 0 && r.Measured && r.Status == http.StatusOK {
			s.perOutputToken.record((r.Duration - r.FirstByte).Seconds() / float64(rest))
		}
	}
}

// countTokens counts what the request took. The conventions want what the backend
// reported, and nothing else, in their metric.
func (s *requestSeries) countTokens(r *usage.Record) {
	if !r.Measured {
		if total := r.Tokens.Total(); total > 0 {
			s.unreported.add(total)
		}
		return
	}
	if r.Tokens.Prompt > 0 {
		s.input.record(r.Tokens.Prompt)
	}
	if r.Tokens.Completion > 0 {
		s.output.record(r.Tokens.Completion)
	}
}

// answered tells whether the backend that served answered well.
func answered(r *usage.Record) bool {
	n := len(r.Attempts)
	return n > 0 && r.Attempts[n-1].Status/100 == 2
}

func keyOf(r *usage.Record) requestKey {
	k := requestKey{
		consumer: r.Consumer, operation: r.Operation,
		backend: r.Backend, deployment: r.Deployment, region: r.Region,
		spillover: r.Spillover, shadowed: r.Shadowed, refused: r.Refused,
		status: r.Status, stream: r.Stream,
	}
	if r.Pool != "" { // else the model is one that nobody serves
		k.model = r.Model
	}
	if n := len(r.Attempts); n > 0 && r.Attempts[n-1].Reason != ok {
		k.ended = r.Attempts[n-1].Reason
	}
	k.reserved = r.Status == http.StatusTooManyRequests && r.Estimated > 0
	return k
}

// statusClientGone is the status of a request whose client left before its answer.
const statusClientGone = 499

// outcome sums up how a request ended for its client.
func (k *requestKey) outcome() string {
	switch {
	case k.status == statusClientGone:
		return "client_gone"
	case k.status == http.StatusTooManyRequests:
		return "rate_limited"
	case k.status >= http.StatusInternalServerError, k.status < http.StatusBadRequest && k.ended != "":
		return "failed"
	case k.status >= http.StatusBadRequest:
		return "rejected"
	default:
		return "served"
	}
}

// errorType is as ErrorType.
func (k *requestKey) errorType() string {
	switch {
	case k.refused != "":
		return k.refused
	case k.ended != "":
		return k.ended
	case k.status >= http.StatusBadRequest:
		return strconv.Itoa(k.status)
	default:
		return ""
	}
}

// ErrorType is the value of error.type for a finished request: our own error's code,
// else how the answer broke off, else the status; "" if all went well.
func ErrorType(r *usage.Record) string {
	k := keyOf(r)
	return k.errorType()
}

// attributes are those of a request, of which the conventions name the first.
func (m *Meter) attributes(k *requestKey) []attribute.KeyValue {
	var a attributes
	a.text("gen_ai.operation.name", k.operation)
	a.text("gen_ai.provider.name", m.providers[k.backend])
	a.text("gen_ai.request.model", k.model)
	a = append(a, attribute.Bool("gen_ai.request.stream", k.stream))
	a.text("spillway.consumer", k.consumer)
	a.text("spillway.backend", k.backend)
	a.text("spillway.deployment", k.deployment)
	a.text("spillway.region", k.region)
	return append(a, attribute.Bool("spillway.spilled", k.spillover != ""))
}

func (m *Meter) newRequestSeries(k requestKey) *requestSeries {
	common := attributes(m.attributes(&k))
	failed := common.with("error.type", k.errorType())
	ended := failed.with("spillway.outcome", k.outcome())
	ended = append(ended, attribute.Int("http.response.status_code", k.status))
	if k.status == http.StatusTooManyRequests {
		by := "consumer" // its own limits had no room
		if k.reserved {
			by = "capacity" // they had, and no deployment did
		}
		ended = ended.with("spillway.limited_by", by)
	}
	why := common.with("spillway.spill.reason", k.spillover)
	return m.requestSeriesAt(common, failed, ended, why)
}

// requestSeriesAt makes the series of a request: at the attributes that all have in
// common, with its error, with all of its end, and with why it spilled over.
func (m *Meter) requestSeriesAt(common, failed, ended, why attributes) *requestSeries {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := &m.instruments
	return &requestSeries{
		requests:       i.requests.at(ended...),
		spilled:        i.spilled.at(why...),
		spilledTokens:  i.spilledTokens.at(why...),
		unreported:     i.unreported.at(common...),
		shadowed:       i.shadowed.at(common...),
		input:          i.tokens.at(common.with("gen_ai.token.type", "input")...),
		output:         i.tokens.at(common.with("gen_ai.token.type", "output")...),
		duration:       i.duration.at(failed...),
		firstChunk:     i.firstChunk.at(common...),
		perOutputToken: i.perOutputToken.at(common...),
		wait:           i.wait.at(common...),
	}
}

func (m *Meter) newAttempts(k attemptKey) *adder {
	backend, _, _ := strings.Cut(k.deployment, "/")
	var a attributes
	a.text("gen_ai.provider.name", m.providers[backend])
	a.text("spillway.backend", backend)
	a.text("spillway.deployment", strings.TrimPrefix(k.deployment, backend+"/"))
	a.text("spillway.attempt.reason", k.reason)
	return m.adder(&m.instruments.attempts, a)
}

// attributes are being put together. One without a value is left out.
type attributes []attribute.KeyValue

func (a *attributes) text(key, value string) {
	if value != "" {
		*a = append(*a, attribute.String(key, Value(value)))
	}
}

// with is a copy with one more.
func (a attributes) with(key, value string) attributes {
	more := append(make(attributes, 0, len(a)+4), a...)
	more.text(key, value)
	return more
}
