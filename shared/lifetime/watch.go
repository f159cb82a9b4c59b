package lifetime

import "context"

// Watch is what context.AfterFunc makes, in memory that the caller has. The zero value is
// ready. It belongs to one goroutine, and must not be copied while it waits.
type Watch struct {
	of     *Lifetime
	call   func()
	before *Watch // guarded by of.mu

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
	l.mu.Lock()
	defer l.mu.Unlock()
	*w = Watch{of: l, call: f, before: l.after}
	if l.err != nil {
		go f()
		return
	}
	l.after = w
}

// Stop ends the watch, and tells whether the function was still to be called.
func (w *Watch) Stop() bool {
	if w.stop != nil {
		return w.stop()
	}
	w.of.mu.Lock()
	defer w.of.mu.Unlock()
	for at := &w.of.after; *at != nil; at = &(*at).before {
		if *at == w {
			*at = w.before
			return true
		}
	}
	return false
}
