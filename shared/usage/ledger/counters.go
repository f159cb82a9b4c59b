package ledger

import (
	"hash/maphash"

	"spillway/shared/usage"
)

// counterKey tells a counter from all others. Many consumers make few kinds of
// requests, so that a key is small, and soon compared.
type counterKey struct {
	consumer string            // As records have it, no copy: where they are the same text none is read.
	kind     *usage.Dimensions // Those but for the consumer; the same for all that have the same.
}

// dimensions are those of the key's counter.
func (k counterKey) dimensions() usage.Dimensions {
	d := *k.kind
	d.Consumer = k.consumer
	return d
}

// counter is what was used in one hour under the same dimensions, by where it is: the
// i-th of a page. The page is nil where there is none.
type counter struct {
	page *page
	i    int
}

// counters finds those of an hour by their keys. A hundred thousand consumers that take
// turns are in no cache, where each line of memory that is read takes as long as all of
// the counting: a map reads three or four lines to find one, and slots one. Its owner
// guards it.
type counters struct {
	seed  maphash.Seed
	slots []slot  // As many as a power of two; a counter is in the first free one from its hash on.
	used  int     // Of the slots: the number of counters.
	pages []*page // That have been opened in this hour; nil: its counters were taken out.
}

// slot is where a counter is; of one that is free at is 0.
type slot struct {
	hash uint32
	at   uint32 // The number of the page, and behind it the place on the page.
}

const (
	placeBits   = 9 // That tell the places of a page.
	fewestSlots = 16
)

// A page has a place for each of its counters.
const _ = uint(1<<placeBits - maxPage/shortestLine)

func (s slot) counter(pages []*page) counter {
	return counter{pages[s.at>>placeBits-1], int(s.at & (1<<placeBits - 1))}
}

func newCounters() counters {
	return counters{seed: maphash.MakeSeed(), slots: make([]slot, fewestSlots)}
}

// clear begins another hour.
func (c *counters) clear() {
	clear(c.slots)
	clear(c.pages)
	c.used, c.pages = 0, c.pages[:0]
}

// open takes note of a page that counters will be put on.
func (c *counters) open(p *page) {
	c.pages = append(c.pages, p)
	p.number = len(c.pages)
}

func (c *counters) hash(k counterKey) uint32 { return uint32(maphash.Comparable(c.seed, k)) }

// find returns the counter of a key, if there is one.
func (c *counters) find(k counterKey) counter {
	hash, mask := c.hash(k), len(c.slots)-1
	for i := int(hash) & mask; c.slots[i].at != 0; i = (i + 1) & mask {
		if c.slots[i].hash != hash {
			continue
		}
		if found := c.slots[i].counter(c.pages); found.page.keys[found.i] == k {
			return found
		}
	}
	return counter{}
}

// add puts a new counter on a page that has been opened.
func (c *counters) add(k counterKey, p *page) counter {
	made := counter{p, len(p.keys)}
	p.keys, p.now = append(p.keys, k), append(p.now, usage.Counts{})
	if c.used++; c.used > len(c.slots)/4*3 {
		c.remake(2 * len(c.slots))
	}
	c.put(slot{c.hash(k), uint32(p.number)<<placeBits | uint32(made.i)})
	return made
}

func (c *counters) put(s slot) {
	mask := len(c.slots) - 1
	i := int(s.hash) & mask
	for c.slots[i].at != 0 {
		i = (i + 1) & mask
	}
	c.slots[i] = s
}

// remove takes out the counters of a page. One of an earlier hour has none here.
func (c *counters) remove(p *page) {
	if p.number > len(c.pages) || c.pages[p.number-1] != p {
		return
	}
	c.pages[p.number-1] = nil
	c.used -= len(p.keys)
	c.remake(len(c.slots))
}

// remake makes so many slots, for the counters of the pages that are there.
func (c *counters) remake(slots int) {
	before := c.slots
	c.slots = make([]slot, slots)
	for _, s := range before {
		if s.at != 0 && s.counter(c.pages).page != nil {
			c.put(s)
		}
	}
}
