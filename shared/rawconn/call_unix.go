//go:build unix && (!linux || race)

package rawconn

import "syscall"

// Here calls are ordinary. The race detector has to be told of each of them.

// Receive reads what there is of a connection into p, which must not be empty. It
// does not wait: if there is nothing, it returns EAGAIN. No bytes and no error are
// the connection's end. It is for what syscall.RawConn's Read calls.
func Receive(fd uintptr, p []byte) (int, error) {
	return repeated(func() (int, error) { return syscall.Read(int(fd), p) })
}

// Peek is Receive, but that it leaves there what it reads.
func Peek(fd uintptr, p []byte) (int, error) {
	return repeated(func() (int, error) {
		n, _, err := syscall.Recvfrom(int(fd), p, syscall.MSG_PEEK)
		return n, err
	})
}

// Send writes a part of p, which must not be empty, and does not wait, either: if there
// is no room, it returns EAGAIN. It is for what syscall.RawConn's Write calls, or its
// Read, where nobody writes meanwhile.
func Send(fd uintptr, p []byte) (int, error) {
	return repeated(func() (int, error) { return syscall.Write(int(fd), p) })
}

// repeated makes a system call until it is not interrupted. What fails has moved nothing.
func repeated(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}
