package wire

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"testing"
)

// refusing makes no connections.
func refusing(err error) func(*http.Transport) {
	return func(s *http.Transport) {
		s.DialContext = func(context.Context, string, string) (net.Conn, error) { return nil, err }
	}
}

// What is left to net/http is served by it, over connections of its own.
func TestLeftToNetHTTP(t *testing.T) {
	for name, change := range map[string]func(*http.Request) *http.Request{
		"large body": func(r *http.Request) *http.Request {
			large, _ := http.NewRequestWithContext(r.Context(), "POST", r.URL.String(), strings.NewReader(strings.Repeat("x", MaxCopied+1)))
			return large
		},
		"body of unknown length": func(r *http.Request) *http.Request {
			r.Method, r.Body, r.ContentLength = "POST", io.NopCloser(strings.NewReader("x")), -1
			return r
		},
		"close": func(r *http.Request) *http.Request {
			r.Close = true
			return r
		},
		"trace": func(r *http.Request) *http.Request {
			return r.WithContext(httptrace.WithClientTrace(r.Context(), new(httptrace.ClientTrace)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := listen(t, answering(okAnswer))
			transport := newTransport(t)
			if got := fetch(transport, change(request(t.Context(), t, "GET", b.url, ""))); got.err != nil || got.body != "ok" {
				t.Errorf("got %+v", got)
			}
			if transport.onlyKept() != nil {
				t.Error("served here")
			}
			get(t, transport, b.url, "ok")
			if got := b.connections.Load(); got != 2 {
				t.Errorf("%d connections, want one of each", got)
			}
		})
	}
}

// What cannot be sent is refused with net/http's words.
func TestRefusedByNetHTTP(t *testing.T) {
	transport := newTransport(t)
	for text, change := range map[string]func(*http.Request){
		"invalid header field value": func(r *http.Request) { r.Header["X"] = []string{"a\nb"} },
		"invalid header field name":  func(r *http.Request) { r.Header["X Y"] = nil },
		"unsupported protocol":       func(r *http.Request) { r.URL.Scheme = "ftp" },
		"no Host":                    func(r *http.Request) { r.URL.Host = "" },
	} {
		r := request(t.Context(), t, "GET", "http://contoso.test/", "")
		change(r)
		if got := fetch(transport, r); got.err == nil || !strings.Contains(got.err.Error(), text) {
			t.Errorf("got %v, want %q", got.err, text)
		}
	}
}

// A proxy is net/http's matter; without one for the request it is served here.
func TestProxy(t *testing.T) {
	proxied := make(chan string, 1)
	proxy := listen(t, func(c net.Conn, _ int) {
		if r := readRequest(bufio.NewReader(c)); r != nil {
			proxied <- r.RequestURI
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nproxy")
		}
	})
	b := listen(t, answering(okAnswer))
	transport := newTransport(t, func(s *http.Transport) {
		s.Proxy = func(r *http.Request) (*url.URL, error) {
			switch r.URL.Path {
			case "/bad":
				return nil, errors.New("bad proxy")
			case "/direct":
				return nil, nil
			}
			return url.Parse(proxy.url)
		}
	})
	get(t, transport, "http://contoso.test/x", "proxy")
	if got := <-proxied; got != "http://contoso.test/x" {
		t.Errorf("the proxy is asked for %q", got)
	}
	get(t, transport, b.url+"/direct", "ok")
	if transport.onlyKept() == nil {
		t.Error("a request without a proxy is not served here")
	}
	if got := fetch(transport, request(t.Context(), t, "GET", b.url+"/bad", "")); got.err == nil || !strings.Contains(got.err.Error(), "bad proxy") {
		t.Errorf("got %+v", got)
	}
}
