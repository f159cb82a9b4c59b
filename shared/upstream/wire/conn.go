package wire

import (
	"bufio"
	"crypto/tls"
	"math"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// unlimited is what may come of an answer's body.
const unlimited = math.MaxInt64

// conn is a connection to a backend. One exchange uses it at a time; abort may
// be called by anybody at any time.
type conn struct {
	net.Conn // the socket, or TLS over it
	socket   *socket
	to       endpoint
	state    *tls.ConnectionState // nil: in clear
	abort    func()               // closes the socket without any farewell

	reader *bufio.Reader // nil while no answer is read
	left   int64         // what may still be read
	broken bool          // reading has ended
	last   bool          // the backend will answer no more

	since time.Time       // when it was put into the pool, by the wall clock
	raw   syscall.RawConn // for peek; nil: it cannot be looked at
	quiet bool            // what peek has found
	look  func(fd uintptr) bool
	seen  [1]byte
}

// newConn makes a conn of a socket.
func newConn(plain net.Conn, to endpoint) *conn {
	c := &conn{Conn: plain, socket: &socket{Conn: plain}, to: to}
	c.abort = func() { _ = plain.Close() }
	if s, ok := plain.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil {
			c.raw, c.look = raw, c.peek
		}
	}
	return c
}

// Read reads as much as is allowed.
func (c *conn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errLongHeader
	}
	if int64(len(p)) > c.left {
		p = p[:c.left]
	}
	n, err := c.Conn.Read(p)
	c.left -= int64(n)
	c.broken = c.broken || err != nil
	return n, err
}

// spent tells whether no further request can be sent on the connection after an
// answer. Bytes beyond it would be taken for the answer to the next request.
func (c *conn) spent() bool {
	return c.last || c.broken || c.reader.Buffered() > 0 || c.state != nil && c.holdsBack()
}

// holdsBack tells whether TLS has taken more from the socket than it has given.
func (c *conn) holdsBack() bool {
	c.socket.dry = true
	n, err := c.Conn.Read(c.seen[:])
	c.socket.dry = false
	return n > 0 || err != errDry
}

// socket is what TLS reads from. While it is dry it gives nothing.
type socket struct {
	net.Conn
	dry bool
}

// errDry is one of the errors after which TLS can go on.
var errDry = os.ErrDeadlineExceeded

// Read reads, unless the socket is dry.
func (s *socket) Read(p []byte) (int, error) {
	if s.dry {
		return 0, errDry
	}
	return s.Conn.Read(p)
}

// idle tells whether nothing has happened on a connection that nobody uses.
// The backend may have closed it, or have sent what nobody asked for; even what
// TLS sends by itself is no reason to wait and see.
func (c *conn) idle() bool {
	c.quiet = false
	err := c.raw.Read(c.look)
	return err == nil && c.quiet
}

// readerSize holds the header of nearly every answer, and an event of a stream.
const readerSize = 4 << 10

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, readerSize) }}

func takeReader(c *conn) *bufio.Reader {
	r := readers.Get().(*bufio.Reader)
	r.Reset(c)
	return r
}

func giveReader(r *bufio.Reader) {
	r.Reset(nil)
	readers.Put(r)
}
