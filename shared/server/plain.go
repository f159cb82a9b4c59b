package server

import (
	"bufio"
	"bytes"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"spillway/shared/http1"
)

// readPlain reads a request as http.ReadRequest does, at half of the cost, if the reader
// holds all of its header, it is ordinary, and nothing in it is unusual or in doubt. Of
// any other it reads nothing and returns nil: judge says more about it.
func readPlain(r *bufio.Reader) *http.Request {
	buffered, _ := r.Peek(r.Buffered())
	h := plainHeader{host: -1}
	line, lines, _ := nextLine(buffered)
	if !h.line(line) || !h.parse(lines) {
		return nil
	}
	made := &plainRequest{}
	made.RequestURI, made.URL, made.Body = string(h.target), &made.url, http.NoBody
	if !plainTarget(made.RequestURI, &made.url) {
		return nil
	}
	h.fill(&made.Request, string(lines[:h.end]))
	_, _ = r.Discard(len(buffered) - len(lines) + h.end)
	if h.length > 0 {
		made.body = http1.NewBody(r, h.length)
		made.Body = &made.body
	}
	return &made.Request
}

// plainRequest is a request with what belongs to it, in one piece.
type plainRequest struct {
	http.Request
	url  url.URL
	body http1.Body
}

// maxFields is how many fields a plain header has at most.
const maxFields = 64

// plainHeader is what is found in a header before anything is made of it.
type plainHeader struct {
	method string
	target []byte
	fields [maxFields]field
	count  int
	end    int // of the header, from the first field on

	host       int   // which field it is, -1: none
	sized      bool  // there is a length
	length     int64 // of the body
	connection bool  // there is a field of that name
	last       bool  // the connection is to be closed
}

// field says where a field stands. A reader holds less than 64 KiB.
type field struct{ name, colon, value, end uint16 }

// line takes a request's first line, and tells whether it is plain.
func (h *plainHeader) line(line []byte) bool {
	method, rest, _ := bytes.Cut(line, []byte(" "))
	target, ok := bytes.CutSuffix(rest, []byte(" HTTP/1.1"))
	h.method, h.target = plainMethod(method), target
	return ok && h.method != "" && bytes.HasPrefix(target, []byte("/"))
}

// plainMethod is a method that is known, in memory of its own: the connection keeps it.
func plainMethod(method []byte) string {
	for _, known := range [...]string{http.MethodPost, http.MethodGet, http.MethodHead, http.MethodDelete, http.MethodPut, http.MethodPatch, http.MethodOptions} {
		if string(method) == known {
			return known
		}
	}
	return ""
}

// plainTarget takes a target apart that needs no escapes, and tells whether it is one.
func plainTarget(target string, u *url.URL) bool {
	path, query, asked := strings.Cut(target, "?")
	u.Path, u.RawQuery = path, query
	return all(path, inPath) && all(query, inQuery) && asked == (query != "")
}

// parse finds the fields of a header that begins with them, and tells whether all are
// there and plain. Names get their canonical form where they stand, so that they need no memory.
func (h *plainHeader) parse(lines []byte) bool {
	for {
		line, _, v := nextLine(lines[h.end:])
		if v != ordinary {
			return false
		}
		if len(line) == 0 {
			h.end += len("\r\n")
			return h.host >= 0
		}
		colon := bytes.IndexByte(line, ':')
		if h.count == maxFields || colon <= 0 || !all(line[:colon], inToken) || !all(line[colon:], inValue) {
			return false
		}
		name := line[:colon]
		canonical(name)
		from, to := trimmed(line[colon+1:])
		from, to = colon+1+from, colon+1+to
		h.fields[h.count] = field{uint16(h.end), uint16(h.end + colon), uint16(h.end + from), uint16(h.end + to)}
		if !h.heed(name, line[from:to]) {
			return false
		}
		h.count++
		h.end += len(line) + len("\r\n")
	}
}

// heed takes what a field says about the request as a whole, and tells whether that is
// plain.
func (h *plainHeader) heed(name, value []byte) (plain bool) {
	plain = true
	switch string(name) {
	case "Host":
		plain = h.host < 0 && plainHost(value)
		h.host = h.count
	case "Connection":
		h.last = is(value, "close")
		plain = !h.connection && (h.last || is(value, "keep-alive"))
		h.connection = true
	case "Content-Length":
		h.length, plain = http1.Length(string(value))
		plain = plain && !h.sized
		h.sized = true
	case "Expect", "Upgrade", "Transfer-Encoding", "Trailer", "Pragma": // which net/http sees to
		plain = false
	}
	return plain
}

// fill makes a request of what was found; text are the lines of the fields.
func (h *plainHeader) fill(r *http.Request, text string) {
	r.Method, r.Proto, r.ProtoMajor, r.ProtoMinor = h.method, "HTTP/1.1", 1, 1
	r.ContentLength, r.Close = h.length, h.last
	r.Header = make(http.Header, h.count-1)
	values := make([]string, h.count)
	for i, f := range h.fields[:h.count] {
		name := text[f.name:f.colon]
		values[i] = text[f.value:f.end]
		if i == h.host {
			r.Host = values[i]
		} else if before := r.Header[name]; before != nil {
			r.Header[name] = append(before, values[i])
		} else {
			r.Header[name] = values[i : i+1 : i+1]
		}
	}
}

// canonical gives a name the form that http.Header has it in.
func canonical(name []byte) {
	upper := true
	for i, c := range name {
		switch {
		case upper && c >= 'a' && c <= 'z':
			name[i] = c - 'a' + 'A'
		case !upper && c >= 'A' && c <= 'Z':
			name[i] = c - 'A' + 'a'
		}
		upper = c == '-'
	}
}

// A class is a set of bytes.
type class uint8

const (
	inToken class = 1 << iota // a field's name: RFC 9110, section 5.6.2
	inValue                   // a field's value in ASCII
	inPath                    // a path that is written as it is meant
	inQuery                   // a query
)

// classes are the classes of each byte.
var classes = func() (of [256]class) {
	for c := byte(' '); c <= '~'; c++ {
		of[c] |= inValue
		if c > ' ' {
			of[c] |= inQuery
		}
		switch {
		case c >= '0' && c <= '9', c >= 'A' && c <= 'Z', c >= 'a' && c <= 'z':
			of[c] |= inToken | inPath
		case slices.Contains([]byte("!#$%&'*+-.^_`|~"), c):
			of[c] |= inToken
		}
	}
	of['\t'] |= inValue
	for _, c := range []byte("/-._~:") {
		of[c] |= inPath
	}
	return of
}()

// all tells whether a text consists of bytes of a class.
func all[T string | []byte](text T, of class) bool {
	for i := range len(text) {
		if classes[text[i]]&of == 0 {
			return false
		}
	}
	return true
}
