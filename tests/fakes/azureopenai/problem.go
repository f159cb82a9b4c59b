package azureopenai

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// serviceError is an error as the service words it. Without a typ it has the
// short shape of Azure's front end: {"error":{"code":…,"message":…}}.
type serviceError struct {
	status  int
	message string
	typ     string // "-" is sent as null
	param   string // "" is sent as null
	code    string // "" is sent as null
	inner   any
	raw     string // the whole body, instead of all of the above
	content string // its content type
	wait    time.Duration
	kind    ThrottleKind // of a 429
	header  map[string]string
}

func invalid(param, code, format string, args ...any) *serviceError {
	return &serviceError{status: http.StatusBadRequest, typ: "invalid_request_error", param: param, code: code,
		message: fmt.Sprintf(format, args...)}
}

func unauthorized(d dialect) *serviceError {
	if d == openAI {
		return &serviceError{status: http.StatusUnauthorized, typ: "invalid_request_error", code: "invalid_api_key",
			message: "Incorrect API key provided. You can find your API key at https://platform.openai.com/account/api-keys."}
	}
	return &serviceError{status: http.StatusUnauthorized, code: "401", message: "Access denied due to invalid subscription key or wrong API endpoint. " +
		"Make sure to provide a valid key for an active subscription and use a correct regional API endpoint for your resource."}
}

func unknownDeployment(d dialect, name string) *serviceError {
	if d == openAI {
		return &serviceError{status: http.StatusNotFound, typ: "invalid_request_error", code: "model_not_found",
			message: fmt.Sprintf("The model `%s` does not exist or you do not have access to it.", name)}
	}
	return &serviceError{status: http.StatusNotFound, typ: "invalid_request_error", code: "DeploymentNotFound",
		message: "The API deployment for this resource does not exist. If you created the deployment within the last 5 minutes, please wait a moment and try again."}
}

func contentFilter() *serviceError {
	safe := map[string]any{"filtered": false, "severity": "safe"}
	return &serviceError{status: http.StatusBadRequest, typ: "-", param: "prompt", code: "content_filter",
		message: "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. Please modify your prompt and retry. " +
			"To learn more about our content filtering policies please read our documentation: https://go.microsoft.com/fwlink/?linkid=2198766",
		inner: map[string]any{"code": "ResponsibleAIPolicyViolation", "content_filter_result": map[string]any{
			"hate": safe, "self_harm": safe, "sexual": safe, "violence": map[string]any{"filtered": true, "severity": "high"}}}}
}

// throttled words a 429. Seconds are rounded up.
func throttled(kind ThrottleKind, wait time.Duration, rt route) *serviceError {
	seconds := wholeSeconds(wait)
	version := rt.apiVersion
	if rt.dialect != classic {
		version = "v1"
	}
	p := &serviceError{status: http.StatusTooManyRequests, code: "429", wait: wait, kind: kind}
	limit := "token rate limit"
	switch kind {
	case ThrottleCapacity:
		p.code = "NoCapacity"
		p.message = fmt.Sprintf("The system is currently experiencing high demand and cannot process your request. Your request exceeds the maximum usage size allowed during peak load. "+
			"For improved capacity reliability, consider switching to Provisioned Throughput. Please retry after %d seconds.", seconds)
		return p
	case ThrottleUtilization:
		p.message = fmt.Sprintf("Requests to the %s Operation under Azure OpenAI API version %s have exceeded the provisioned throughput of your deployment: utilization is at or above 100%%. "+
			"Please retry after %d seconds.", rt.log, version, seconds)
		return p
	case ThrottleRequests:
		limit = "call rate limit"
	}
	p.message = fmt.Sprintf("Requests to the %s Operation under Azure OpenAI API version %s have exceeded %s of your current OpenAI S0 pricing tier. "+
		"Please retry after %d seconds. Please go here: https://aka.ms/oai/quotaincrease if you would like to further increase the default rate limit.",
		rt.log, version, limit, seconds)
	if kind == ThrottleOverestimate {
		p.message += " The estimated size of this request is larger than the limit; consider a smaller max_tokens."
	}
	if rt.dialect == openAI {
		p.typ, p.code = "tokens", "rate_limit_exceeded"
		if kind == ThrottleRequests {
			p.typ = "requests"
		}
	}
	return p
}

func wholeSeconds(d time.Duration) int64 {
	return int64((d + time.Second - 1) / time.Second)
}

func wholeMillis(d time.Duration) int64 {
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}

// body is the error as JSON.
func (p *serviceError) body() []byte {
	if p.raw != "" {
		return []byte(p.raw)
	}
	fields := map[string]any{"message": p.message, "code": orNull(p.code)}
	if p.typ != "" {
		fields["type"], fields["param"] = orNull(p.typ), orNull(p.param)
	}
	if p.inner != nil {
		fields["innererror"], fields["status"] = p.inner, p.status
	}
	out, err := json.Marshal(map[string]any{"error": fields})
	if err != nil { // Cannot happen: strings and numbers only.
		return []byte(`{"error":{}}`)
	}
	return out
}

func orNull(s string) any {
	if s == "" || s == "-" {
		return nil
	}
	return s
}

// fail answers with an error and counts it.
func (e *exchange) fail(p *serviceError) {
	now := time.Now()
	h := e.w.Header()
	e.setHeaders(h, now)
	if p.status == http.StatusTooManyRequests {
		e.setRetry(h, p, now)
	}
	for name, value := range p.header {
		h.Set(name, value)
	}
	body := p.body()
	content := p.content
	if content == "" {
		content = "application/json"
	}
	h.Set("Content-Type", content)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	e.countFailure(p)
	e.leave()
	e.log(EventRejected, p.status)
	e.w.WriteHeader(p.status)
	_, _ = e.w.Write(body) // The client may be gone; there is nothing to add.
}

func (e *exchange) countFailure(p *serviceError) {
	d := e.deployment
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if p.status != http.StatusTooManyRequests {
		d.stats.Failed++
		return
	}
	d.stats.Rejected429++
	d.stats.RejectedBy[p.kind]++
}

// setHeaders sets what every answer carries.
func (e *exchange) setHeaders(h http.Header, now time.Time) {
	if e.dice.Rand == nil {
		e.dice = newDice(e.server.options.Seed, nil, e.number)
	}
	h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains; preload")
	h.Set("X-Content-Type-Options", "nosniff")
	if e.route.dialect.azure() {
		h.Set("apim-request-id", e.dice.uuid())
		h.Set("x-request-id", e.dice.uuid())
		h.Set("x-ms-region", e.server.options.Region)
		if id := e.r.Header.Get("x-ms-client-request-id"); id != "" {
			h.Set("x-ms-client-request-id", id)
		}
	} else {
		h.Set("x-request-id", "req_"+e.dice.hex(32))
		h.Set("openai-version", "2020-10-01")
	}
	if e.deployment == nil || e.deployment == e.server.resource {
		return
	}
	if e.route.dialect.azure() {
		h.Set("x-ms-deployment-name", e.deployment.Name)
		h.Set("x-ms-rai-invoked", "true")
		h.Set("azureml-model-session", "d001-"+e.deployment.Name)
	} else {
		h.Set("openai-model", e.deployment.Model)
	}
	e.setRateLimits(h, now)
	if e.fault != nil {
		for name, value := range e.fault.Header {
			h.Set(name, value)
		}
	}
}

// setRateLimits sets the x-ratelimit-* headers; a PTU deployment has a
// utilization header instead of the token ones.
func (e *exchange) setRateLimits(h http.Header, now time.Time) {
	d, forms := e.deployment, e.server.options.Headers
	lowered := e.server.faults.lowered(d.Name, now)
	d.mu.Lock()
	defer d.mu.Unlock()
	if bucket, ok := d.tokens.(*leakyBucket); ok {
		h.Set("azure-openai-deployment-utilization", fmt.Sprintf("%.1f%%", bucket.utilization(now, d.limit(lowered))))
	} else if d.tokens != nil {
		limit := d.limit(lowered)
		setCount(h, "x-ratelimit-limit-tokens", limit, forms.Limit)
		setCount(h, "x-ratelimit-remaining-tokens", d.tokens.room(now, limit), forms.Remaining)
		e.setReset(h, "x-ratelimit-reset-tokens", d.tokens.reset(now, limit), forms.Reset)
	}
	if d.RequestsPerMinute > 0 {
		setCount(h, "x-ratelimit-limit-requests", d.RequestsPerMinute, forms.Limit)
		setCount(h, "x-ratelimit-remaining-requests", d.requests.remaining(now), forms.Remaining)
		e.setReset(h, "x-ratelimit-reset-requests", d.requests.reset(now), forms.Reset)
	}
}

func setCount(h http.Header, name string, n int64, form HeaderForm) {
	switch form {
	case HeaderNone:
	case HeaderMinusOne, HeaderZero:
		h.Set(name, string(form))
	default:
		h.Set(name, strconv.FormatInt(n, 10))
	}
}

func (e *exchange) setReset(h http.Header, name string, d time.Duration, form HeaderForm) {
	if form == HeaderDefault && e.route.dialect == openAI {
		form = HeaderDuration
	}
	switch form {
	case HeaderSeconds:
		h.Set(name, strconv.FormatInt(wholeSeconds(d), 10))
	case HeaderDuration:
		h.Set(name, roundDuration(d).String())
	case HeaderMinusOne, HeaderZero:
		h.Set(name, string(form))
	}
}

// roundDuration keeps milliseconds below a second and whole seconds above, as
// in 120ms, 6s and 1m0s.
func roundDuration(d time.Duration) time.Duration {
	if d < time.Second {
		return time.Duration(wholeMillis(d)) * time.Millisecond
	}
	return time.Duration(wholeSeconds(d)) * time.Second
}

// setRetry says when to come back, in the form asked for.
func (e *exchange) setRetry(h http.Header, p *serviceError, now time.Time) {
	seconds := strconv.FormatInt(wholeSeconds(p.wait), 10)
	reset := "x-ratelimit-reset-tokens"
	if p.kind == ThrottleRequests {
		reset = "x-ratelimit-reset-requests"
	}
	switch e.server.options.Retry {
	case RetryDefault:
		h.Set("retry-after", seconds)
		h.Set("retry-after-ms", strconv.FormatInt(wholeMillis(p.wait), 10))
	case RetryInt:
		h.Set("retry-after", seconds)
	case RetryFloat:
		h.Set("retry-after", strconv.FormatFloat(float64(wholeMillis(p.wait))/1000, 'f', 3, 64))
	case RetryDate:
		h.Set("retry-after", now.Add(p.wait+time.Second-1).UTC().Format(http.TimeFormat))
	case RetrySeconds:
		h.Set(reset, seconds+"s")
	case RetryDuration:
		h.Set(reset, roundDuration(p.wait).String())
	case RetryMillis:
		h.Set("retry-after-ms", strconv.FormatInt(wholeMillis(p.wait), 10))
	case RetryDay:
		h.Set("retry-after", "86400")
	case RetryNegative:
		h.Set("retry-after", "-1")
		h.Set("retry-after-ms", "-1000")
	case RetryGarbage:
		h.Set("retry-after", "soon")
		h.Set("retry-after-ms", "1e999")
	}
}
