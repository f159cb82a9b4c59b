package upstream

import (
	"net/http"
	"net/textproto"
	"strings"

	"spillway/shared/upstream/wire"
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

// appendFields appends what is sent to a backend: of a client's header what is meant for it,
// the backend's own fields in place of the client's, and its credential's in place of either.
func appendFields(fields []wire.Field, client, own http.Header, credential wire.Field) []wire.Field {
	encoding, agent, key := false, false, false
	add := func(name string, values []string) {
		switch name {
		case credential.Name:
			return
		case "Accept-Encoding":
			encoding = true
		case "User-Agent":
			agent = true
		case "Idempotency-Key", "X-Idempotency-Key":
			key = true
		}
		fields = append(fields, wire.Field{Name: name, Values: values})
	}
	connection := client["Connection"]
	for name, values := range client {
		if _, replaced := own[name]; !replaced && !notSent(name) && !private(name, connection) {
			add(name, values)
		}
	}
	for name, values := range own {
		add(name, values)
	}
	if !encoding {
		add("Accept-Encoding", identity)
	}
	if !agent {
		add("User-Agent", noAgent)
	}
	if !key {
		// Present without a value, it lets the transport send the request again on
		// a new connection when a kept one turns out to be closed, and is not sent.
		add("X-Idempotency-Key", nil)
	}
	if credential.Name != "" {
		fields = append(fields, credential)
	}
	return fields
}

// private tells the fields that go on in neither direction: the gateway's own, and those that
// Connection names.
func private(name string, connection []string) bool {
	return strings.HasPrefix(name, ours) || namedBy(connection, name)
}

// CopyHeaders copies the fields of a backend's answer that are meant for the
// client: all but the hop-by-hop ones, those that Connection names, Set-Cookie, and
// those that are the gateway's own. Values in dst are replaced.
func CopyHeaders(dst, src http.Header) {
	connection := src["Connection"]
	for name, values := range src {
		if !notReturned(name) && !private(name, connection) {
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
