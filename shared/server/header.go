package server

import (
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"

	"spillway/shared/http1"
)

// told is what a handler's header says about how the answer is sent.
type told struct {
	connection []string
	encoding   string   // its Transfer-Encoding
	encodings  []string // all of them
	length     bool     // it has a Content-Length
	kind       bool     // it has a Content-Type, or a body that should not be looked at for one
	date       bool
	trailers   bool
	names      []string // of the trailers that it declares
}

// tell fixes the status and the handler's header. What remains to be added
// depends on the body.
func (x *exchange) tell(status int) {
	x.status = status
	u := x.buffers()
	u.out = appendStatus(u.out, status)
	for name, values := range x.header {
		switch name {
		case "Content-Length":
			x.told.length = true
			x.length = x.lengthOf(values)
			continue
		case "Transfer-Encoding":
			x.told.encoding, x.told.encodings = first(values), slices.Clone(values)
			continue
		case "Connection":
			x.told.connection = slices.Clone(values)
			continue
		case "Content-Type":
			x.told.kind = true
			if status == http.StatusNotModified {
				continue
			}
		case "Content-Encoding":
			x.told.kind = x.told.kind || first(values) != ""
		case "Date":
			x.told.date = true
		case "Trailer":
			x.told.trailers = true
			x.declare(values)
		}
		if strings.HasPrefix(name, http.TrailerPrefix) {
			x.told.trailers = true
			continue
		}
		u.out = appendFields(u.out, name, values)
	}
}

// lengthOf is a Content-Length of the handler's, -1 if it makes no sense.
func (x *exchange) lengthOf(values []string) int64 {
	if first(values) == "" {
		return -1
	}
	n, err := strconv.ParseInt(values[0], 10, 64)
	if err != nil || n < 0 {
		x.conn.server.logf("http: invalid Content-Length of %q", values[0])
		return -1
	}
	return n
}

// inform sends an answer of status 1xx.
func (x *exchange) inform(status int) {
	u := x.buffers()
	u.out = appendStatus(u.out, status)
	for name, values := range x.header {
		if name != "Content-Length" && name != "Transfer-Encoding" {
			u.out = appendFields(u.out, name, values)
		}
	}
	u.out = append(u.out, "\r\n"...)
	x.send()
}

// begin completes the header of an answer whose body begins with p.
func (x *exchange) begin(p []byte) {
	x.begun = true
	t := &x.told
	allowed := bodyAllowed(x.status)
	shown := t.length && x.length >= 0 && allowed // a Content-Length is sent
	if x.over && !t.trailers && t.encoding == "" && allowed && !t.length && (!x.head || len(p) > 0) {
		x.length, shown = int64(len(p)), true
	}
	closing := x.conn.server.closing.Load()
	x.last = x.last || closing || first(t.connection) == "close"
	x.last = x.last || !x.fullDuplex && !x.body.settle()

	out := x.unsent.out
	if !t.kind && allowed && t.encoding == "" && len(p) > 0 {
		out = appendField(out, "Content-Type", http.DetectContentType(p))
	}
	if !t.date {
		out = append(out, "Date: "...)
		out = time.Now().UTC().AppendFormat(out, http.TimeFormat)
		out = append(out, "\r\n"...)
	}
	if x.length >= 0 && t.encoding != "" && t.encoding != "identity" {
		x.conn.server.logf("http: WriteHeader called with both Transfer-Encoding of %q and a Content-Length of %d", t.encoding, x.length)
		shown = false
	}
	switch {
	case x.head || !allowed || shown:
	case t.encoding == "identity":
		x.last = true // its end is that of the body
	default:
		x.chunked = true
		if t.encoding != "chunked" {
			out = appendFields(out, "Transfer-Encoding", t.encodings)
		}
		out = append(out, "Transfer-Encoding: chunked\r\n"...)
	}
	if shown {
		out = append(out, "Content-Length: "...)
		out = strconv.AppendInt(out, x.length, 10)
		out = append(out, "\r\n"...)
	}
	if x.last && (closing || !hasToken(first(t.connection), "close")) {
		out = append(out, "Connection: close\r\n"...)
	} else {
		out = appendFields(out, "Connection", t.connection)
	}
	x.unsent.out = append(out, "\r\n"...)
}

// declare notes trailers that the handler will set, but for those that would say
// too late what has to be known before the body.
func (x *exchange) declare(values []string) {
	for _, value := range values {
		for name := range strings.SplitSeq(value, ",") {
			name = http.CanonicalHeaderKey(textproto.TrimString(name))
			if name != "" && !strings.HasPrefix(name, "If-") && !slices.Contains(neverTrailers, name) {
				x.told.names = append(x.told.names, name)
			}
		}
	}
}

// neverTrailers are the fields that frame, route or authenticate a message: RFC
// 9110, section 6.5.1.
var neverTrailers = strings.Fields(`Authorization Cache-Control Connection Content-Encoding
	Content-Length Content-Range Content-Type Expect Host Keep-Alive Max-Forwards Pragma
	Proxy-Authenticate Proxy-Authorization Proxy-Connection Range Realm Te Trailer
	Transfer-Encoding Www-Authenticate`)

// appendTrailer appends what follows the last chunk.
func (x *exchange) appendTrailer(b []byte) []byte {
	for name, values := range x.header {
		if name, ok := strings.CutPrefix(name, http.TrailerPrefix); ok {
			b = appendFields(b, name, values)
		}
	}
	for _, name := range x.told.names {
		b = appendFields(b, name, x.header[name])
	}
	return append(b, "\r\n"...)
}

// appendStatus appends an answer's first line.
func appendStatus(b []byte, status int) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(status), 10)
	b = append(b, ' ')
	if text := http.StatusText(status); text != "" {
		b = append(b, text...)
	} else {
		b = append(b, "status code "...)
		b = strconv.AppendInt(b, int64(status), 10)
	}
	return append(b, "\r\n"...)
}

// appendFields appends a field for each value, unless its name cannot be sent.
func appendFields(b []byte, name string, values []string) []byte {
	if !isToken(name) {
		return b
	}
	for _, value := range values {
		b = appendField(b, name, value)
	}
	return b
}

// appendField appends a field. A value that has several lines is made one.
func appendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	start := len(b)
	b = append(b, textproto.TrimString(value)...)
	for i, c := range b[start:] {
		if c == '\n' || c == '\r' {
			b[start+i] = ' '
		}
	}
	return append(b, "\r\n"...)
}

// isToken tells whether a field may have the name: RFC 9110, section 5.6.2.
func isToken(name string) bool { return name != "" && http1.All(name, http1.InToken) }

// hasToken tells whether a list of words has the word.
func hasToken(list, word string) bool {
	for w := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(textproto.TrimString(w), word) {
			return true
		}
	}
	return false
}

// bodyAllowed tells whether an answer of the status may have a body.
func bodyAllowed(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}
