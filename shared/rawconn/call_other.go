//go:build !unix

package rawconn

import (
	"net"
	"syscall"
)

// newConn returns the connection as it is: here it cannot be read without waiting.
func newConn(plain net.Conn, _ syscall.RawConn) net.Conn { return plain }
