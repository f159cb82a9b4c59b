package upstream

import (
	"crypto/x509"
	"io"
	"log"
	"net/http/httptest"
	"testing"
	"time"
)

// A backend with an authority of its own is trusted through its own transport. That
// transport trusts nobody else, and nobody else's trusts that authority.
func TestAuthorityOfABackend(t *testing.T) {
	server := httptest.NewUnstartedServer(answer(200, json, chatAnswer))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	its := x509.NewCertPool()
	its.AddCert(server.Certificate())

	tests := []struct {
		name    string
		roots   *x509.CertPool
		own     bool // the transport is the backend's, not the client's
		outcome Outcome
		reason  string
	}{
		{"its own authority", its, true, OK, ""},
		{"the system's authorities", nil, true, Failed, ReasonTLS},
		{"no authorities", x509.NewCertPool(), true, Failed, ReasonTLS},
		{"a backend without a transport", its, false, Failed, ReasonTLS},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			client := New(Options{})
			defer client.CloseIdleConnections()
			transport := NewTransport(5*time.Second, test.roots)
			defer transport.CloseIdleConnections()
			backend := backendAt(t, server.URL)
			if test.own {
				backend.Transport = transport
			}
			r := client.Do(t.Context(), backend, chat())
			defer r.Close()
			checkResult(t, r)
			if r.Outcome != test.outcome || r.Reason != test.reason {
				t.Errorf("got %v, %q, want %v, %q: %v", r.Outcome, r.Reason, test.outcome, test.reason, r.Err)
			}
		})
	}
}
