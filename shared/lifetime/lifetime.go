// Package lifetime makes contexts for a request and for what is done for it, and ends them
// when their time is up. Several of them stand under one another for each request, and
// nearly all end without anybody having waited for their end. So they do what a context of
// package context does, without the map and the channel that each of those needs for one
// that stands under it.
package lifetime

import (
	"context"
	"sync"
)

// Lifetime is a context that ends with its parent, or when it is ended itself. It has its
// parent's deadline and values. It is usually embedded in a type that has more to tell;
// Begin comes before any other use, and it must not be copied. It is safe for concurrent
// use.
type Lifetime struct {
	context.Context             // the parent
	leave           func() bool // ends the watch on a parent that is no Lifetime; nil: there is none

	above *Lifetime // the parent, if it is one
	// The Lifetimes that stand under above beside this one.
	before, next *Lifetime // guarded by above.mu

	mu    sync.Mutex
	err   error         // guarded by mu; nil: it goes on
	cause error         // guarded by mu
	done  chan struct{} // guarded by mu; nil: nobody has asked for it
	under *Lifetime     // guarded by mu; the first one, nil: there is none
	after *Watch        // guarded by mu; the last one, nil: there is none
}

// lifetime makes a Lifetime known that is embedded in another type.
func (l *Lifetime) lifetime() *Lifetime { return l }

// Begin begins the lifetime under its parent. End must follow, else the parent keeps it.
func (l *Lifetime) Begin(parent context.Context) {
	l.Context = parent
	if p, ok := parent.(interface{ lifetime() *Lifetime }); ok {
		p.lifetime().adopt(l)
		return
	}
	if err := parent.Err(); err != nil {
		l.stop(err, context.Cause(parent))
		return
	}
	if parent.Done() == nil { // it never ends
		return
	}
	l.leave = context.AfterFunc(parent, func() { l.stop(parent.Err(), context.Cause(parent)) })
}

// adopt takes another one under this one.
func (l *Lifetime) adopt(child *Lifetime) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		child.stop(l.err, l.cause)
		return
	}
	child.above, child.next = l, l.under
	if l.under != nil {
		l.under.before = child
	}
	l.under = child
}

// End ends the lifetime, unless it has ended, and all that stands under it. What Err
// returns from then on is err, context.Canceled or context.DeadlineExceeded, and what
// Cause returns is cause.
func (l *Lifetime) End(err, cause error) {
	l.depart()
	l.stop(err, cause)
}

// depart leaves the parent.
func (l *Lifetime) depart() {
	if l.leave != nil {
		l.leave()
	}
	p := l.above
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case l.before != nil:
		l.before.next = l.next
	case p.under == l:
		p.under = l.next
	}
	if l.next != nil {
		l.next.before = l.before
	}
	l.before, l.next = nil, nil
}

// stop requires no lock but those of the Lifetimes above.
func (l *Lifetime) stop(err, cause error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return
	}
	l.err, l.cause = err, cause
	if l.done != nil {
		close(l.done)
	}
	for child := l.under; child != nil; child = child.next {
		child.stop(err, cause)
	}
	for ; l.after != nil; l.after = l.after.before {
		go l.after.call()
	}
}

// Done implements context.Context.
func (l *Lifetime) Done() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done == nil {
		l.done = make(chan struct{})
		if l.err != nil {
			close(l.done)
		}
	}
	return l.done
}

// Err implements context.Context.
func (l *Lifetime) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Cause tells why the lifetime has ended, as it or the one above it was told, or nil if it
// has not. context.Cause does not know.
func (l *Lifetime) Cause() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cause
}

// AfterFunc is what context.AfterFunc and the contexts of package context under this one
// call instead of waiting for Done.
func (l *Lifetime) AfterFunc(f func()) (stop func() bool) {
	w := new(Watch)
	w.begin(l, f)
	return w.Stop
}

var _ context.Context = (*Lifetime)(nil)
