// Package rawconn reads and writes network connections without telling Go's
// scheduler of every system call. An ordinary call wakes the scheduler's monitor
// where it sleeps, a thread of its own, which then looks every 20 µs for calls that
// take long. A read or a write that does not wait is over in a few microseconds, and
// so all that is for nothing; for a gateway that waits again after each of them it
// was a quarter of the processor time.
package rawconn

import "net"

// maxRaw is the longest piece that is read or written in this way, in bytes. Meanwhile
// the scheduler cannot use the processor for anything else, and no garbage collection
// can begin. Longer pieces are ordinary calls also so that the monitor is awake where
// there is much to work on, and takes the processor from whoever works for long.
const maxRaw = 16 << 10

// New returns a TCP connection with Read and Write as this package does them, for one
// reader and one writer at a time. What they return is as before. All else, deadlines
// and closing too, can be done at any time with either of the two. Of any other
// connection it returns the connection itself.
func New(plain net.Conn) net.Conn {
	tcp, ok := plain.(*net.TCPConn) // whatever wraps one may have a Read and a Write of its own
	if !ok {
		return plain
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return plain
	}
	return newConn(plain, raw)
}
