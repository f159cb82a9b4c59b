package wire

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// secure starts a TLS server that also speaks HTTP/2, and counts its connections.
func secure(t *testing.T) (server *httptest.Server, connections *atomic.Int32) {
	t.Helper()
	connections = new(atomic.Int32)
	server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(w, r.Proto+" "+r.TLS.NegotiatedProtocol+" "+r.TLS.ServerName)
	}))
	server.EnableHTTP2 = true
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.TLS = &tls.Config{NextProtos: []string{"h2", "http/1.1"}}
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	return server, connections
}

// trusting trusts a server's certificate, which is for example.com, too.
func trusting(server *httptest.Server) func(*http.Transport) {
	return func(s *http.Transport) {
		roots := x509.NewCertPool()
		roots.AddCert(server.Certificate())
		s.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
}

// TLS connections speak HTTP/1.1, name the host, are kept, and say how they are
// secured.
func TestTLS(t *testing.T) {
	server, connections := secure(t)
	address := server.Listener.Addr().String()
	transport := newTransport(t, trusting(server), redirecting(address))
	for range 5 {
		get(t, transport, "https://example.com/", "HTTP/1.1 http/1.1 example.com")
	}
	if got := connections.Load(); got != 1 {
		t.Errorf("%d connections, want 1", got)
	}
	response, err := transport.RoundTrip(request(t.Context(), t, "POST", "https://example.com/", strings.Repeat("x", MaxCopied)))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	response.Body.Close()
	if response.TLS == nil || len(response.TLS.VerifiedChains) == 0 || connections.Load() != 1 {
		t.Errorf("TLS %+v, %d connections", response.TLS, connections.Load())
	}
	get(t, transport, "https://example.com:8443/", "HTTP/1.1 http/1.1 example.com")
	if got := connections.Load(); got != 2 {
		t.Errorf("%d connections to two ports, want 2", got)
	}
}

// redirecting leads all connections to one address.
func redirecting(address string) func(*http.Transport) {
	return func(s *http.Transport) {
		s.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, address)
		}
	}
}

// A certificate that is not trusted, or is for another name, ends the request
// with the error that says so.
func TestBadCertificates(t *testing.T) {
	server, _ := secure(t)
	var authority x509.UnknownAuthorityError
	got := fetch(newTransport(t), request(t.Context(), t, "GET", server.URL, ""))
	if !errors.As(got.err, &authority) {
		t.Errorf("untrusted: got %+v", got)
	}
	var name x509.HostnameError
	transport := newTransport(t, trusting(server), redirecting(server.Listener.Addr().String()))
	got = fetch(transport, request(t.Context(), t, "GET", "https://contoso.test/", ""))
	if !errors.As(got.err, &name) {
		t.Errorf("another name: got %+v", got)
	}
}

// A kept TLS connection that the server ends in good order is not used.
func TestTLSConnectionThatEnds(t *testing.T) {
	server, connections := secure(t)
	transport := newTransport(t, trusting(server))
	const want = "HTTP/1.1 http/1.1 "
	get(t, transport, server.URL, want)
	c := transport.onlyKept()
	server.CloseClientConnections()
	eventually(t, "the end has come", func() bool { return !c.idle() })
	r := request(t.Context(), t, "POST", server.URL, "body")
	r.GetBody = nil
	if got := fetch(transport, r); got.err != nil || got.body != want {
		t.Errorf("got %+v", got)
	}
	if got := connections.Load(); got != 2 {
		t.Errorf("%d connections, want 2", got)
	}
}

// noting is a connection that knows whether it was closed.
type noting struct {
	*net.TCPConn
	closed atomic.Bool
}

func (c *noting) Close() error {
	c.closed.Store(true)
	return c.TCPConn.Close()
}

// A backend that does not speak TLS, or does not speak at all, is told from
// others, and its connection closed.
func TestNoTLS(t *testing.T) {
	for name, test := range map[string]struct {
		answer string
		limit  time.Duration
		is     func(error) bool
	}{
		"in clear": {"HTTP/1.0 400 Bad Request\r\n\r\n", time.Minute, func(err error) bool {
			var record tls.RecordHeaderError
			return errors.As(err, &record)
		}},
		"silent": {"", time.Millisecond, func(err error) bool {
			return errors.Is(err, errHandshake) && errors.Is(err, os.ErrDeadlineExceeded)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			b := listen(t, func(c net.Conn, _ int) {
				_, _ = io.WriteString(c, test.answer)
				hold(c)
			})
			var made *noting
			transport := newTransport(t, dialing(func(c net.Conn) net.Conn {
				made = &noting{TCPConn: c.(*net.TCPConn)}
				return made
			}), func(s *http.Transport) { s.TLSHandshakeTimeout = test.limit })
			got := fetch(transport, request(t.Context(), t, "GET", strings.Replace(b.url, "http:", "https:", 1), ""))
			if !test.is(got.err) || !made.closed.Load() {
				t.Errorf("got %+v, closed: %t", got, made.closed.Load())
			}
		})
	}
}

// gathered is a server's connection that holds back what is written until flush.
type gathered struct {
	net.Conn
	records []byte
	holding bool
}

func (c *gathered) Write(p []byte) (int, error) {
	if !c.holding {
		return c.Conn.Write(p)
	}
	c.records = append(c.records, p...)
	return len(p), nil
}

func (c *gathered) flush() {
	_, _ = c.Conn.Write(c.records)
	c.records, c.holding = nil, false
}

// Bytes beyond an answer end their connection wherever they are: in the same
// record, in one that came along with it, or where the reader's buffer ends.
func TestBytesBeyondAnAnswerInTLS(t *testing.T) {
	full := strings.Repeat("x", readerSize-len("HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n"))
	long := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(full), full)
	for name, test := range map[string]struct {
		first, second string // two records
		want          string
		kept          bool
	}{
		"nothing beyond":       {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "ok", "ok", true},
		"in the same record":   {okAnswer + okAnswer, "", "ok", false},
		"in the next record":   {okAnswer, okAnswer, "ok", false},
		"beyond a full buffer": {long + okAnswer, "", full, false},
		"after a full buffer":  {long, okAnswer, full, false},
	} {
		t.Run(name, func(t *testing.T) {
			model, _ := secure(t)
			b := listen(t, func(plain net.Conn, _ int) {
				under := &gathered{Conn: plain}
				c := tls.Server(under, &tls.Config{Certificates: model.TLS.Certificates})
				for r := bufio.NewReader(c); readRequest(r) != nil; {
					under.holding = true
					_, _ = io.WriteString(c, test.first)
					_, _ = io.WriteString(c, test.second)
					under.flush()
				}
			})
			transport := newTransport(t, trusting(model))
			url := strings.Replace(b.url, "http:", "https:", 1)
			get(t, transport, url, test.want)
			if kept := transport.onlyKept() != nil; kept != test.kept {
				t.Errorf("kept: %t, want %t", kept, test.kept)
			}
			get(t, transport, url, test.want)
		})
	}
}
