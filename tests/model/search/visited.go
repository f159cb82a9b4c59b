package search

import (
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"
)

// id names a visited state: its fingerprint, or its number in an exact set.
type id uint64

// set is the states visited, each with the one it was first reached from. It is
// safe for concurrent use.
type set[S comparable] interface {
	// add notes a state and tells whether it is new. An initial state is its own
	// predecessor.
	add(s, from S) bool
	// len is the number of states.
	len() int
	// bytes is the memory in use.
	bytes() int64
	// chain is the way to a state of the set, from an initial state.
	chain(s S) []id
	// same tells whether a state is the one of an id.
	same(s S, of id) bool
}

const (
	stripeBits = 6
	stripes    = 1 << stripeBits
	// smallest is the first size of a stripe's table, a power of two.
	smallest = 1 << 6
)

// compact is a set of fingerprints: hash tables with open addressing, each with a
// lock of its own.
type compact[S comparable] struct {
	seed    maphash.Seed
	count   atomic.Int64
	slots   atomic.Int64
	stripes [stripes]stripe
}

type stripe struct {
	mu    sync.Mutex
	used  int    // Guarded by mu.
	table []slot // Guarded by mu.
	_     [64]byte
}

// slot holds a state's fingerprint, 0 if it is free, and its predecessor's.
type slot struct {
	state, from id
}

func newCompact[S comparable]() *compact[S] {
	c := &compact[S]{seed: maphash.MakeSeed()}
	for i := range c.stripes {
		c.stripes[i].table = make([]slot, smallest)
	}
	c.slots.Store(stripes * smallest)
	return c
}

func (c *compact[S]) fingerprint(s S) id {
	return id(max(maphash.Comparable(c.seed, s), 1))
}

func (c *compact[S]) add(s, from S) bool {
	f := c.fingerprint(s)
	t := &c.stripes[f>>(64-stripeBits)]
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.find(f)
	if t.table[i].state == f {
		return false
	}
	// Fingerprinting the predecessor again, for new states only, is cheaper than
	// carrying its fingerprint along the frontier.
	t.table[i] = slot{f, c.fingerprint(from)}
	t.used++
	c.count.Add(1)
	if t.used > len(t.table)/4*3 {
		c.slots.Add(int64(len(t.table)))
		t.grow()
	}
	return true
}

// find returns the slot that a fingerprint has, or would have. The caller holds
// mu.
func (t *stripe) find(f id) int {
	mask := len(t.table) - 1
	i := int(f) & mask
	for t.table[i].state != f && t.table[i].state != 0 {
		i = (i + 1) & mask
	}
	return i
}

// grow doubles the table. The caller holds mu.
func (t *stripe) grow() {
	old := t.table
	t.table = make([]slot, 2*len(old))
	for _, s := range old {
		if s.state != 0 {
			t.table[t.find(s.state)] = s
		}
	}
}

func (c *compact[S]) len() int {
	return int(c.count.Load())
}

func (c *compact[S]) bytes() int64 {
	return c.slots.Load() * int64(unsafe.Sizeof(slot{}))
}

func (c *compact[S]) chain(s S) []id {
	var way []id
	for f := c.fingerprint(s); ; {
		way = append(way, f)
		t := &c.stripes[f>>(64-stripeBits)]
		t.mu.Lock()
		from := t.table[t.find(f)].from
		t.mu.Unlock()
		if from == f {
			break
		}
		f = from
	}
	slices.Reverse(way)
	return way
}

func (c *compact[S]) same(s S, of id) bool {
	return c.fingerprint(s) == of
}

// exact is a set of whole states, numbered in the order they were added.
type exact[S comparable] struct {
	mu     sync.Mutex
	number map[S]id // Guarded by mu.
	from   []id     // Of each number, the predecessor's. Guarded by mu.
}

func newExact[S comparable]() *exact[S] {
	return &exact[S]{number: make(map[S]id)}
}

func (e *exact[S]) add(s, from S) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, known := e.number[s]; known {
		return false
	}
	e.number[s] = id(len(e.from))
	e.from = append(e.from, e.number[from])
	return true
}

func (e *exact[S]) len() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.from)
}

func (e *exact[S]) bytes() int64 {
	var s S
	// A map is at most about half empty, and doubles at a time.
	return int64(e.len()) * int64(3*unsafe.Sizeof(s)+3*unsafe.Sizeof(id(0)))
}

func (e *exact[S]) chain(s S) []id {
	e.mu.Lock()
	defer e.mu.Unlock()
	var way []id
	for n := e.number[s]; ; n = e.from[n] {
		way = append(way, n)
		if e.from[n] == n {
			break
		}
	}
	slices.Reverse(way)
	return way
}

func (e *exact[S]) same(s S, of id) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	n, known := e.number[s]
	return known && n == of
}

var (
	_ set[int] = (*compact[int])(nil)
	_ set[int] = (*exact[int])(nil)
)
