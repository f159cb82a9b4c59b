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

// Amiss returns what is not as it must be whenever nobody holds a limit's mu: limits that
// are to be watched and are not, and those that do not know how far the rows reach, or
// that somebody waits.
func (e *Engine) Amiss() (amiss []string) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	now := e.clock.Read()
	for l := range e.limits.each {
		l.mu.Lock()
		if !l.supply.watched && l.noteworthy() && !l.over(now) {
			amiss = append(amiss, l.key()+" may have something to give back, and nobody looks")
		}
		kept := l.reach
		if l.sighted(); l.reach != kept {
			amiss = append(amiss, l.key()+" keeps a reach that is not that of the rows")
		}
		if l.waiting() && !l.awaited {
			amiss = append(amiss, l.key()+" has forgotten who waits")
		}
		l.mu.Unlock()
	}
	return amiss
}
