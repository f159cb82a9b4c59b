package wire

import (
	"net"
	"os"
	"sync"
)

// socket is what a connection, or TLS over it, reads from.
type socket struct {
	net.Conn
	// dry is a socket that gives nothing.
	dry bool

	// What fill has read and nobody has taken yet, (*ahead)[at:end], and how reading
	// ended. A buffer is there only while there is something in it.
	ahead   *[readerSize]byte
	at, end int
	err     error
}

// errDry is one of the errors after which TLS can go on.
var errDry = os.ErrDeadlineExceeded

// aheads recycles the buffers of sockets.
var aheads = sync.Pool{New: func() any { return new([readerSize]byte) }}

// Read reads, unless the socket is dry: first what was read ahead.
func (s *socket) Read(p []byte) (int, error) {
	switch {
	case s.dry:
		return 0, errDry
	case s.ahead != nil:
		n := copy(p, s.ahead[s.at:s.end])
		if s.at += n; s.at == s.end {
			aheads.Put(s.ahead)
			s.ahead = nil
		}
		return n, nil
	case s.err != nil:
		return 0, s.err
	}
	return s.Conn.Read(p)
}

// filled tells whether fill has read something, or an end, that Read will give.
func (s *socket) filled() bool { return s.ahead != nil || s.err != nil }
