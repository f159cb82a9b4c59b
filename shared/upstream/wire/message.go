package wire

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"sync"
)

// Segmented is what the body of a request may implement besides that lies in
// memory: then it is sent from there, however long it is, and not read.
type Segmented interface {
	io.ReadCloser
	// Segments are the body's bytes in their order. They are not changed, and not
	// looked at any more once Close has been called.
	Segments() [][]byte
}

// message is a request as it is sent.
type message struct {
	bytes []byte // the header, and behind it a body that was copied

	// A body that is sent from where it lies, nil if it was copied, and the buffers
	// of the whole message, which writing uses up.
	body    Segmented
	buffers net.Buffers
}

// messages recycles messages: one is only needed until it is sent, while an
// answer may be awaited for minutes.
var messages = sync.Pool{New: func() any { return new(message) }}

func (m *message) free() {
	if m.body != nil {
		_ = m.body.Close()
		m.body = nil
	}
	clear(m.buffers)
	m.buffers = m.buffers[:0]
	messages.Put(m)
}

// newMessage writes an ordinary request with the given body. It closes the body,
// or lets free do so where the body is sent from where it lies.
func newMessage(r *http.Request, body io.ReadCloser) (*message, error) {
	m := messages.Get().(*message)
	m.bytes = appendHeader(m.bytes[:0], r)
	if !hasBody(r) {
		return m, nil
	}
	if segmented, ok := body.(Segmented); ok && r.ContentLength > maxCopied {
		m.body = segmented
		if err := m.gather(r.ContentLength); err != nil {
			m.free()
			return nil, err
		}
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

// gather puts the header and the segments of a body that must be of the given
// length one behind the other.
func (m *message) gather(length int64) error {
	m.buffers = append(m.buffers, m.bytes)
	for _, segment := range m.body.Segments() {
		m.buffers = append(m.buffers, segment)
		length -= int64(len(segment))
	}
	if length != 0 {
		return errLength(-length)
	}
	return nil
}

// writeTo writes the message, once.
func (m *message) writeTo(w io.Writer) (int64, error) {
	if m.body == nil {
		n, err := w.Write(m.bytes)
		return int64(n), err
	}
	left := m.buffers
	return left.WriteTo(w)
}

// appendHeader appends what precedes the body. It writes the same fields as
// http.Request.Write, which sorts them besides.
func appendHeader(b []byte, r *http.Request) []byte {
	b = append(b, cmp.Or(r.Method, http.MethodGet)...)
	b = append(b, ' ')
	b = appendTarget(b, r.URL)
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

// appendTarget appends what url.URL's RequestURI returns for an ordinary request.
func appendTarget(b []byte, u *url.URL) []byte {
	b = append(b, cmp.Or(u.EscapedPath(), "/")...)
	if u.ForceQuery || u.RawQuery != "" {
		b = append(append(b, '?'), u.RawQuery...)
	}
	return b
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
		return errLength(int64(len(b) - end))
	}
	return nil
}

// errLength says that a body has more bytes than its ContentLength, or fewer.
func errLength(more int64) error {
	return fmt.Errorf("wire: a body differs from its ContentLength by %d bytes or more", more)
}
