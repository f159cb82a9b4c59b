package entra

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// ServeHTTP answers a request to any of the services, told apart by its path.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// answer is what a service says: a status and a document.
type answer struct {
	request  Request // what was asked for, as far as it was read
	status   int
	document any
}

// kind makes a handler of a service: it records the request, lets it meet the
// fault that is set, and writes the answer.
func (s *Server) kind(kind Kind, serve func(*http.Request) answer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		index := s.arrived(kind)
		status := 0
		fault := s.fault(kind)
		if fault != nil {
			status = fault.suffer(w, r)
		}
		if fault != nil && status == 0 {
			panic(http.ErrAbortHandler) // breaks the connection
		}
		answer := serve(r)
		if status == 0 || status == http.StatusOK {
			status = answer.status
		} else {
			answer.document = map[string]any{"error": "temporarily_unavailable", "error_description": "The service is told to fail."}
		}
		s.answered(index, answer.request, status)
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(answer.document) // a client that has left needs none
	}
}

// arrived records a request and returns where.
func (s *Server) arrived(kind Kind) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, Request{Kind: kind, At: time.Now()})
	return len(s.requests) - 1
}

func (s *Server) answered(index int, asked Request, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.requests[index]
	r.Resource, r.ClientID, r.Status = asked.Resource, asked.ClientID, status
}

// fault returns what a request of that kind meets, or nil.
func (s *Server) fault(kind Kind) *Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	fault := s.faults[kind]
	if fault == nil {
		return nil
	}
	met := *fault
	if fault.Times--; fault.Times == 0 {
		delete(s.faults, kind)
	}
	return &met
}

// suffer returns the status to answer with; 0: none at all.
func (f *Fault) suffer(w http.ResponseWriter, r *http.Request) int {
	if f.Stall != nil {
		select {
		case <-f.Stall:
		case <-r.Context().Done():
			return 0
		}
		if f.Status == 0 {
			return http.StatusOK
		}
	}
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(f.RetryAfter/time.Second)))
	}
	return f.Status
}
