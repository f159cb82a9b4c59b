package memory

import (
	"fmt"
	"strconv"

	"spillway/shared/store"
)

// partition is the rows of one partition, at least one. Most partitions have no more
// (those of limits), of which there are many: so one row is kept without a map. A
// partition is a value; a change returns the changed one. One that there is not (nil) has
// no rows.
type partition struct {
	name   string // The name of the row that is kept here.
	row    entry
	others map[string]entry // nil: none.
}

// entry is a row as it is kept.
type entry struct {
	version uint64 // Its ETag, as a number; 0: no row.
	record  store.Record
}

func (e entry) etag() string { return strconv.FormatUint(e.version, 10) }

// has tells whether an ETag is the row's.
func (e entry) has(etag string) bool {
	var buffer [20]byte
	return etag == string(strconv.AppendUint(buffer[:0], e.version, 10))
}

func (p *partition) get(name string) (entry, bool) {
	if p == nil {
		return entry{}, false
	}
	if p.name == name && p.row.version != 0 {
		return p.row, true
	}
	e, ok := p.others[name]
	return e, ok
}

// match tells whether a row still has an ETag.
func (p *partition) match(name, etag string) error {
	if !store.ValidETag(etag) {
		return fmt.Errorf("%w: no etag", store.ErrInvalid)
	}
	e, exists := p.get(name)
	switch {
	case !exists:
		return store.ErrNotFound
	case !e.has(etag):
		return store.ErrConflict
	}
	return nil
}

// with is the partition after a write of a row.
func (p partition) with(name string, e entry) partition {
	if _, other := p.others[name]; !other && (p.name == name || p.row.version == 0) {
		p.name, p.row = name, e
		return p
	}
	if p.others == nil {
		p.others = make(map[string]entry)
	}
	p.others[name] = e
	return p
}

// without is the partition after a row was deleted, and whether it has rows.
func (p partition) without(name string) (partition, bool) {
	if p.name == name {
		p.name, p.row = "", entry{}
	}
	delete(p.others, name)
	return p, p.row.version != 0 || len(p.others) > 0
}

// all yields the rows and their names, in no order.
func (p *partition) all(yield func(string, entry) bool) {
	if p == nil {
		return
	}
	if p.row.version != 0 && !yield(p.name, p.row) {
		return
	}
	for name, e := range p.others {
		if !yield(name, e) {
			return
		}
	}
}
