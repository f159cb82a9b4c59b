package rawconn

import "runtime"

// Yield lets whoever is ready go on first. Called before a message is sent it has the
// messages of all who are ready sent one right after another: their readers, each of which
// is woken if it sleeps, find the next one before they go back to sleep. To wake them is
// the dearest part of sending, and where one processor is fully used all of this takes a
// tenth less of its time. Where several processors run Go code it does nothing, for each
// yield would wake another of these, which costs more.
func Yield() {
	if runtime.GOMAXPROCS(0) == 1 {
		runtime.Gosched()
	}
}
