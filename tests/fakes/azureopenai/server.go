// Package azureopenai is a simulated Azure OpenAI resource for tests: it
// meters, throttles, streams and fails as the service does.
//
// It is the oracle of the project's tests. It therefore shares no code with the
// gateway: its request parser, its estimate of tokens and its limiters are its
// own, written from the service's public documentation. Time is time.Now, so a
// Server made inside a testing/synctest bubble and reached through RoundTripper
// lives in virtual time.
//
// Known simplifications: answers are made of seeded words; tokens are counted
// by a simple rule (see CountTokens), not by a real vocabulary; pictures and
// sound are noise with the right beginning.
package azureopenai

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Server is one simulated resource. It is an http.Handler and safe for
// concurrent use.
type Server struct {
	options     Options
	deployments map[string]*deployment
	resource    *deployment // serves what is about no model; it has no name
	numbers     atomic.Int64
	repeats     repeats
	store       store
	faults      faultBoard
	journal     journal
	recorder    recorder
}

// New returns a resource ready to serve. It panics if Options.Validate finds
// an error: a wrong simulation would prove nothing.
func New(o Options) *Server {
	if err := o.Validate(); err != nil {
		panic("azureopenai: " + err.Error())
	}
	o = o.withDefaults()
	s := &Server{options: o, deployments: make(map[string]*deployment, len(o.Deployments))}
	s.faults.seed(o.Seed)
	for _, d := range o.Deployments {
		s.deployments[d.Name] = newDeployment(d)
	}
	s.resource = newDeployment(Deployment{}.withDefaults(o))
	return s
}

// Name is Options.Name.
func (s *Server) Name() string { return s.options.Name }

// deployment is a model on the resource with its limiter and counters.
type deployment struct {
	Deployment
	mu       sync.Mutex
	tokens   tokenLimiter  // guarded by mu; nil: no limit
	requests *requestMeter // guarded by mu
	stats    Stats         // guarded by mu
	prompts  promptCache   // guarded by mu
}

func newDeployment(d Deployment) *deployment {
	return &deployment{Deployment: d, tokens: newTokenLimiter(d), requests: newRequestMeter(d), stats: newStats()}
}

// Stats returns a copy of the counters, by deployment. Those of requests about
// stored objects, which name no deployment, have the name "", if there were any.
func (s *Server) Stats() map[string]Stats {
	all := make(map[string]Stats, len(s.deployments))
	for name, d := range s.deployments {
		d.mu.Lock()
		all[name] = d.stats.clone()
		d.mu.Unlock()
	}
	s.resource.mu.Lock()
	defer s.resource.mu.Unlock()
	if s.resource.stats.Requests > 0 {
		all[""] = s.resource.stats.clone()
	}
	return all
}

// exchange is one request on its way through the server.
type exchange struct {
	server     *Server
	w          http.ResponseWriter
	r          *http.Request
	number     int64
	route      route
	deployment *deployment // nil until found
	request    *request    // nil until parsed
	identity   []byte      // what the answer depends on besides seed and number
	recorded   *Recorded
	fault      *Fault       // the one that ends or bends this answer; nil: none
	hit        *activeFault // where fault came from
	charge     int64
	prompt     int64 // true size, in tokens
	cached     int64 // of those
	dice       dice
	generated  int64         // completion tokens so far
	events     int64         // stream events sent
	sent       int64         // bytes of them
	last       bool          // the next stream event is the last one
	elsewhere  bool          // the tokens of this answer are counted with other work
	failed     func() []byte // the event that says that the answer failed; nil: the plain error
	arrived    bool          // counted as in flight
	concluded  bool          // the outcome is counted
}

// ServeHTTP answers one request as the service does. Paths below /_fake/ are
// the remote control (see control.go).
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, controlPrefix) {
		s.serveControl(w, r)
		return
	}
	e := &exchange{server: s, w: w, r: r, number: s.numbers.Add(1)}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.options.MaxBody))
	e.record(body)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		e.fail(&serviceError{status: http.StatusRequestEntityTooLarge, code: "413", message: "Request body is too large."})
		return
	case err != nil: // The client left while sending.
		panic(http.ErrAbortHandler)
	}
	if problem := e.admit(body); problem != nil {
		e.fail(problem)
	}
}

// record logs the request before anything is decided about it.
func (e *exchange) record(body []byte) {
	r := e.r
	e.recorded = &Recorded{Number: e.number, Time: time.Now(), Method: r.Method, URI: r.URL.RequestURI(),
		Host: r.Host, Header: r.Header.Clone(), Body: body}
	e.server.recorder.add(e.recorded, e.server.options.RecordRequests, e.server.options.RecordBytes)
}

// admit does what comes before the limiter (path, credentials, deployment) and
// hands over to serve. A returned error has not been answered yet.
func (e *exchange) admit(body []byte) *serviceError {
	var ok bool
	if e.route, ok = parseRoute(e.r.Method, e.r.URL); !ok {
		return notFound()
	}
	if !e.server.authorized(e.r) {
		return unauthorized(e.route.dialect)
	}
	if e.route.endpoint == nil {
		return &serviceError{status: http.StatusMethodNotAllowed, code: "405", message: fmt.Sprintf("Method %s is not allowed.", e.r.Method)}
	}
	if problem := e.route.tooOld(); problem != nil {
		return problem
	}
	in, problem := parseInput(e.route, e.r.Header.Get("Content-Type"), body)
	if problem != nil && (e.route.dialect != classic || !e.route.deployed) {
		return problem
	}
	name, unnamed := in.deployment(e.route)
	if unnamed != nil {
		return unnamed
	}
	e.deployment = e.server.find(e.route, name)
	if e.deployment == nil {
		return unknownDeployment(e.route.dialect, name)
	}
	e.server.recorder.update(e.recorded, func(r *Recorded) { r.Deployment = name })
	e.cast(in)
	e.arrive()
	defer e.leave()
	return e.serve(in, problem)
}

// find returns the deployment that a request is for: the resource's own where it
// is about what the resource keeps; nil: there is none of that name.
func (s *Server) find(rt route, name string) *deployment {
	if rt.stored {
		return s.resource
	}
	return s.deployments[name]
}

// log notes a step; the status of an answer is kept with the recorded request.
func (e *exchange) log(kind EventKind, status int) {
	event := Event{Time: time.Now(), Kind: kind, Request: e.number, Status: status, Charge: e.charge, Generated: e.generated}
	if e.deployment != nil {
		event.Deployment = e.deployment.Name
	}
	if e.fault != nil {
		event.Fault = e.fault.Kind
	}
	if status != 0 {
		e.server.recorder.update(e.recorded, func(r *Recorded) { r.Status = status })
	}
	e.server.journal.add(event)
}

func (e *exchange) arrive() {
	d := e.deployment
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stats.Requests++
	d.stats.InFlight++
	d.stats.MaxInFlight = max(d.stats.MaxInFlight, d.stats.InFlight)
	e.arrived = true
}

// leave takes the request out of those in flight, once.
func (e *exchange) leave() {
	if !e.arrived {
		return
	}
	e.arrived = false
	e.deployment.mu.Lock()
	defer e.deployment.mu.Unlock()
	e.deployment.stats.InFlight--
}

// authorized compares the credentials with Options.Key and Options.Token.
func (s *Server) authorized(r *http.Request) bool {
	if s.options.Key == "" {
		return true
	}
	if r.Header.Get("api-key") == s.options.Key {
		return true
	}
	token, found := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return found && (token == s.options.Key || (token == s.options.Token && token != ""))
}

var _ http.Handler = (*Server)(nil)
