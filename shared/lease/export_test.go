package lease

// Watched returns the keys of the limits that the engine looks at for something to give
// back.
func (e *Engine) Watched() []string {
	e.watch.mu.Lock()
	defer e.watch.mu.Unlock()
	var keys []string
	for _, l := range e.watch.limits {
		keys = append(keys, l.key())
	}
	return keys
}

// Overlooked returns the keys of the limits that the engine ought to watch and does not.
func (e *Engine) Overlooked() []string {
	e.mu.RLock()
	defer e.mu.RUnlock()
	var keys []string
	now := e.clock.Read()
	for l := range e.limits.each {
		l.mu.Lock()
		if !l.watched && l.noteworthy() && !l.over(now) {
			keys = append(keys, l.key())
		}
		l.mu.Unlock()
	}
	return keys
}
