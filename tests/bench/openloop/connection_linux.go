package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"

	"golang.org/x/sys/unix"

	"spillway/tests/bench/openloop/answer"
)

// connection carries one request at a time.
type connection struct {
	socket  int
	closed  bool
	request int    // the index of the one that is under way, or idle
	answer  []byte // what has come of its answer
}

// idle is the index of no request.
const idle = -1

var (
	errTooLarge = errors.New("the answer is too large")
	errClosed   = errors.New("the connection was closed")
	errUnasked  = errors.New("something came that was not asked for")
	errCut      = errors.New("the request was not sent as a whole")
)

// open opens a connection and asks once on it: what the first request of a connection
// costs is no part of the load. From then on it never makes its thread wait.
func open(to *net.TCPAddr, request []byte) (c connection, err error) {
	const room = 16 << 10 // of one answer
	c = connection{request: idle, answer: make([]byte, 0, room)}
	if c.socket, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return c, fmt.Errorf("socket: %w", err)
	}
	if err = c.greet(to, request); err != nil {
		c.close()
		return c, fmt.Errorf("the first request to %v: %w", to, err)
	}
	return c, nil
}

func (c *connection) greet(to *net.TCPAddr, request []byte) error {
	const patience = 10 // seconds
	err := errors.Join(
		unix.SetsockoptTimeval(c.socket, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: patience}),
		unix.SetsockoptInt(c.socket, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1),
		unix.Connect(c.socket, &unix.SockaddrInet4{Port: to.Port, Addr: [4]byte(to.IP.To4())}))
	if err != nil {
		return err
	}
	c.request = 0
	defer func() { c.request = idle }()
	if err := c.send(request); err != nil {
		return err
	}
	status := 0
	for status == 0 && err == nil {
		status, err = c.read()
	}
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("status %d", status)
	}
	if err != nil {
		return err
	}
	return unix.SetNonblock(c.socket, true)
}

// send sends a request. It is much smaller than what a socket holds.
func (c *connection) send(request []byte) error {
	c.answer = c.answer[:0]
	n, err := unix.Write(c.socket, request)
	if err == nil && n != len(request) {
		err = errCut
	}
	return err
}

// read reads what has come, and returns the status of the answer when it is whole, or 0.
// It reads once: what comes later is an event of its own. If nothing has come the error
// is EAGAIN.
func (c *connection) read() (status int, err error) {
	n, err := unix.Read(c.socket, c.answer[len(c.answer):cap(c.answer)])
	switch {
	case errors.Is(err, unix.EINTR):
		return 0, nil
	case err != nil:
		return 0, err
	case n == 0:
		return 0, errClosed
	case c.request == idle:
		return 0, errUnasked
	}
	c.answer = c.answer[:len(c.answer)+n]
	status, err = answer.Status(c.answer)
	if status == 0 && err == nil && len(c.answer) == cap(c.answer) {
		err = errTooLarge
	}
	return status, err
}

// close closes it once.
func (c *connection) close() {
	if !c.closed {
		c.closed = true
		_ = unix.Close(c.socket)
	}
}
