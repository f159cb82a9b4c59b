// Package files raises the limit of open files, for processes with many connections.
package files

import "syscall"

// Raise allows this process, and those that it starts, as many open files as the system
// lets it, and returns how many that are.
func Raise() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	const many = 1 << 17
	raised := syscall.Rlimit{Cur: max(limit.Max, many), Max: max(limit.Max, many)}
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised) == nil {
		return int(raised.Cur)
	}
	limit.Cur = limit.Max // more is the privilege of some
	_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	return int(limit.Cur)
}
