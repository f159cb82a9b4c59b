package memory

import "strings"

// partitions are all partitions of a store by their names, and these by how they begin:
// where many consumers have limits there are hundreds of thousands, which a query of
// others need not look through.
type partitions map[beginning]map[string]partition

// beginning is the first bytes of a name, as many as there are.
type beginning [4]byte

func beginningOf(name string) (b beginning) {
	copy(b[:], name)
	return b
}

// get returns a partition; one that there is not has no rows.
func (s partitions) get(name string) partition {
	return s[beginningOf(name)][name]
}

func (s partitions) set(name string, p partition) {
	b := beginningOf(name)
	if s[b] == nil {
		s[b] = make(map[string]partition)
	}
	s[b][name] = p
}

func (s partitions) remove(name string) {
	b := beginningOf(name)
	delete(s[b], name)
	if len(s[b]) == 0 {
		delete(s, b)
	}
}

// each calls visit for all partitions whose names start with a prefix, in no order.
func (s partitions) each(prefix string, visit func(name string, p partition)) {
	begins := prefix[:min(len(prefix), len(beginning{}))]
	for b, alike := range s {
		if !strings.HasPrefix(string(b[:]), begins) {
			continue
		}
		for name, p := range alike {
			if strings.HasPrefix(name, prefix) {
				visit(name, p)
			}
		}
	}
}
