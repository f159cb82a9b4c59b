package azureopenai

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// storedResponse is a response that the resource keeps. After it is kept,
// everything below final is guarded by store.mu.
type storedResponse struct {
	composed
	input   []fields // with ids
	context int64    // tokens that a response after this one reads first

	job
	status string
	since  time.Time // when the status began
	work   *exchange // of a background response that is not done: what it uses; else nil
}

// newStored is a response to keep, in its last state.
func (e *exchange) newStored(answer composed) *storedResponse {
	r := &storedResponse{composed: answer, status: answer.final.Status}
	r.context = e.prompt + CountTokens(answer.final.outputText())
	for _, item := range e.request.response.items {
		item.content["type"] = mustJSON(item.kind)
		if item.id == "" {
			prefix := map[string]string{"message": "msg_", "function_call": "fc_", "reasoning": "rs_"}[item.kind]
			item.content["id"] = mustJSON(prefix + e.dice.hex(48))
		}
		if item.kind == "message" {
			item.content["status"] = mustJSON(statusCompleted)
		}
		r.input = append(r.input, item.content)
	}
	return r
}

// now is the response as it is told in a state.
func (r *storedResponse) now(status string) responseObject {
	object := r.final
	if status == r.final.Status {
		return object
	}
	object.Status, object.CompletedAt, object.IncompleteDetails = status, nil, nil
	object.Output, object.Usage = []outputItem{}, nil
	if status == statusFailed {
		object.Error = &responseError{"server_error", "The server had an error while processing your request. Sorry about that!"}
	}
	return object
}

// happened is how many events of the timeline there are in the state.
func (r *storedResponse) happened() int {
	switch r.status {
	case statusQueued:
		return 2
	case statusInProgress:
		return 3
	}
	return len(r.timeline())
}

func (r *storedResponse) ended() bool {
	return r.status != statusQueued && r.status != statusInProgress
}

// keep stores a response, unless its request forbids it.
func (s *Server) keep(r *storedResponse) {
	if !r.final.Store {
		return
	}
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	s.store.responses.put(r.final.ID, r, s.options.Kept)
}

// precede finds the response that a new one goes on from.
func (e *exchange) precede(r *request) *serviceError {
	if r.response == nil || r.response.previous == "" {
		return nil
	}
	before, problem := e.server.response(r.response.previous)
	if problem != nil {
		return invalid("previous_response_id", "previous_response_not_found", "Previous response with id '%s' not found.", r.response.previous)
	}
	e.server.store.mu.Lock()
	defer e.server.store.mu.Unlock()
	if !before.ended() {
		return invalid("previous_response_id", "", "Previous response with id '%s' is still in progress.", r.response.previous)
	}
	r.context = before.context
	return nil
}

// response returns a kept response in the state that it has by now.
func (s *Server) response(id string) (*storedResponse, *serviceError) {
	s.store.mu.Lock()
	r, ok := s.store.responses.get(id)
	s.store.mu.Unlock()
	if !ok {
		return nil, &serviceError{status: http.StatusNotFound, typ: "invalid_request_error", message: fmt.Sprintf("Response with id '%s' not found.", id)}
	}
	s.catchUp(&r.job, r)
	return r, nil
}

func (e *exchange) getResponse() error {
	r, problem := e.server.response(e.route.id)
	if problem != nil {
		return problem
	}
	if !e.request.stream {
		e.server.store.mu.Lock()
		object := r.now(r.status)
		e.server.store.mu.Unlock()
		return e.writeBody(object)
	}
	after := int64(-1)
	if text := e.route.query.Get("starting_after"); text != "" {
		var err error
		if after, err = strconv.ParseInt(text, 10, 64); err != nil {
			return invalid("starting_after", "invalid_type", "Invalid type for 'starting_after': expected an integer.")
		}
	}
	e.beginStream()
	return e.follow(r, after+1)
}

// follow writes the events from a number on, as they happen.
func (e *exchange) follow(r *storedResponse, next int64) error {
	e.elsewhere = true
	for {
		e.server.catchUp(&r.job, r)
		e.server.store.mu.Lock()
		told, ended, changed, events := int64(r.happened()), r.ended(), r.changed, r.timeline()
		e.server.store.mu.Unlock()
		for ; next < told; next++ {
			e.last = ended && next == told-1
			if err := e.send(events[next].encode(next)); err != nil {
				return err
			}
		}
		if ended {
			return nil
		}
		select {
		case <-changed:
		case <-e.r.Context().Done():
			return errCanceled
		}
	}
}

func (e *exchange) deleteResponse() error {
	if _, problem := e.server.response(e.route.id); problem != nil {
		return problem
	}
	e.server.store.mu.Lock()
	e.server.store.responses.remove(e.route.id)
	e.server.store.mu.Unlock()
	return e.writeBody(map[string]any{"id": e.route.id, "object": "response", "deleted": true})
}

func (e *exchange) cancelResponse() error {
	r, problem := e.server.response(e.route.id)
	if problem != nil {
		return problem
	}
	s := e.server
	s.store.mu.Lock()
	if !r.final.Background || r.status != statusCancelled && r.ended() {
		s.store.mu.Unlock()
		kind := "synchronous"
		if r.final.Background {
			kind = r.status
		}
		return invalid("", "", "Cannot cancel a %s response.", kind)
	}
	if !r.ended() {
		r.end(statusCancelled, time.Now())
		r.stop()
	}
	object := r.now(r.status)
	s.store.mu.Unlock()
	return e.writeBody(object)
}

func (e *exchange) inputItems() error {
	r, problem := e.server.response(e.route.id)
	if problem != nil {
		return problem
	}
	var items []listed
	for _, item := range r.input {
		id, _ := item.text("id") // A string: newStored set it, or the client did.
		items = append(items, listed{id, item})
	}
	page, problem := listPage(items, e.route.query, 20, 100, "desc")
	if problem != nil {
		return problem
	}
	return e.writeBody(page)
}
