package entra

import (
	"errors"
	"net/http"
	"net/http/httptest"
)

// errBroken is what a client sees of a connection that breaks.
var errBroken = errors.New("the connection was broken by the fake identity service")

// RoundTrip answers a request in memory, whatever its host: a Server is a
// transport. A request that is given up while it is held back ends.
func (s *Server) RoundTrip(r *http.Request) (response *http.Response, err error) {
	defer func() {
		switch cause := recover(); {
		case cause == http.ErrAbortHandler && r.Context().Err() != nil:
			response, err = nil, r.Context().Err()
		case cause == http.ErrAbortHandler:
			response, err = nil, errBroken
		case cause != nil:
			panic(cause)
		}
	}()
	// The handler sees the request as a server does: with a host and a body.
	served := r.Clone(r.Context())
	served.Host = r.URL.Host
	if served.Body == nil {
		served.Body = http.NoBody
	}
	recorder := httptest.NewRecorder()
	s.ServeHTTP(recorder, served)
	response = recorder.Result()
	response.Request = r
	return response, nil
}

// Do is RoundTrip, by the name that clients of the Azure SDK want.
func (s *Server) Do(r *http.Request) (*http.Response, error) { return s.RoundTrip(r) }

var (
	_ http.Handler      = (*Server)(nil)
	_ http.RoundTripper = (*Server)(nil)
)
