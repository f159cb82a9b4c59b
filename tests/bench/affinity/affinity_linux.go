package affinity

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// usable are the processors that this process may use.
func usable() (all Set, err error) {
	var mask unix.CPUSet
	if err := unix.SchedGetaffinity(0, &mask); err != nil {
		return nil, err
	}
	for n := range 64 * len(mask) {
		if mask.IsSet(n) {
			all = append(all, n)
		}
	}
	return all, nil
}

// On calls f on these processors. Programs that it starts stay on them.
func (s Set) On(f func() error) error {
	if len(s) == 0 {
		return f()
	}
	// A program has the processors of the thread that has started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, mask unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return err
	}
	for _, n := range s {
		mask.Set(n)
	}
	if err := unix.SchedSetaffinity(0, &mask); err != nil {
		return err
	}
	err := f()
	if failed := unix.SchedSetaffinity(0, &before); err == nil {
		err = failed
	}
	return err
}
