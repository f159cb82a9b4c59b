//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package wire

import (
	"io"
	"net"
	"os"
	"syscall"

	"spillway/shared/rawconn"
)

// canPeek says that a kept connection can be looked at before it is used.
const canPeek = true

// peek looks for bytes or an end without waiting for them and without taking
// them. It has always done all that it can.
func (c *conn) peek(fd uintptr) (done bool) {
	_, err := rawconn.Peek(fd, c.seen[:])
	c.quiet = err == syscall.EAGAIN
	return true
}

// converse does what ask does, all within one wait for bytes. That has begun before the
// message is sent: nothing of the answer can be missed, and so it is not looked for in
// vain before it is waited for, which would be one more system call.
func (c *conn) converse(fd uintptr) (done bool) {
	if c.said == nil { // all has been sent
		return c.socket.fill(fd)
	}
	if c.peek(fd); !c.quiet {
		return true
	}
	c.sent, _ = rawconn.Send(fd, c.said.bytes) // who writes the rest gets the error
	if c.sent < len(c.said.bytes) {
		return true
	}
	c.said.free()
	c.said = nil
	return false
}

// fill reads ahead what there is, and tells whether there was something, or an end.
// It needs a buffer only if there is.
func (s *socket) fill(fd uintptr) (done bool) {
	b := aheads.Get().(*[readerSize]byte)
	n, err := rawconn.Receive(fd, b[:])
	if n > 0 {
		s.ahead, s.at, s.end = b, 0, n
		return true
	}
	aheads.Put(b)
	switch err {
	case syscall.EAGAIN:
		return false
	case nil:
		s.err = io.EOF
	default:
		s.err = &net.OpError{Op: "read", Net: "tcp", Addr: s.RemoteAddr(), Err: os.NewSyscallError("read", err)}
	}
	return true
}
