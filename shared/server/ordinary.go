package server

import (
	"bytes"
	"net/http"

	"spillway/shared/http1"
)

// A verdict says what to do with the bytes with which a request begins.
type verdict int

const (
	partial  verdict = iota // more is needed to tell
	ordinary                // a whole header that is served here
	odd                     // anything else
)

// judge looks at the bytes with which a request begins. It accepts the common
// form, and only what depends on the connection is looked at closely: what else
// may be wrong with a header http.ReadRequest finds out.
func judge(b []byte) verdict {
	line, b, v := nextLine(b)
	if v == ordinary && !ordinaryTarget(line) {
		return odd
	}
	for seen := special(0); v == ordinary; {
		line, b, v = nextLine(b)
		switch {
		case v != ordinary:
		case len(line) == 0 && seen&hasHost != 0:
			return ordinary
		case !ordinaryField(line, &seen):
			return odd
		}
	}
	return v
}

// nextLine splits off a line, which is to end with CR LF.
func nextLine(b []byte) (line, rest []byte, v verdict) {
	end := bytes.IndexByte(b, '\n')
	switch {
	case end < 0:
		return nil, nil, partial
	case end == 0 || b[end-1] != '\r':
		return nil, nil, odd
	}
	return b[:end-1], b[end+1:], ordinary
}

// ordinaryTarget tells whether a request's first line asks for a path in
// HTTP/1.1.
func ordinaryTarget(line []byte) bool {
	method, rest, _ := bytes.Cut(line, []byte(" "))
	target, version, _ := bytes.Cut(rest, []byte(" "))
	return len(target) > 0 && target[0] == '/' && string(version) == "HTTP/1.1" && string(method) != http.MethodConnect
}

// special are the fields that a header may have once.
type special uint8

const (
	hasHost special = 1 << iota
	hasConnection
	hasEncoding
)

// ordinaryField tells whether a field asks for nothing that is only done
// elsewhere. A line that goes on with the one before it begins with a space.
func ordinaryField(line []byte, seen *special) bool {
	name, value, _ := bytes.Cut(line, []byte(":"))
	if len(name) == 0 || name[0] == '\t' || bytes.IndexByte(name, ' ') >= 0 {
		return false
	}
	once, good := special(0), true
	switch len(name) {
	case len("Host"):
		if is(name, "Host") {
			once, good = hasHost, plainHost(trim(value))
		}
	case len("Expect"):
		good = !is(name, "Expect")
	case len("Upgrade"): // and of Trailer
		good = !is(name, "Upgrade") && !is(name, "Trailer")
	case len("Connection"):
		if is(name, "Connection") {
			once, good = hasConnection, is(trim(value), "keep-alive") || is(trim(value), "close")
		}
	case len("Transfer-Encoding"):
		if is(name, "Transfer-Encoding") {
			once, good = hasEncoding, is(trim(value), "chunked")
		}
	}
	good = good && *seen&once == 0
	*seen |= once
	return good
}

func is(b []byte, word string) bool { return len(b) == len(word) && bytes.EqualFold(b, []byte(word)) }

// trim takes the blanks around a value away.
func trim(value []byte) []byte {
	from, to := http1.Trimmed(value)
	return value[from:to]
}

// plainHost tells whether a host is a name or an address, maybe with a port.
func plainHost(host []byte) bool { return len(host) > 0 && http1.All(host, http1.InHost) }
