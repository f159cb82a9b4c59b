package objects

import (
	"container/list"
	"time"

	"spillway/shared/clock"
)

// known is an object as it was last read or written.
type known struct {
	record *record        // Never changed.
	stale  clock.Deadline // When to read it again.
}

// answer is what Get says of a record.
func (rec *record) answer(now time.Time) (Object, bool) {
	if rec.deleted || !now.Before(rec.Expires) {
		return Object{}, false
	}
	return rec.Object, true
}

// join is what two readings of an object say together. Whatever has happened to it
// has happened for good, so their order does not matter.
func (rec *record) join(other *record) *record {
	if rec.Pending == other.Pending && rec.deleted == other.deleted {
		return rec
	}
	joined := *rec
	joined.Pending = rec.Pending && other.Pending
	joined.deleted = rec.deleted || other.deleted
	return &joined
}

// lru keeps a bounded number of values, those that were used last. It needs a lock.
type lru[V any] struct {
	limit   int
	entries map[key]*list.Element // Of *item[V].
	order   *list.List            // The last used first.
}

type item[V any] struct {
	key   key
	value V
}

func newLRU[V any](limit int) lru[V] {
	return lru[V]{limit: limit, entries: make(map[key]*list.Element), order: list.New()}
}

// get returns a value, and notes that it is in use.
func (c *lru[V]) get(k key) (value V, ok bool) {
	element, ok := c.entries[k]
	if !ok {
		return value, false
	}
	c.order.MoveToFront(element)
	return element.Value.(*item[V]).value, true
}

// put keeps a value. The one used least recently makes room.
func (c *lru[V]) put(k key, value V) {
	c.remove(k)
	if len(c.entries) >= c.limit {
		c.remove(c.order.Back().Value.(*item[V]).key)
	}
	c.entries[k] = c.order.PushFront(&item[V]{k, value})
}

// remove forgets a value, if there is one.
func (c *lru[V]) remove(k key) {
	if element, ok := c.entries[k]; ok {
		c.order.Remove(element)
		delete(c.entries, k)
	}
}
