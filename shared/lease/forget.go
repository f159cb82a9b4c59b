package lease

// Forget is for limits that are gone, as of a consumer that was removed: the engine
// drops each as soon as it holds nothing. What they hold goes back with the next
// GiveBack or GiveBackIdle, or ends with its window. A limit that Limit or LimitSince
// is asked for again before it was dropped stays. It does no I/O, and whoever still
// has a limit may go on to use it; a limit of another engine is none of its business.
func (e *Engine) Forget(limits ...*Limit) {
	e.mu.Lock()
	for _, l := range limits {
		l.mu.Lock()
		l.forgotten = true
		l.mu.Unlock()
		if e.limits.get(l.id()) == l {
			e.forgotten[l.id()] = l
		}
	}
	e.mu.Unlock()
	e.drop()
}

// drop drops the forgotten limits that hold nothing.
func (e *Engine) drop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for id, l := range e.forgotten {
		forgotten, dispensable := l.dispensable()
		if dispensable {
			e.limits.remove(l)
		}
		if dispensable || !forgotten {
			delete(e.forgotten, id)
		}
	}
}

// dispensable tells whether the limit is still forgotten and, if so, whether it has
// nothing to give back, to pay or to wait for. It takes mu.
func (l *Limit) dispensable() (forgotten, dispensable bool) {
	now := l.engine.clock.Read()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.forgotten {
		return false, false
	}
	if l.ends.PassedAt(now) {
		l.roll(now)
	}
	s := &l.supply
	return true, !s.begun || l.remaining == 0 && l.taken().units == 0 && !s.flying
}
