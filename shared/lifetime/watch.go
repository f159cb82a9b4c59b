package lifetime

import "context"

// Watch is what context.AfterFunc makes, in memory that the caller has. The zero value is
// ready. It belongs to one goroutine, and must not be copied while it waits.
type Watch struct {
	of     *Lifetime
	call   func()
	done   chan struct{} // to be closed instead; nil: call is called
	before *Watch        // that waits, too; guarded by of.top.mu once this one waits

	stop func() bool // of a context that is no Lifetime
}

// Begin has the function called, in a goroutine of its own, once the context has ended. A
// Watch that has been stopped may begin anew.
func (w *Watch) Begin(ctx context.Context, f func()) {
	if l, ok := ctx.(interface{ lifetime() *Lifetime }); ok {
		w.begin(l.lifetime(), f)
		return
	}
	*w = Watch{stop: context.AfterFunc(ctx, f)}
}

func (w *Watch) begin(l *Lifetime, f func()) {
	*w = Watch{of: l, call: f}
	w.wait()
	if l.ended() != nil {
		l.top.tell()
	}
}

// wait puts the watch among those that wait. Whether there is nothing to wait for any more
// is to be looked at after that, as stop looks the other way round: one sees the other.
func (w *Watch) wait() {
	last := &w.of.top.last
	for w.before = last.Load(); !last.CompareAndSwap(w.before, w); {
		w.before = last.Load()
	}
}

// tell tells who waits. It is called under top.mu.
func (w *Watch) tell() {
	if w.done != nil {
		close(w.done)
	} else {
		go w.call()
	}
}

// Stop ends the watch, and tells whether the function was still to be called.
func (w *Watch) Stop() bool {
	if w.stop != nil {
		return w.stop()
	}
	top := w.of.top
	top.mu.Lock()
	defer top.mu.Unlock()
	return top.remove(w)
}
