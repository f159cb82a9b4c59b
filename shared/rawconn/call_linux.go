//go:build linux && !race

package rawconn

import (
	"syscall"
	"unsafe"
)

// Receive reads what there is of a connection into p, which must not be empty. It
// does not wait: if there is nothing, it returns EAGAIN. No bytes and no error are
// the connection's end. It is for what syscall.RawConn's Read calls.
func Receive(fd uintptr, p []byte) (int, error) {
	return call(syscall.SYS_RECVFROM, fd, p, syscall.MSG_DONTWAIT)
}

// Peek is Receive, but that it leaves there what it reads.
func Peek(fd uintptr, p []byte) (int, error) {
	return call(syscall.SYS_RECVFROM, fd, p, syscall.MSG_DONTWAIT|syscall.MSG_PEEK)
}

// Send writes a part of p, which must not be empty, and does not wait, either: if there
// is no room, it returns EAGAIN. It is for what syscall.RawConn's Write calls, or its
// Read, where nobody writes meanwhile.
func Send(fd uintptr, p []byte) (int, error) {
	return call(syscall.SYS_SENDTO, fd, p, syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL)
}

// call makes a system call that cannot wait.
func call(number, fd uintptr, p []byte, flags uintptr) (int, error) {
	for {
		n, _, err := syscall.RawSyscall6(number, fd, uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), flags, 0, 0)
		switch err {
		case 0:
			return int(n), nil
		case syscall.EINTR:
		default:
			return 0, err
		}
	}
}
