package upstream

import (
	"context"
	"sync"
)

// lifetime is the context of an attempt. It ends with the caller's, or when it is
// ended itself. It does what a context of package context would do, which needs two
// more registrations and a channel for each attempt.
type lifetime struct {
	context.Context // the caller's, for its values and its deadline

	leave func() bool // ends the watch on the caller's

	mu    sync.Mutex
	why   error         // guarded by mu; how it ended, nil: it goes on
	done  chan struct{} // guarded by mu; nil: nobody has asked for it
	after *registration // guarded by mu; the last one, nil: there is none
}

// registration is a function to be called at the end of a lifetime.
type registration struct {
	of     *lifetime
	call   func()
	before *registration // guarded by of.mu
}

// live begins a lifetime under the caller's context.
func live(caller context.Context) *lifetime {
	l := &lifetime{Context: caller}
	l.leave = context.AfterFunc(caller, func() { l.stop(caller.Err()) })
	return l
}

// end ends the lifetime for a reason, unless it has ended: the attempt is over, or
// has made no progress.
func (l *lifetime) end(why error) {
	l.leave()
	l.stop(why)
}

func (l *lifetime) stop(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.why != nil {
		return
	}
	l.why = why
	if l.done != nil {
		close(l.done)
	}
	for ; l.after != nil; l.after = l.after.before {
		go l.after.call()
	}
}

// Done implements context.Context.
func (l *lifetime) Done() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done == nil {
		l.done = make(chan struct{})
		if l.why != nil {
			close(l.done)
		}
	}
	return l.done
}

// Err implements context.Context.
func (l *lifetime) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.why == errStalled {
		return context.Canceled
	}
	return l.why
}

// stalled tells whether it ended because the attempt made no progress.
func (l *lifetime) stalled() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.why == errStalled
}

// AfterFunc is what context.AfterFunc and the contexts under this one call instead of
// waiting for Done.
func (l *lifetime) AfterFunc(f func()) (stop func() bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.why != nil {
		go f()
		return func() bool { return false }
	}
	l.after = &registration{of: l, call: f, before: l.after}
	return l.after.withdraw
}

// withdraw takes a function back, and tells whether it was still to be called.
func (r *registration) withdraw() bool {
	r.of.mu.Lock()
	defer r.of.mu.Unlock()
	for at := &r.of.after; *at != nil; at = &(*at).before {
		if *at == r {
			*at = r.before
			return true
		}
	}
	return false
}

var _ context.Context = (*lifetime)(nil)
