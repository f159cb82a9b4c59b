package wire

import (
	"cmp"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"sync"
)

// message is a request as it is sent.
type message struct{ bytes []byte }

// messages recycles messages: one is only needed until it is sent, while an
// answer may be awaited for minutes.
var messages = sync.Pool{New: func() any { return new(message) }}

func (m *message) free() { messages.Put(m) }

// newMessage writes an ordinary request with the given body, which it closes.
func newMessage(r *http.Request, body io.ReadCloser) (*message, error) {
	m := messages.Get().(*message)
	m.bytes = appendHeader(m.bytes[:0], r)
	if !hasBody(r) {
		return m, nil
	}
	err := m.appendBody(body, int(r.ContentLength))
	if closing := body.Close(); err == nil {
		err = closing
	}
	if err != nil {
		m.free()
		return nil, err
	}
	return m, nil
}

// appendHeader appends what precedes the body. It writes the same fields as
// http.Request.Write, which sorts them besides.
func appendHeader(b []byte, r *http.Request) []byte {
	b = append(b, cmp.Or(r.Method, http.MethodGet)...)
	b = append(b, ' ')
	b = append(b, r.URL.RequestURI()...)
	b = append(b, " HTTP/1.1\r\n"...)
	b = appendField(b, "Host", cmp.Or(r.Host, r.URL.Host))
	agent := "Go-http-client/1.1"
	if _, ok := r.Header["User-Agent"]; ok {
		agent = r.Header.Get("User-Agent")
	}
	if agent != "" {
		b = appendField(b, "User-Agent", agent)
	}
	if r.ContentLength > 0 || r.Method == http.MethodPost || r.Method == http.MethodPut || r.Method == http.MethodPatch {
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, r.ContentLength, 10)
		b = append(b, "\r\n"...)
	}
	for name, values := range r.Header {
		switch name {
		case "Host", "User-Agent", "Content-Length", "Transfer-Encoding", "Trailer":
			continue
		}
		for _, value := range values {
			b = appendField(b, name, value)
		}
	}
	return append(b, "\r\n"...)
}

func appendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, textproto.TrimString(value)...)
	return append(b, "\r\n"...)
}

// appendBody reads a body that must be of the given length.
func (m *message) appendBody(body io.Reader, length int) error {
	b := slices.Grow(m.bytes, length+1) // one more, to see what is too much
	end := len(b) + length
	var err error
	for err == nil && len(b) <= end {
		var n int
		n, err = body.Read(b[len(b) : end+1])
		b = b[:len(b)+n]
	}
	m.bytes = b
	switch {
	case err != nil && err != io.EOF:
		return err
	case len(b) != end:
		return fmt.Errorf("wire: a body of ContentLength %d differs from it by %d bytes or more", length, len(b)-end)
	}
	return nil
}
