package azureopenai

import (
	"errors"
	"net/http"
	"time"

	"spillway/tests/pause"
)

// How an answer can end early. errBroken aborts the connection; errEnded is a
// fault that ended the answer in good order.
var (
	errCanceled = errors.New("the client left")
	errBroken   = errors.New("the connection was broken by a fault")
	errEnded    = errors.New("the answer was ended by a fault")
)

func (p *serviceError) Error() string { return p.message }

// serve takes a request that named a deployment through faults and limiter to
// its answer. problem is what was wrong with its body. A returned error has not
// been answered yet.
func (e *exchange) serve(in input, problem *serviceError) *serviceError {
	var req *request
	if problem == nil {
		req, problem = parseRequest(e.route, e.deployment.Model, in)
	}
	if problem == nil {
		problem = e.precede(req)
	}
	if req != nil && req.seeded {
		e.dice = newDice(e.server.options.Seed, e.identity, 0)
	}
	picked := e.pickFaults(req)
	if picked.fault != nil {
		e.fault = &picked.fault.fault
	}
	if e.sleep(picked.delay) != nil {
		e.canceledEarly()
	}
	if early := e.early(); early != nil {
		return early
	}
	if problem != nil {
		e.deployment.countRequest(time.Now())
		return problem
	}
	e.request = req
	if refused := e.meter(); refused != nil {
		return refused
	}
	e.account(EventAccepted)
	e.log(EventAccepted, 0)
	return e.answer(picked.fault)
}

// refusalChecked marks a request whose chance of FaultRefuse was taken already.
type refusalChecked struct{}

func (e *exchange) pickFaults(req *request) plan {
	about := subject{deployment: e.deployment.Name, operation: e.route.operation, header: e.r.Header}
	about.stream = req != nil && req.stream
	checked := e.r.Context().Value(refusalChecked{}) != nil
	picked := e.server.faults.pick(about, time.Now(), func(kind FaultKind) bool {
		return kind != FaultRefuse || !checked
	})
	if picked.delay > 0 {
		e.deployment.countFault(FaultDelay)
	}
	if picked.lower {
		e.deployment.countFault(FaultLowerLimit)
	}
	return picked
}

func (d *deployment) countFault(kind FaultKind) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stats.Faults[kind]++
}

// countRequest counts a request that did not come as far as the token limit.
func (d *deployment) countRequest(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.requests.take(now)
}

// early acts out the faults that come before the limiter.
func (e *exchange) early() *serviceError {
	f := e.fault
	if f == nil {
		return nil
	}
	switch f.Kind {
	case FaultRefuse, FaultReset:
		e.breakNow()
	case FaultThrottle:
		kind, wait := f.Throttle, f.RetryAfter
		if kind == "" {
			kind = ThrottleTokens
		}
		if wait == 0 {
			wait = time.Second
		}
		e.deployment.countFault(f.Kind)
		return throttled(kind, wait, e.route)
	case FaultStatus:
		free := f.Status == 401 || f.Status == 403 || f.Status == 404 || f.Status == 429
		if f.Uncharged || free {
			return e.statusFault()
		}
	}
	return nil
}

// statusFault is the answer of a FaultStatus.
func (e *exchange) statusFault() *serviceError {
	f := e.fault
	e.deployment.countFault(f.Kind)
	status := f.Status
	if status == 0 {
		status = http.StatusInternalServerError
	}
	if f.Body != "" {
		content := "text/plain"
		if f.Body[0] == '{' {
			content = "application/json"
		}
		return &serviceError{status: status, raw: f.Body, content: content, wait: time.Second, kind: ThrottleTokens}
	}
	return statusError(status, e.route)
}

// statusError words a status as the service does.
func statusError(status int, rt route) *serviceError {
	switch status {
	case http.StatusUnauthorized:
		return unauthorized(rt.dialect)
	case http.StatusForbidden:
		return &serviceError{status: status, code: "403", message: "Access denied due to Virtual Network/Firewall rules."}
	case http.StatusNotFound:
		return unknownDeployment(rt.dialect, rt.deployment)
	case http.StatusRequestTimeout:
		return &serviceError{status: status, code: "Timeout", message: "The operation was timeout."}
	case http.StatusTooManyRequests:
		return throttled(ThrottleTokens, time.Second, rt)
	case http.StatusServiceUnavailable:
		return &serviceError{status: status, typ: "-", code: "ServiceUnavailable", message: "The service is temporarily unable to process your request. Please try again later."}
	}
	return &serviceError{status: status, typ: "server_error", code: "InternalServerError",
		message: "The server had an error while processing your request. Sorry about that!"}
}

// breakNow aborts the connection before the headers.
func (e *exchange) breakNow() {
	e.deployment.countFault(e.fault.Kind)
	e.deployment.finish(0, func(s *Stats) { s.Failed++ })
	e.leave()
	e.log(EventBroken, 0)
	panic(http.ErrAbortHandler)
}

func (e *exchange) canceledEarly() {
	e.deployment.finish(0, func(s *Stats) { s.Canceled++ })
	e.leave()
	e.log(EventCanceled, 0)
	panic(http.ErrAbortHandler)
}

// meter asks the limiters; an accepted request is charged.
func (e *exchange) meter() *serviceError {
	d, req := e.deployment, e.request
	lowered := e.server.faults.lowered(d.Name, time.Now())
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now() // Under the lock, so that bookings come in order of time.
	if wait := d.requests.take(now); wait > 0 {
		return throttled(ThrottleRequests, wait, e.route)
	}
	prefix, whole := req.digests()
	prompt := req.promptTokens()
	cached := d.prompts.look(prefix, whole, prompt)
	e.charge = req.charge()
	if d.Limiter == PTU {
		e.charge = max(1, (req.characters+3)/4+req.tokenArray-cached+d.expected(req))
	}
	if d.tokens != nil {
		if why, wait := d.tokens.take(now, e.charge, d.limit(lowered)); why != "" {
			return throttled(why, wait, e.route)
		}
	}
	d.book(now, e.charge)
	d.stats.Accepted++
	d.stats.PromptTokens += prompt
	d.stats.CachedTokens += cached
	if req.stream {
		d.stats.Streams++
	}
	e.prompt, e.cached = prompt, cached
	return nil
}

// expected is the output PTU assumes: the maximum, or a guess without one.
func (d *deployment) expected(r *request) int64 {
	switch {
	case r.operation == Embeddings:
		return 0
	case r.hasMaximum:
		return r.maximum * r.candidates
	}
	return d.Output.Mean * r.candidates
}

// book needs d.mu.
func (d *deployment) book(now time.Time, tokens int64) {
	d.stats.TokensCharged[windowStart(now, time.Minute, d.Phase).Unix()] += tokens
}

// finish counts what was generated and lets the caller count the rest.
func (d *deployment) finish(generated int64, count func(*Stats)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stats.CompletionTokens += generated
	count(&d.stats)
}

// answer responds and counts the outcome, whatever it is.
func (e *exchange) answer(hit *activeFault) *serviceError {
	err := e.respond(hit)
	e.conclude(err)
	var problem *serviceError
	switch {
	case errors.As(err, &problem):
		return problem
	case errors.Is(err, errCanceled), errors.Is(err, errBroken):
		panic(http.ErrAbortHandler)
	}
	return nil
}

// conclude counts the outcome of an accepted request, once. It is called
// before the last bytes are written, so that a client that has its answer
// finds it counted.
func (e *exchange) conclude(err error) {
	if e.concluded {
		return
	}
	e.concluded = true
	generated := e.generated
	if e.elsewhere {
		generated = 0
	} else {
		e.settle(generated)
		e.account(endOf(err))
	}
	var problem *serviceError
	switch {
	case err == nil:
		e.deployment.finish(generated, func(*Stats) {})
		e.leave()
		e.log(EventFinished, http.StatusOK)
	case errors.As(err, &problem):
		e.deployment.finish(generated, func(*Stats) {})
	case errors.Is(err, errCanceled):
		e.deployment.finish(generated, func(s *Stats) { s.Canceled++ })
		e.leave()
		e.log(EventCanceled, http.StatusOK)
	default:
		e.deployment.countFault(e.fault.Kind)
		e.deployment.finish(generated, func(s *Stats) { s.Failed++ })
		e.leave()
		e.log(EventBroken, http.StatusOK)
	}
}

// settle corrects what the limiter booked for a request, where it does that.
func (e *exchange) settle(generated int64) {
	if e.deployment.Limiter == PTU {
		e.correct(generated)
	}
}

// correct replaces the estimate in a PTU's bucket by what was really used.
func (e *exchange) correct(generated int64) {
	d := e.deployment
	now := time.Now()
	lowered := e.server.faults.lowered(d.Name, now)
	difference := e.prompt - e.cached + generated - e.charge
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tokens.(*leakyBucket).correct(now, difference, d.limit(lowered))
	d.book(now, difference)
}

// respond writes the answer, bent by the fault that hit this request.
func (e *exchange) respond(hit *activeFault) error {
	req, f := e.request, e.fault
	if word := e.server.options.FilterWord; word != "" && req.operation != Moderations && req.contains(word) {
		return contentFilter()
	}
	if size := e.deployment.ContextTokens; size > 0 && e.prompt > size {
		return invalid("messages", "context_length_exceeded", "This model's maximum context length is %d tokens. However, your messages resulted in %d tokens. Please reduce the length of the messages.", size, e.prompt)
	}
	if f != nil {
		switch f.Kind {
		case FaultStatus:
			return e.statusFault()
		case FaultStreamError, FaultResponseFailed:
			background := req.response != nil && req.response.background && f.Kind == FaultResponseFailed
			if !req.stream && !background {
				e.deployment.countFault(f.Kind)
				return statusError(http.StatusInternalServerError, e.route)
			}
		case FaultHangBeforeHeaders:
			if err := e.hang(hit); err != nil {
				return err
			}
		case FaultContentType, FaultEmptyStream, FaultRedirect:
			return e.wrongAnswer()
		case FaultMalformedSSE:
			if !req.stream {
				e.fault = nil
			}
		}
	}
	e.hit = hit
	return e.perform()
}

// wrongAnswer acts out the faults that replace the whole answer.
func (e *exchange) wrongAnswer() error {
	if err := e.sleep(e.dice.jitter(e.deployment.Latency.FirstByte, e.deployment.Latency.Jitter)); err != nil {
		return err
	}
	h := e.w.Header()
	e.setHeaders(h, time.Now())
	status, body := http.StatusOK, ""
	switch e.fault.Kind {
	case FaultContentType:
		h.Set("Content-Type", "text/html; charset=utf-8")
		body = "<html><body>Please sign in.</body></html>"
		if e.fault.Body != "" {
			body = e.fault.Body
		}
	case FaultEmptyStream:
		h.Set("Content-Type", contentType(e.request.stream))
	case FaultRedirect:
		h.Set("Content-Type", "text/plain")
		h.Set("Location", e.fault.Location)
		status = http.StatusTemporaryRedirect
	}
	e.conclude(errEnded)
	e.server.recorder.update(e.recorded, func(r *Recorded) { r.Status = status })
	e.w.WriteHeader(status)
	_, _ = e.w.Write([]byte(body)) // The client may be gone.
	return errEnded
}

// hang waits until the client leaves (an error) or the fault ends.
func (e *exchange) hang(hit *activeFault) error {
	var end <-chan time.Time
	if !hit.until.IsZero() {
		timer := time.NewTimer(time.Until(hit.until))
		defer timer.Stop()
		end = timer.C
	}
	e.deployment.countFault(hit.fault.Kind)
	select {
	case <-e.r.Context().Done():
		return errCanceled
	case <-hit.removed:
	case <-end:
	}
	e.fault = nil
	return nil
}

// sleep waits; it fails when the client leaves before.
func (e *exchange) sleep(d time.Duration) error {
	if pause.For(e.r.Context(), d) != nil {
		return errCanceled
	}
	return nil
}
