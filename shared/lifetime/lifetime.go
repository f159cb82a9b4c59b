// Package lifetime makes contexts for a request and for what is done for it, and ends them
// when their time is up. Several of them stand under one another for each request, and
// nearly all end without anybody having waited for their end. So they do what a context of
// package context does, without the map and the channel that each of those needs for one
// that stands under it.
package lifetime

import (
	"context"
	"sync"
	"sync/atomic"
)

// Lifetime is a context that ends with its parent, or when it is ended itself. It has its
// parent's deadline and values. It is usually embedded in a type that has more to tell;
// Begin comes before any other use, and once only; it must not be copied. It is safe for
// concurrent use.
//
// A parent does not know what stands under it. A Lifetime that is asked looks at those above
// it, and whoever waits for its end is known to the topmost one. So to begin, to ask and to
// end one that nobody waits for takes no lock.
type Lifetime struct {
	context.Context             // the parent
	leave           func() bool // ends the watch on a parent that is no Lifetime; nil: there is none

	above *Lifetime              // the parent, if it is one
	top   *Lifetime              // that of which the parent is no Lifetime, perhaps this one
	how   atomic.Pointer[ending] // nil: it has not been ended, nor seen that one above has

	last atomic.Pointer[Watch] // of a topmost one: the last of all that wait under it
	mu   sync.Mutex            // of a topmost one: held by who takes one of these out
	done chan struct{}         // guarded by top.mu; nil: nobody has asked for it
}

// ending is how a Lifetime has ended.
type ending struct{ err, cause error }

// canceled is how nearly all end.
var canceled = &ending{err: context.Canceled}

// lifetime makes a Lifetime known that is embedded in another type.
func (l *Lifetime) lifetime() *Lifetime { return l }

// Begin begins the lifetime under its parent. End must follow, else the topmost one keeps
// who waits for it.
func (l *Lifetime) Begin(parent context.Context) {
	l.Context = parent
	if p, ok := parent.(interface{ lifetime() *Lifetime }); ok {
		l.above = p.lifetime()
		l.top = l.above.top
		return
	}
	l.top = l
	if parent.Done() == nil { // it never ends
		return
	}
	follow := func() { l.stop(&ending{parent.Err(), context.Cause(parent)}) }
	if parent.Err() != nil {
		follow()
		return
	}
	l.leave = context.AfterFunc(parent, follow)
}

// End ends the lifetime, unless it has ended, and all that stands under it. What Err
// returns from then on is err, context.Canceled or context.DeadlineExceeded, and what
// Cause returns is cause.
func (l *Lifetime) End(err, cause error) {
	if l.leave != nil {
		l.leave()
	}
	how := canceled
	if err != context.Canceled || cause != nil {
		how = &ending{err, cause}
	}
	l.stop(how)
}

// stop ends the lifetime, and tells those who wait for that.
func (l *Lifetime) stop(how *ending) {
	if l.ended() == nil && l.how.CompareAndSwap(nil, how) && l.top.last.Load() != nil {
		l.top.tell()
	}
}

// ended is how the lifetime has ended, or nil if it goes on. Once it has been seen to have
// ended with the one above, that is how it has ended, whatever comes after.
func (l *Lifetime) ended() *ending {
	if how := l.how.Load(); how != nil || l.above == nil {
		return how
	}
	how := l.above.ended()
	if how == nil || l.how.CompareAndSwap(nil, how) {
		return how
	}
	return l.how.Load()
}

// tell tells all under the topmost one that wait for something that has ended. Once it has
// returned, they have been told, be it by others.
func (l *Lifetime) tell() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for w := l.last.Load(); w != nil; {
		before := w.before
		if w.of.ended() != nil && l.remove(w) {
			w.tell()
		}
		w = before
	}
}

// remove takes one out of those that wait under the topmost one, and tells whether it was
// among them. It is called under mu.
func (l *Lifetime) remove(w *Watch) bool {
	if l.last.CompareAndSwap(w, w.before) {
		return true
	}
	for at := l.last.Load(); at != nil; at = at.before {
		if at.before == w {
			at.before = w.before
			return true
		}
	}
	return false
}

// Done implements context.Context.
func (l *Lifetime) Done() <-chan struct{} {
	l.top.mu.Lock()
	if l.done == nil {
		l.done = make(chan struct{})
		(&Watch{of: l, done: l.done}).wait()
	}
	done := l.done
	l.top.mu.Unlock()
	if l.ended() != nil {
		l.top.tell()
	}
	return done
}

// Err implements context.Context.
func (l *Lifetime) Err() error {
	how := l.ended()
	if how == nil {
		return nil
	}
	l.top.tell() // Done is closed before Err says so
	return how.err
}

// Cause tells why the lifetime has ended, as it or the one above it was told, or nil if it
// has not. context.Cause does not know.
func (l *Lifetime) Cause() error {
	if how := l.ended(); how != nil {
		return how.cause
	}
	return nil
}

// AfterFunc is what context.AfterFunc and the contexts of package context under this one
// call instead of waiting for Done.
func (l *Lifetime) AfterFunc(f func()) (stop func() bool) {
	w := new(Watch)
	w.begin(l, f)
	return w.Stop
}

var _ context.Context = (*Lifetime)(nil)
