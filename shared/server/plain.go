package server

import (
	"bufio"
	"bytes"
	"net/http"
	"net/url"
	"strings"

	"spillway/shared/http1"
)

// readPlain reads a request as http.ReadRequest does, at half of the cost, if the reader
// holds all of its header, it is ordinary, and nothing in it is unusual or in doubt. Of
// any other it reads nothing and returns nil: judge says more about it. The header is
// empty, and becomes the request's.
func readPlain(r *bufio.Reader, header http.Header) *http.Request {
	buffered, _ := r.Peek(r.Buffered())
	var h plainHeader
	line, lines, _ := nextLine(buffered)
	if !h.line(line) {
		return nil
	}
	length, plain := h.Parse(lines, h.heed)
	if !plain || !h.host {
		return nil
	}
	made := &plainRequest{}
	text := string(buffered[:len(buffered)-len(lines)+length])
	target := text[len(h.method)+1:][:h.target]
	made.url.Path, made.url.RawQuery = target[:h.path], strings.TrimPrefix(target[h.path:], "?")
	made.Request = http.Request{
		Method: h.method, RequestURI: target, URL: &made.url, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Host: h.Fill(header, text[len(text)-length:], "Host"),
		Body: http.NoBody, ContentLength: h.length, Close: h.last,
	}
	_, _ = r.Discard(len(text))
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

// plainHeader is what is found in a header before anything is made of it.
type plainHeader struct {
	method       string
	target, path int // their lengths
	http1.Fields

	host, connection, sized bool  // whether there are fields that say so
	length                  int64 // of the body
	last                    bool  // the connection is to be closed
}

// line takes a request's first line, and tells whether it is plain: its method is known,
// and its target needs no escapes.
func (h *plainHeader) line(line []byte) bool {
	method, rest, _ := bytes.Cut(line, []byte(" "))
	target, ok := bytes.CutSuffix(rest, []byte(" HTTP/1.1"))
	path, query, asked := bytes.Cut(target, []byte("?"))
	h.method, h.target, h.path = plainMethod(method), len(target), len(path)
	return ok && h.method != "" && bytes.HasPrefix(path, []byte("/")) &&
		http1.All(path, http1.InPath) && http1.All(query, http1.InQuery) && asked == (len(query) > 0)
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

// heed takes what a field says about the request as a whole, and tells whether that is
// plain.
func (h *plainHeader) heed(name, value []byte) (plain bool) {
	plain = true
	switch string(name) {
	case "Host":
		plain = !h.host && plainHost(value)
		h.host = true
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
