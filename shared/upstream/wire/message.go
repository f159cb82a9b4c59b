package wire

import (
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"sync"

	"spillway/shared/http1"
)

// MaxCopied is the largest body, in bytes, that is copied before it is sent. A larger one
// is sent from where it lies.
const MaxCopied = 64 << 10

// message is a request as it is sent.
type message struct {
	bytes []byte // the header, and behind it a body that was copied

	// The buffers of the whole message, which writing uses up, if its body is sent from
	// where it lies; else there are none.
	buffers net.Buffers

	repeatable bool // by its method or a field
}

// messages recycles messages: one is only needed until it is sent, while an
// answer may be awaited for minutes.
var messages = sync.Pool{New: func() any { return new(message) }}

func takeMessage() *message { return messages.Get().(*message) }

func (m *message) free() {
	clear(m.buffers)
	m.buffers = m.buffers[:0]
	messages.Put(m)
}

// begin writes what precedes the body, and tells whether it is ordinary. It writes the same
// fields as http.Request.Write, which sorts them besides.
func (m *message) begin(to *Target, header []Field, body Body) (ordinary bool) {
	m.repeatable = to.repeatable
	b := append(m.bytes[:0], to.head...)
	agent := "Go-http-client/1.1"
	for i := range header {
		f := &header[i]
		if !f.ordinary() {
			return false
		}
		switch f.Name {
		case "Host", "Content-Length", "Transfer-Encoding", "Trailer":
			continue // which are none of the caller's business
		case "User-Agent":
			agent = ""
			if len(f.Values) > 0 {
				agent = f.Values[0]
			}
			continue
		case "Idempotency-Key", "X-Idempotency-Key":
			m.repeatable = true
		}
		for _, value := range f.Values {
			b = appendField(b, f.Name, value)
		}
	}
	if agent != "" {
		b = appendField(b, "User-Agent", agent)
	}
	length := int64(0)
	if body != nil {
		if length = body.Size(); length <= 0 {
			return false
		}
	}
	if length > 0 || to.sized {
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, length, 10)
		b = append(b, "\r\n"...)
	}
	m.bytes = append(b, "\r\n"...)
	return true
}

// ordinary tells whether a field can be sent, and asks for nothing that is only done by
// net/http.
func (f *Field) ordinary() bool {
	switch f.Name {
	case "", "Connection", "Upgrade", "Expect":
		return false
	}
	if !http1.All(f.Name, http1.InToken) {
		return false
	}
	for _, value := range f.Values {
		if !http1.All(value, http1.InValue) {
			return false
		}
	}
	return true
}

func appendField(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, textproto.TrimString(value)...)
	return append(b, "\r\n"...)
}

// load puts the body, which must be of its length, behind the header.
func (m *message) load(body Body) error {
	if body == nil {
		return nil
	}
	segments, err := body.Segments()
	if err != nil {
		return err
	}
	left := body.Size()
	copied := left <= MaxCopied
	if !copied {
		m.buffers = append(m.buffers, m.bytes)
	}
	for _, segment := range segments {
		if left -= int64(len(segment)); left < 0 {
			break
		}
		if copied {
			m.bytes = append(m.bytes, segment...)
		} else {
			m.buffers = append(m.buffers, segment)
		}
	}
	if left != 0 {
		return errLength(-left)
	}
	return nil
}

// errLength says that a body has more bytes than was said, or fewer.
func errLength(more int64) error {
	return fmt.Errorf("wire: a body differs from its announced length by %d bytes or more", more)
}

// direct tells whether the message is written before its answer is read.
func (m *message) direct() bool { return len(m.buffers) == 0 && len(m.bytes) <= maxDirect }

// writeTo writes the message, once.
func (m *message) writeTo(w io.Writer) (int64, error) {
	if len(m.buffers) == 0 {
		n, err := w.Write(m.bytes)
		return int64(n), err
	}
	left := m.buffers
	return left.WriteTo(w)
}
