//go:build unix

package process

import (
	"time"

	"golang.org/x/sys/unix"
)

// processorTime is what this process has used, on behalf of the system too.
func processorTime() (used time.Duration, ok bool) {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0, false
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), true
}
