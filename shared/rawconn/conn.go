//go:build unix

package rawconn

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
)

// conn is a connection that is read and written by raw system calls.
type conn struct {
	net.Conn
	raw     syscall.RawConn
	in, out transfer
}

// transfer is a read or a write. There is one of each at a time.
type transfer struct {
	bytes []byte // what is to be written, or where to read into
	n     int    // how many of them have been
	err   error  // the system's
	// attempt goes on, and tells whether that was the end. It is kept because it
	// escapes: it would be allocated for every transfer.
	attempt func(fd uintptr) (done bool)
}

func newConn(plain net.Conn, raw syscall.RawConn) net.Conn {
	c := &conn{Conn: plain, raw: raw}
	c.in.attempt, c.out.attempt = c.in.read, c.out.write
	return c
}

// SyscallConn implements syscall.Conn.
func (c *conn) SyscallConn() (syscall.RawConn, error) { return c.raw, nil }

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	if len(p) == 0 || len(p) > maxRaw {
		return c.Conn.Read(p)
	}
	n, err := c.in.run(p, c.raw.Read)
	switch {
	case err != nil:
		return 0, c.failed("read", err)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// Write implements net.Conn.
func (c *conn) Write(p []byte) (int, error) {
	if len(p) > maxRaw {
		return c.Conn.Write(p)
	}
	n, err := c.out.run(p, c.raw.Write)
	if err != nil {
		err = c.failed("write", err)
	}
	return n, err
}

// failed returns the error as a connection of package net does.
func (c *conn) failed(op string, err error) error {
	if waiting := (*net.OpError)(nil); errors.As(err, &waiting) {
		err = waiting.Err
	} else {
		err = os.NewSyscallError(op, err)
	}
	local := c.LocalAddr()
	return &net.OpError{Op: op, Net: local.Network(), Source: local, Addr: c.RemoteAddr(), Err: err}
}

// run makes the transfer, and waits as often as it has to.
func (t *transfer) run(p []byte, wait func(func(fd uintptr) bool) error) (int, error) {
	t.bytes, t.n, t.err = p, 0, nil
	err := wait(t.attempt)
	t.bytes = nil
	if err == nil {
		err = t.err
	}
	return t.n, err
}

// read reads once.
func (t *transfer) read(fd uintptr) (done bool) {
	t.n, t.err = Receive(fd, t.bytes)
	return t.err != syscall.EAGAIN
}

// write writes as much as there is room for.
func (t *transfer) write(fd uintptr) (done bool) {
	for t.n < len(t.bytes) {
		n, err := Send(fd, t.bytes[t.n:])
		if err != nil {
			t.err = err
			return err != syscall.EAGAIN
		}
		t.n += n
	}
	t.err = nil
	return true
}
