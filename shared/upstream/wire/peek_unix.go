//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package wire

import "syscall"

// canPeek says that a kept connection can be looked at before it is used.
const canPeek = true

// peek looks for bytes or an end without waiting for them and without taking
// them. It has always done all that it can.
func (c *conn) peek(fd uintptr) (done bool) {
	_, _, err := syscall.Recvfrom(int(fd), c.seen[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	c.quiet = err == syscall.EAGAIN
	return true
}
