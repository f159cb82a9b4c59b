package upstream

import (
	"net/http"
	"net/textproto"
	"strings"
)

// notSent tells the fields of a client's request that a backend does not get,
// beside those that Connection names: the hop-by-hop fields of RFC 9110, section
// 7.6.1, what the transport writes itself, and credentials, which are not the
// backend's business even if whoever called Do forgot to remove them.
func notSent(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer",
		"Transfer-Encoding", "Upgrade", "Http2-Settings", "Proxy-Authenticate",
		"Proxy-Authorization", "Proxy-Authentication-Info",
		"Host", "Content-Length", "Expect", "Accept-Encoding",
		"Authorization", "Api-Key", "Cookie":
		return true
	}
	return false
}

// ours begins the fields by which a client steers the gateway and the gateway tells what
// it did. No backend gets one, for they may name others, and none can forge one.
const ours = "X-Spillway-"

// notReturned tells the fields of a backend's answer that a client does not get.
// A backend's cookie would be sent to every other backend.
func notReturned(name string) bool {
	switch name {
	case "Connection", "Keep-Alive", "Proxy-Connection", "Te", "Trailer",
		"Transfer-Encoding", "Upgrade", "Proxy-Authenticate", "Proxy-Authorization",
		"Set-Cookie", "Alt-Svc":
		return true
	}
	return false
}

var (
	identity = []string{"identity"} // not packed: the usage has to be readable
	noAgent  = []string{""}         // keeps the transport from naming itself
)

// requestHeader is what of a client's header goes to a backend. The values are
// shared with client, the map is not.
func requestHeader(client http.Header) http.Header {
	header := make(http.Header, len(client)+2) // a credential and a length go, and four come
	copyExcept(header, client, notSent)
	header["Accept-Encoding"] = identity
	if _, ok := header["User-Agent"]; !ok {
		header["User-Agent"] = noAgent
	}
	if header["Idempotency-Key"] == nil && header["X-Idempotency-Key"] == nil {
		// Present without a value, it lets the transport send the request again on
		// a new connection when a kept one turns out to be closed, and is not sent.
		header["X-Idempotency-Key"] = []string{}
	}
	return header
}

// CopyHeaders copies the fields of a backend's answer that are meant for the
// client: all but the hop-by-hop ones, those that Connection names, Set-Cookie, and
// those that are the gateway's own. Values in dst are replaced.
func CopyHeaders(dst, src http.Header) { copyExcept(dst, src, notReturned) }

// copyExcept copies the fields but for the exceptions, the gateway's own, and those that
// Connection names.
func copyExcept(dst, src http.Header, except func(name string) bool) {
	connection := src["Connection"]
	for name, values := range src {
		if !except(name) && !strings.HasPrefix(name, ours) && !namedBy(connection, name) {
			dst[name] = values
		}
	}
}

// namedBy tells whether one of the Connection fields names the field.
func namedBy(connection []string, name string) bool {
	for _, list := range connection {
		for option := range strings.SplitSeq(list, ",") {
			if strings.EqualFold(textproto.TrimString(option), name) {
				return true
			}
		}
	}
	return false
}
