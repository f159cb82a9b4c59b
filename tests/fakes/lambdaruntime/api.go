package lambdaruntime

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
)

// maxReport bounds the body of a report of an error in bytes.
const maxReport = 1 << 20

// api are the calls that a program may make: those of the Runtime API, and of the
// Extensions API what an extension inside the program needs.
func (e *Environment) api() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", e.serveNext)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", e.serveResponse)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", e.serveError)
	mux.HandleFunc("POST /2018-06-01/runtime/init/error", e.serveInitError)
	mux.HandleFunc("POST /2020-01-01/extension/register", e.serveRegister)
	mux.HandleFunc("GET /2020-01-01/extension/event/next", e.serveExtensionNext)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		e.violate(w, http.StatusNotFound, "there is no %s %s", r.Method, r.URL.Path)
	})
	return mux
}

// violate refuses a call that is not allowed, and keeps why.
func (e *Environment) violate(w http.ResponseWriter, status int, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	e.mu.Lock()
	e.violations = append(e.violations, text)
	e.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(Failure{Type: "InvalidRequest", Message: text}) // the program has left
}

// serveNext ends the call under way, if there is one, and waits for the next. While
// it does, the program is frozen.
func (e *Environment) serveNext(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	problem := ""
	switch {
	case e.waiting != nil:
		problem = "the program asks for a call twice at once"
	case e.current != nil && !e.current.answered:
		problem = "the program asks for the next call and has not answered this one"
	}
	if problem != "" {
		e.mu.Unlock()
		e.violate(w, http.StatusForbidden, "%s", problem)
		return
	}
	if e.current != nil {
		e.current.timeout.Stop()
	}
	waiting := make(chan *invocation, 1)
	e.current, e.waiting, e.asked = nil, waiting, true
	e.settle()
	e.mu.Unlock()
	select {
	case call := <-waiting:
		header := w.Header()
		header.Set("Content-Type", "application/json")
		header.Set("Lambda-Runtime-Aws-Request-Id", call.id)
		header.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(call.deadline.UnixMilli(), 10))
		header.Set("Lambda-Runtime-Trace-Id", "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0")
		header.Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:"+region+":"+account+":function:"+functionName)
		_, _ = w.Write(call.event) // the program has ended: the call fails by that
	case <-r.Context().Done():
	}
}

// settle freezes the program if nothing runs: it waits for a call, and so do its
// extensions. It needs mu.
func (e *Environment) settle() {
	if e.waiting == nil {
		return
	}
	for _, ready := range e.extensions {
		if !ready {
			return
		}
	}
	if !e.ending {
		e.freeze()
	}
	select {
	case <-e.ready:
	default:
		close(e.ready)
	}
	close(e.idle)
	e.idle = make(chan struct{})
}

// begin takes the answer to the call under way. It returns nil, and has answered, if
// there is no such call or it has an answer.
func (e *Environment) begin(w http.ResponseWriter, r *http.Request) *invocation {
	id := r.PathValue("id")
	e.mu.Lock()
	call, problem := e.current, ""
	switch {
	case call == nil || call.id != id:
		problem = "an answer to " + id + ", which is not under way"
	case call.started:
		problem = "a second answer to " + id
	default:
		call.started = true
	}
	e.mu.Unlock()
	if problem != "" {
		e.violate(w, http.StatusBadRequest, "%s", problem)
		return nil
	}
	return call
}

// finish ends the answer to a call. The call itself ends when the program asks for
// the next.
func (e *Environment) finish(call *invocation) {
	e.mu.Lock()
	defer e.mu.Unlock()
	call.answered = true
}

// accept tells the program that its answer has been taken.
func accept(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_, _ = io.WriteString(w, `{"status":"OK"}`) // the program has left
}

// serveResponse hands the answer to the caller as it comes. It is taken to its end
// whether the caller still reads or not.
func (e *Environment) serveResponse(w http.ResponseWriter, r *http.Request) {
	chunked := slices.Contains(r.TransferEncoding, "chunked")
	switch mode := r.Header.Values("Lambda-Runtime-Function-Response-Mode"); {
	case len(mode) > 0 && (mode[0] != "streaming" || !chunked):
		e.violate(w, http.StatusBadRequest, "response mode %q, chunked %t", mode, chunked)
		return
	case r.Header.Get("Content-Type") == streamType && !chunked:
		e.violate(w, http.StatusBadRequest, "an answer of a Function URL that is not chunked")
		return
	}
	call := e.begin(w, r)
	if call == nil {
		return
	}
	done := make(chan struct{})
	body := &answer{request: r, end: func() {
		e.finish(call)
		close(done)
	}}
	call.outcome <- outcome{reply: &Reply{ContentType: r.Header.Get("Content-Type"), Body: body}}
	select {
	case <-done:
		accept(w)
	case <-r.Context().Done():
	}
}

// answer is the body of an answer.
type answer struct {
	request *http.Request
	err     error
	end     func() // called at the body's end
}

// Read reads what has come.
func (a *answer) Read(p []byte) (int, error) {
	if a.err != nil {
		return 0, a.err
	}
	n, err := a.request.Body.Read(p)
	if err == io.EOF {
		if kind := a.request.Trailer.Get("Lambda-Runtime-Function-Error-Type"); kind != "" {
			err = a.trailed(kind)
		}
	}
	if err != nil {
		a.err = err
		a.end()
	}
	return n, err
}

// trailed is the failure that the trailers report.
func (a *answer) trailed(kind string) *Failure {
	failure := &Failure{Type: kind}
	text, err := base64.StdEncoding.DecodeString(a.request.Trailer.Get("Lambda-Runtime-Function-Error-Body"))
	if err == nil {
		_ = json.Unmarshal(text, failure) // what it says beyond its type is not needed
	}
	return failure
}

// Close takes the rest.
func (a *answer) Close() error {
	_, err := io.Copy(io.Discard, a)
	return err
}

// serveError ends the call under way as failed.
func (e *Environment) serveError(w http.ResponseWriter, r *http.Request) {
	failure, err := readFailure(r)
	if err != nil {
		e.violate(w, http.StatusBadRequest, "%s", err)
		return
	}
	if call := e.begin(w, r); call != nil {
		e.finish(call)
		call.outcome <- outcome{failure: failure}
		accept(w)
	}
}

// serveInitError takes why the program cannot start.
func (e *Environment) serveInitError(w http.ResponseWriter, r *http.Request) {
	failure, err := readFailure(r)
	e.mu.Lock()
	late := e.asked
	if err == nil && !late {
		e.initFailed = failure
	}
	e.mu.Unlock()
	switch {
	case err != nil:
		e.violate(w, http.StatusBadRequest, "%s", err)
	case late:
		e.violate(w, http.StatusForbidden, "an error of the start, after the start")
	default:
		w.WriteHeader(http.StatusAccepted)
	}
}

func readFailure(r *http.Request) (*Failure, error) {
	text, err := io.ReadAll(io.LimitReader(r.Body, maxReport))
	failure := new(Failure)
	if err == nil {
		err = json.Unmarshal(text, failure)
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("a report that is no JSON: %w", err)
	case failure.Type == "":
		return nil, errors.New("a report of an error without its type")
	}
	return failure, nil
}

// serveRegister registers an extension inside the program.
func (e *Environment) serveRegister(w http.ResponseWriter, r *http.Request) {
	var wanted struct{ Events []string }
	err := json.NewDecoder(io.LimitReader(r.Body, maxReport)).Decode(&wanted)
	e.mu.Lock()
	late := e.asked
	e.mu.Unlock()
	switch {
	case err != nil || r.Header.Get("Lambda-Extension-Name") == "":
		e.violate(w, http.StatusBadRequest, "an extension without a name or a list of events")
		return
	case slices.Contains(wanted.Events, "SHUTDOWN"):
		e.violate(w, http.StatusBadRequest, "an extension inside the program cannot be told of the shutdown")
		return
	case late:
		e.violate(w, http.StatusForbidden, "an extension registers after the start")
		return
	}
	e.mu.Lock()
	id := fmt.Sprintf("f3f7b2a1-0000-4000-8000-%012x", len(e.extensions)+1)
	e.extensions[id] = false
	e.mu.Unlock()
	w.Header().Set("Lambda-Extension-Identifier", id)
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"functionName":%q,"functionVersion":"$LATEST","handler":"bootstrap"}`, functionName) // the program has left
}

// serveExtensionNext waits for an event that never comes.
func (e *Environment) serveExtensionNext(w http.ResponseWriter, r *http.Request) {
	id := r.Header.Get("Lambda-Extension-Identifier")
	e.mu.Lock()
	ready, known := e.extensions[id]
	if known && !ready {
		e.extensions[id] = true
		e.settle()
	}
	e.mu.Unlock()
	if !known {
		e.violate(w, http.StatusForbidden, "an extension that is not registered asks for events")
		return
	}
	<-r.Context().Done()
}
