package wire

import (
	"bufio"
	"crypto/tls"
	"io"
	"math"
	"net"
	"sync"
	"syscall"
	"time"

	"spillway/shared/rawconn"
)

// unlimited is what may come of an answer's body.
const unlimited = math.MaxInt64

// conn is a connection to a backend. One exchange uses it at a time; abort may
// be called by anybody at any time.
type conn struct {
	net.Conn           // what is written to: the network's connection, or TLS over it
	direct   io.Writer // the same, for short messages
	from     io.Reader // what is read from: the socket, or TLS over it
	socket   *socket
	home     *shelf               // where it is kept
	state    *tls.ConnectionState // nil: in clear
	abort    func()               // closes the socket without any farewell

	reader *bufio.Reader // nil while no answer is read
	spare  *bufio.Reader // empty, for a reader's buffer to be given back; nil: none
	left   int64         // what may still be read
	broken bool          // reading has ended
	last   bool          // the backend will answer no more

	since time.Time       // when it was put into the pool, by the wall clock
	raw   syscall.RawConn // for what follows; nil: it cannot be looked at
	quiet bool            // what peek has found
	look  func(fd uintptr) bool
	fill  func(fd uintptr) bool
	talk  func(fd uintptr) bool // nil: the socket does not send what is written
	said  *message              // what talk has to send
	sent  int                   // how many bytes of it have been
	seen  [1]byte
}

// newConn makes a conn of a socket.
func newConn(plain net.Conn, home *shelf) *conn {
	c := &conn{Conn: plain, socket: &socket{Conn: rawconn.New(plain)}, home: home}
	c.direct, c.from = c.socket, c.socket
	c.abort = func() { _ = plain.Close() }
	if s, ok := plain.(syscall.Conn); ok {
		if raw, err := s.SyscallConn(); err == nil {
			c.raw, c.look, c.fill = raw, c.peek, c.socket.fill
		}
	}
	if _, bare := plain.(*net.TCPConn); bare && c.raw != nil {
		c.talk = c.converse
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
	n, err := c.from.Read(p)
	c.left -= int64(n)
	c.broken = c.broken || err != nil && !c.socket.dry
	return n, err
}

// spent tells whether no further request can be sent on the connection after an
// answer. Bytes beyond it would be taken for the answer to the next request.
func (c *conn) spent() bool {
	return c.last || c.broken || c.reader.Buffered() > 0 || c.socket.ahead != nil || c.state != nil && c.holdsBack()
}

// holdsBack tells whether TLS has taken more from the socket than it has given.
func (c *conn) holdsBack() bool {
	c.socket.dry = true
	n, err := c.Conn.Read(c.seen[:])
	c.socket.dry = false
	return n > 0 || err != errDry
}

// idle tells whether nothing has happened on a connection that nobody uses.
// The backend may have closed it, or have sent what nobody asked for; even what
// TLS sends by itself is no reason to wait and see.
func (c *conn) idle() bool {
	c.quiet = false
	err := c.raw.Read(c.look)
	return err == nil && c.quiet
}

// kept tells whether the connection has served before.
func (c *conn) kept() bool { return !c.since.IsZero() }

// ask sends a direct message and waits for its answer, whose beginning it reads ahead,
// unless the connection is not idle. It returns what is still to be written: nothing if
// all went well, when the message has been freed.
func (c *conn) ask(m *message) (rest []byte, idle bool) {
	rawconn.Yield()
	c.quiet, c.said, c.sent = false, m, 0
	err := c.raw.Read(c.talk)
	idle = c.quiet || err != nil // of a closed connection, as what is done next
	if c.said != nil {
		rest, c.said = m.bytes[c.sent:], nil
	}
	return rest, idle
}

// await waits until there is something to read, or reading has ended. Meanwhile it
// holds none of the reader's buffer, which must be empty, nor another one.
func (c *conn) await() {
	if c.raw == nil || c.reader.Buffered() > 0 || c.socket.filled() || c.state != nil && c.fetch() {
		return
	}
	c.layDown()
	_ = c.raw.Read(c.fill) // if it fails, so does the next Read
	c.pickUp()
}

// fetch takes what TLS holds back, and tells whether there was something.
func (c *conn) fetch() bool {
	c.socket.dry = true
	_, err := c.reader.Peek(1)
	c.socket.dry = false
	return err != errDry
}

// layDown and pickUp give an empty reader's buffer back and take another one. The
// reader stays where it is: who reads a body has hold of it.
func (c *conn) layDown() {
	if c.spare == nil {
		c.spare = new(bufio.Reader)
	}
	*c.spare, *c.reader = *c.reader, *c.spare
	giveReader(c.spare)
	c.spare = nil
}

func (c *conn) pickUp() {
	c.spare = takeReader(c)
	*c.spare, *c.reader = *c.reader, *c.spare
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
