// Package http1 reads what messages of HTTP/1.1 have alike in both directions, towards clients and
// towards backends: the fields of a header (RFC 9112, section 5), and a body of a known length
// (section 6.2).
package http1

import (
	"bufio"
	"io"
	"strconv"
)

// Length is the number of bytes that a Content-Length announces, if it is one of bare digits. Longer
// numbers than any body has are none.
func Length(value string) (n int64, ok bool) {
	const maxDigits = 18 // fit an int64 for certain
	n, err := strconv.ParseInt(value, 10, 64)
	return n, err == nil && len(value) <= maxDigits && value[0] >= '0' && value[0] <= '9'
}

// Body is a body of a known length. It is not safe for concurrent use.
type Body struct {
	reader *bufio.Reader
	left   int64
}

// NewBody returns the body that is the next n bytes of a connection.
func NewBody(connection *bufio.Reader, n int64) Body { return Body{connection, n} }

// Read reads on, and tells the end together with the last bytes. A connection that ends before is
// io.ErrUnexpectedEOF, once, as with net/http.
func (b *Body) Read(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.reader.Read(p[:min(int64(len(p)), b.left)])
	switch b.left -= int64(n); {
	case b.left == 0:
		err = io.EOF
	case err == io.EOF: // of the connection: nothing more is left
		b.left, err = 0, io.ErrUnexpectedEOF
	}
	return n, err
}

// Close does nothing: whoever has the connection sees to the rest.
func (b *Body) Close() error { return nil }
