//go:build !linux

package affinity

func usable() (Set, error) { return nil, nil }

// On calls f.
func (s Set) On(f func() error) error { return f() }
