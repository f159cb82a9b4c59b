package wire

import (
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"

	"spillway/shared/http1"
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
	case !http1.All(r.URL.RawQuery, http1.InQuery), !plainHost(r.URL.Host), r.Host != "" && !plainHost(r.Host):
		return false
	case r.Method != "" && !http1.All(r.Method, http1.InToken), r.Method == http.MethodConnect:
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
		if name == "" || !http1.All(name, http1.InToken) {
			return false
		}
		for _, value := range values {
			if !http1.All(value, http1.InValue) {
				return false
			}
		}
	}
	return true
}

// plainHost tells whether a host needs no conversion before it is sent.
func plainHost(host string) bool {
	return host != "" && http1.All(host, http1.InHost) && !strings.HasSuffix(host, ":")
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

// endpoint is whom a connection leads to.
type endpoint struct {
	secure bool
	host   string // with the port, if the URL names one
}

func endpointOf(u *url.URL) endpoint {
	return endpoint{secure: u.Scheme == "https", host: u.Host}
}
