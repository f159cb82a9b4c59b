package lease

import (
	"hash/maphash"

	"spillway/shared/quota"
)

// limits is the limits of an engine. There may be hundreds of thousands, which the
// garbage collector looks through again and again: it finds them in the order in which
// they were made, as they lie in memory, and in a map without pointers nothing at all.
// The zero value is not one: see newLimits. It is not safe for concurrent use.
type limits struct {
	all   []*Limit            // nil: was removed, and its place is free.
	free  []uint32            // Places in all.
	seed  maphash.Seed        // Of the hashes.
	place map[uint64]uint32   // By the hash of the id.
	rest  map[limitKey]*Limit // Those whose hash is that of another one.
	texts texts               // Their partitions.
}

// limitKey tells a limit from all others of an engine.
type limitKey struct {
	key    string
	period quota.Period
}

func newLimits() limits {
	return limits{seed: maphash.MakeSeed(), place: make(map[uint64]uint32), rest: make(map[limitKey]*Limit)}
}

// get returns a limit; nil: there is none.
func (s *limits) get(id limitKey) *Limit {
	if i, ok := s.place[s.hash(id)]; ok && s.all[i].id() == id {
		return s.all[i]
	}
	return s.rest[id]
}

// add adds a limit that there is not, and that nobody else has yet.
func (s *limits) add(l *Limit) {
	l.partition = s.texts.keep(l.partition)
	hash := s.hash(l.id())
	if _, taken := s.place[hash]; taken {
		s.rest[l.id()] = l
		return
	}
	if n := len(s.free); n > 0 {
		s.place[hash] = s.free[n-1]
		s.free = s.free[:n-1]
		s.all[s.place[hash]] = l
		return
	}
	s.place[hash] = uint32(len(s.all))
	s.all = append(s.all, l)
}

// remove removes a limit that there is.
func (s *limits) remove(l *Limit) {
	hash := s.hash(l.id())
	i := s.place[hash]
	if s.all[i] != l {
		delete(s.rest, l.id())
		return
	}
	delete(s.place, hash)
	s.all[i] = nil
	s.free = append(s.free, i)
}

// each yields all limits, in no order.
func (s *limits) each(yield func(*Limit) bool) {
	for _, l := range s.all {
		if l != nil && !yield(l) {
			return
		}
	}
	for _, l := range s.rest {
		if !yield(l) {
			return
		}
	}
}

func (s *limits) hash(id limitKey) uint64 {
	return maphash.String(s.seed, id.key) + uint64(id.period)
}
