package wire

import (
	"bufio"
	"bytes"
	"net/http"
	"net/textproto"
	"strings"

	"spillway/shared/http1"
)

// readAnswer reads the header of an answer as http.ReadResponse does, at less than
// half of the cost if the answer is of the most common kind.
func readAnswer(r *bufio.Reader, req *http.Request) (*http.Response, error) {
	if response := readCommon(r, req); response != nil {
		return response, nil
	}
	return http.ReadResponse(r, req)
}

const (
	proto     = "HTTP/1.1 "
	lineEnd   = "\r\n"
	headerEnd = lineEnd + lineEnd
)

// readCommon reads the header of an answer whose body has a length, and in which
// nothing is unusual or in doubt. Of any other it reads nothing and returns nil.
func readCommon(r *bufio.Reader, req *http.Request) *http.Response {
	buffered, _ := r.Peek(r.Buffered())
	end := bytes.Index(buffered, []byte(headerEnd))
	if end < 0 || req.Method == http.MethodHead {
		return nil
	}
	text := string(buffered[:end+len(lineEnd)])
	first, fields, _ := strings.Cut(text, lineEnd)
	status, ok := strings.CutPrefix(first, proto)
	code := statusCode(status)
	if !ok || code < 200 || code == http.StatusNoContent || code == http.StatusNotModified {
		return nil
	}
	header := parseFields(fields)
	length, ok := bodyLength(header)
	if !ok {
		return nil
	}
	_, _ = r.Discard(end + len(headerEnd)) // which is buffered
	answer := &struct {
		http.Response
		body http1.Body
	}{body: http1.NewBody(r, length)}
	answer.Response = http.Response{
		Status: status, StatusCode: code, Proto: proto[:len(proto)-1], ProtoMajor: 1, ProtoMinor: 1,
		Header: header, ContentLength: length, Body: &answer.body, Request: req,
	}
	return &answer.Response
}

// statusCode is the code of a status such as "200 OK", 0 if it has another form.
func statusCode(status string) int {
	if len(status) < 4 || status[3] != ' ' || !all(status, inValue) {
		return 0
	}
	code := 0
	for _, c := range []byte(status[:3]) {
		if c < '0' || c > '9' {
			return 0
		}
		code = 10*code + int(c-'0')
	}
	return code
}

// parseFields reads the lines of a header, each with its end; nil: one of them is
// unusual.
func parseFields(lines string) http.Header {
	count := strings.Count(lines, lineEnd)
	header := make(http.Header, count)
	values := make([]string, count)
	for i := range count {
		line, rest, _ := strings.Cut(lines, lineEnd)
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" || !all(name, inToken) || !all(value, inValue) {
			return nil
		}
		name = textproto.CanonicalMIMEHeaderKey(name)
		values[i] = textproto.TrimString(value)
		if before := header[name]; before != nil {
			header[name] = append(before, values[i])
		} else {
			header[name] = values[i : i+1 : i+1]
		}
		lines = rest
	}
	return header
}

// bodyLength is the length of the body that a header announces. It is not ok if there
// is none, or if anything else bears on where the body ends or what follows it.
func bodyLength(header http.Header) (length int64, ok bool) {
	for _, name := range [...]string{"Transfer-Encoding", "Trailer", "Pragma"} {
		if header[name] != nil {
			return 0, false
		}
	}
	connection, lengths := header["Connection"], header["Content-Length"]
	if len(connection) > 1 || len(connection) == 1 && !strings.EqualFold(connection[0], "keep-alive") || len(lengths) != 1 {
		return 0, false
	}
	length, ok = http1.Length(lengths[0])
	return length, ok && length > 0
}
