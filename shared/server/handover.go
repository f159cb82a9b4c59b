package server

import (
	"net"
	"sync"
)

// handover is the listener from which net/http takes the connections that are
// left to it.
type handover struct {
	address net.Addr
	conns   chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func newHandover(address net.Addr) *handover {
	return &handover{address: address, conns: make(chan net.Conn), closed: make(chan struct{})}
}

// give hands a connection over, and tells whether it was taken.
func (h *handover) give(c net.Conn) bool {
	select {
	case h.conns <- c:
		return true
	case <-h.closed:
		return false
	}
}

// Accept takes a connection.
func (h *handover) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.closed:
		return nil, net.ErrClosed
	}
}

// Close ends the handing over.
func (h *handover) Close() error {
	h.once.Do(func() { close(h.closed) })
	return nil
}

// Addr is the address of the listener that has accepted the connections.
func (h *handover) Addr() net.Addr { return h.address }

// fronted is a connection with the bytes that have been read from it put back.
type fronted struct {
	net.Conn
	front []byte
}

// Read reads what was put back, and then on.
func (c *fronted) Read(p []byte) (int, error) {
	if len(c.front) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.front)
	c.front = c.front[n:]
	return n, nil
}

// CloseWrite ends what is sent, so that a client that still sends can read it.
func (c *fronted) CloseWrite() error { return closeWrite(c.Conn) }

// closeWrite ends what is sent on a connection that can be ended on one side.
func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

var _ net.Listener = (*handover)(nil)
