package memory

import (
	"bytes"
	"hash/maphash"
	"slices"
	"strings"
)

// partitions are all partitions of a store by their names, and these by how they begin:
// where many consumers have limits there are hundreds of thousands, which a query of
// others need not look through.
type partitions struct {
	seed  maphash.Seed // Of the hashes of names.
	alike map[beginning]*alike
}

// beginning is the first bytes of a name, as many as there are. So many tell the limits
// of consumers from those of deployments.
type beginning [8]byte

func beginningOf(name string) (b beginning) {
	copy(b[:], name)
	return b
}

func newPartitions() partitions {
	return partitions{seed: maphash.MakeSeed(), alike: make(map[beginning]*alike)}
}

// found is a partition, which stays where it is until it is removed; nil: there is none.
type found struct {
	*partition
	place uint32 // Beside those whose names begin alike, from 1 on.
}

// find returns a partition. It looks first where it was last, if that is not 0.
func (s partitions) find(name string, last uint32) found {
	a := s.alike[beginningOf(name)]
	if a == nil {
		return found{}
	}
	if last > 0 && last <= a.used {
		if n := a.at(last - 1); n.has() && n.name == name {
			return found{&n.partition, last}
		}
	}
	place, ok := a.find(maphash.String(s.seed, name), name)
	if !ok {
		return found{}
	}
	return found{&a.at(place).partition, place + 1}
}

// add adds a partition that there is not, and returns its place.
func (s partitions) add(name string, p partition) (place uint32) {
	b := beginningOf(name)
	if s.alike[b] == nil {
		s.alike[b] = newAlike()
	}
	return s.alike[b].add(maphash.String(s.seed, name), named{name, p}) + 1
}

func (s partitions) remove(name string) {
	b := beginningOf(name)
	a := s.alike[b]
	if a == nil {
		return
	}
	if a.remove(maphash.String(s.seed, name), name); a.number() == 0 {
		delete(s.alike, b)
	}
}

// of returns those partitions among which are all whose names start with a prefix, by how
// they begin.
func (s partitions) of(prefix string) []*alike {
	begins := prefix[:min(len(prefix), len(beginning{}))]
	var found []beginning
	for b := range s.alike {
		if strings.HasPrefix(string(b[:]), begins) {
			found = append(found, b)
		}
	}
	slices.SortFunc(found, func(a, b beginning) int { return bytes.Compare(a[:], b[:]) })
	var kinds []*alike
	for _, b := range found {
		kinds = append(kinds, s.alike[b])
	}
	return kinds
}

// alike is partitions whose names begin alike. Each has a place, which is found by the
// hash of its name in a map that the garbage collector need not look into.
type alike struct {
	blocks []*[block]named
	used   uint32            // Places that were given away, ever.
	free   []uint32          // Those of them that are free again.
	places map[uint64]uint32 // By the hash of the name.
	others map[string]uint32 // Those of names whose hash is that of another one.
}

// block is how many partitions lie side by side. They are never moved.
const block = 1024

func newAlike() *alike {
	return &alike{places: make(map[uint64]uint32), others: make(map[string]uint32)}
}

type named struct {
	name string
	partition
}

// has tells whether the place is taken.
func (n *named) has() bool { return n.row.version != 0 || n.others != nil }

func (a *alike) at(place uint32) *named { return &a.blocks[place/block][place%block] }

// number is how many partitions there are.
func (a *alike) number() int { return int(a.used) - len(a.free) }

func (a *alike) find(hash uint64, name string) (place uint32, ok bool) {
	if place, ok = a.places[hash]; ok && a.at(place).name == name {
		return place, true
	}
	place, ok = a.others[name]
	return place, ok
}

// each calls visit for the partitions of a block that begins at a place, and tells whether
// there is another one behind it.
func (a *alike) each(first uint32, visit func(name string, p *partition)) (more bool) {
	end := min(first+block, a.used)
	for place := first; place < end; place++ {
		if n := a.at(place); n.has() {
			visit(n.name, &n.partition)
		}
	}
	return end < a.used
}

// add adds a partition that there is not, and returns its place.
func (a *alike) add(hash uint64, n named) (place uint32) {
	place = a.used
	if last := len(a.free) - 1; last >= 0 {
		place, a.free = a.free[last], a.free[:last]
	} else {
		a.used++
	}
	if int(place/block) == len(a.blocks) {
		a.blocks = append(a.blocks, new([block]named))
	}
	*a.at(place) = n
	if _, taken := a.places[hash]; taken {
		a.others[n.name] = place
	} else {
		a.places[hash] = place
	}
	return place
}

// remove removes a partition if there is one.
func (a *alike) remove(hash uint64, name string) {
	place, ok := a.find(hash, name)
	if !ok {
		return
	}
	if first, ok := a.places[hash]; ok && first == place {
		delete(a.places, hash)
	} else {
		delete(a.others, name)
	}
	*a.at(place) = named{}
	a.free = append(a.free, place)
}
