package wire

import (
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
)

// maxCopied is the largest body that is copied into its message. A larger one is
// sent from where it lies; one that lies nowhere has to be sent while it is read,
// which is left to net/http.
const maxCopied = 64 << 10

// ordinary tells whether a request is served here. What net/http would refuse is
// not: it says best what is wrong with it.
func ordinary(r *http.Request) bool {
	switch {
	case r.URL == nil, r.URL.Scheme != "http" && r.URL.Scheme != "https", r.URL.Opaque != "":
		return false
	case !all(r.URL.RawQuery, inQuery), !plainHost(r.URL.Host), r.Host != "" && !plainHost(r.Host):
		return false
	case r.Method != "" && !all(r.Method, inToken), r.Method == http.MethodConnect:
		return false
	case r.Close, len(r.TransferEncoding) > 0, len(r.Trailer) > 0:
		return false
	case r.ContentLength < 0, hasBody(r) != (r.ContentLength > 0):
		return false
	case r.ContentLength > maxCopied && !segmented(r.Body):
		return false
	}
	return ordinaryHeader(r.Header) && httptrace.ContextClientTrace(r.Context()) == nil
}

// ordinaryHeader tells whether a header can be sent, and asks for nothing that
// is only done elsewhere.
func ordinaryHeader(h http.Header) bool {
	if h == nil || h["Connection"] != nil || h["Upgrade"] != nil || h["Expect"] != nil {
		return false
	}
	for name, values := range h {
		if name == "" || !all(name, inToken) {
			return false
		}
		for _, value := range values {
			if !all(value, inValue) {
				return false
			}
		}
	}
	return true
}

// plainHost tells whether a host needs no conversion before it is sent.
func plainHost(host string) bool {
	return host != "" && all(host, inHost) && !strings.HasSuffix(host, ":")
}

func hasBody(r *http.Request) bool { return r.Body != nil && r.Body != http.NoBody }

func segmented(body io.Reader) bool {
	_, ok := body.(Segmented)
	return ok
}

func closeBody(body io.Closer) {
	if body != nil {
		_ = body.Close()
	}
}

// A class is a set of bytes.
type class uint8

const (
	inToken class = 1 << iota // a method or a field's name: RFC 9110, section 5.6.2
	inValue                   // a field's value: no control characters but the tab
	inHost                    // a name, an IPv4 address or an IPv6 address, and a port
	inQuery                   // a query as it is sent
)

// classes are the classes of each byte.
var classes = func() (of [256]class) {
	for c := range of {
		if c >= ' ' && c != 0x7f || c == '\t' {
			of[c] |= inValue
		}
		if c > ' ' && c != 0x7f {
			of[c] |= inQuery
		}
		switch {
		case c >= '0' && c <= '9', c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z':
			of[c] |= inToken | inHost
		case c < 0x80 && strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)):
			of[c] |= inToken
		}
	}
	for _, c := range []byte(".-_:[]") {
		of[c] |= inHost
	}
	return of
}()

// all tells whether a text consists of bytes of a class.
func all(text string, of class) bool {
	for i := range len(text) {
		if classes[text[i]]&of == 0 {
			return false
		}
	}
	return true
}

// endpoint is whom a connection leads to.
type endpoint struct {
	secure bool
	host   string // with the port, if the URL names one
}

func endpointOf(u *url.URL) endpoint {
	return endpoint{secure: u.Scheme == "https", host: u.Host}
}
