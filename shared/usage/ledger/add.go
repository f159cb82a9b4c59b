package ledger

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"spillway/shared/usage"
)

// other stands for what is not told apart any more.
const other = "(other)"

// maxNameLength is the length of the longest name in a counter, in bytes.
const maxNameLength = 128

// Add counts a finished request, and what backends have read of it for attempts that
// failed: tokens of no request, without a cost. One of no consumer leaves no trace.
func (l *Ledger) Add(r *usage.Record) {
	if r.Consumer == "" {
		return
	}
	end := r.Start.Add(r.Duration)
	l.mu.Lock()
	defer l.mu.Unlock()
	if end.Unix() >= l.hourEnd {
		l.roll(hourOf(end))
	}
	l.add(usage.DimensionsOf(r), usage.CountsOf(r))
	for i := range r.Attempts {
		if a := &r.Attempts[i]; a.Prompt > 0 {
			l.add(usage.DimensionsOfAttempt(r, a), usage.Counts{Prompt: a.Prompt})
		}
	}
}

// add needs mu.
func (l *Ledger) add(d usage.Dimensions, n usage.Counts) {
	c := l.find(d)
	if c.page == nil {
		c = l.counter(d)
	}
	c.page.now[c.i].Add(n)
	l.touch(c.page)
}

// find returns the counter of dimensions, if there is one. The caller holds mu.
func (l *Ledger) find(d usage.Dimensions) counter {
	consumer := d.Consumer
	d.Consumer = ""
	kind := l.latest[d.Backend] // Most are of the same kind as the one before.
	if kind == nil || *kind != d {
		if kind = l.kinds[d]; kind == nil {
			return counter{}
		}
		l.latest[kind.Backend] = kind
	}
	return l.counters.find(counterKey{consumer, kind})
}

// touch notes that a page has something to write. The caller holds mu.
func (l *Ledger) touch(p *page) {
	if p.dirty {
		return
	}
	p.dirty = true
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// counter returns the counter of dimensions that are new as they are written. Beyond
// MaxCounters each request comes here. The caller holds mu.
func (l *Ledger) counter(written usage.Dimensions) counter {
	d := l.boundTags(cleanDimensions(written))
	if d != written {
		if c := l.find(d); c.page != nil {
			return c
		}
	}
	if l.counters.used >= l.o.MaxCounters {
		d = l.bound(d)
		if c := l.find(d); c.page != nil {
			return c
		}
	}
	key := counterKey{d.Consumer, l.kind(d)}
	l.noteTags(key.consumer, key.kind.Tags)
	return l.counters.add(key, l.pageFor(d))
}

// kind is the dimensions but for the consumer, once for all counters. The caller holds
// mu, and makes a counter of them.
func (l *Ledger) kind(d usage.Dimensions) *usage.Dimensions {
	d.Consumer = ""
	if l.kinds[d] == nil {
		d.Model, d.Tags = strings.Clone(d.Model), strings.Clone(d.Tags) // No pieces of a request.
		d = l.unify(d)
		l.kinds[d] = &d
	}
	return l.kinds[d]
}

// unify puts the same texts in place of names that other kinds have as well: tags are
// many, models few. Who served is named by the texts of the first record: where the next
// one has the same, they are not read. The caller holds mu.
func (l *Ledger) unify(d usage.Dimensions) usage.Dimensions {
	for _, name := range []*string{&d.Model, &d.Deployment, &d.Backend, &d.Region, &d.Status} {
		if known, ok := l.names[*name]; ok {
			*name = known
		} else {
			l.names[*name] = *name
		}
	}
	return d
}

// boundTags keeps the number of a consumer's tags bounded. The caller holds mu.
func (l *Ledger) boundTags(d usage.Dimensions) usage.Dimensions {
	if d.Tags == "" {
		return d
	}
	if known := l.tags[d.Consumer]; len(known) >= maxTags && !known[d.Tags] {
		d.Tags = other
	}
	return d
}

// noteTags notes that there is a counter of a consumer's tags. The caller holds mu.
func (l *Ledger) noteTags(consumer, tags string) {
	known := l.tags[consumer]
	if tags == "" || tags == other || known[tags] {
		return
	}
	if known == nil {
		known = make(map[string]bool)
		l.tags[consumer] = known
	}
	if known[tags] = true; len(known) == maxTags {
		l.o.Events(Event{Kind: EventTagsBounded, Consumer: consumer})
	}
}

// bound is what dimensions without a counter are counted under where there are too many.
// The caller holds mu.
func (l *Ledger) bound(d usage.Dimensions) usage.Dimensions {
	if !l.bounded {
		l.bounded = true
		l.o.Events(Event{Kind: EventBounded})
	}
	d.Model, d.Deployment, d.Backend, d.Region, d.Tags = other, other, "", "", ""
	if l.counters.used >= 2*l.o.MaxCounters && l.find(d).page == nil {
		d.Consumer = other
	}
	return d
}

// pageFor returns a page with room for one more counter. The caller holds mu.
func (l *Ledger) pageFor(d usage.Dimensions) *page {
	size := longestLine(d)
	if l.open == nil || l.open.size+size > maxPage {
		l.open = l.newPage()
		l.pages = append(l.pages, l.open)
		l.counters.open(l.open)
	}
	l.open.size += size
	return l.open
}

// roll begins to count for another hour. Pages that were never sent come along, so
// that an outage of many hours leaves one hour's counters; so do their requests, to
// the hour in which they are first written. The caller holds mu, or is New.
func (l *Ledger) roll(hour time.Time) {
	l.hour, l.hourEnd = hour, hour.Add(time.Hour).Unix()
	l.open, l.bounded = nil, false
	l.counters.clear()
	clear(l.kinds)
	clear(l.latest)
	clear(l.tags)
	clear(l.names)
	var unsent []*page
	kept := l.pages[:0]
	for _, p := range l.pages {
		if p.attempted {
			kept = append(kept, p)
		} else {
			p.gone, l.moved = true, true
			unsent = append(unsent, p)
		}
	}
	clear(l.pages[len(kept):])
	l.pages = kept
	for _, p := range unsent {
		for i, key := range p.keys {
			l.carry(key.dimensions(), p.now[i])
		}
	}
}

// carry adds counts to the hour that is counted for. The caller holds mu.
func (l *Ledger) carry(d usage.Dimensions, n usage.Counts) {
	if n == (usage.Counts{}) {
		return
	}
	l.add(d, n)
}

// cleanDimensions makes names fit for a row: each is of bounded length, and holds
// nothing that would end its field.
func cleanDimensions(d usage.Dimensions) usage.Dimensions {
	for _, name := range []*string{&d.Consumer, &d.Model, &d.Deployment, &d.Backend, &d.Region, &d.Status} {
		*name = clean(*name, maxNameLength)
	}
	d.Tags = clean(d.Tags, usage.MaxTagsLength)
	return d
}

// clean is a name of at most so many bytes, without control characters.
func clean(name string, most int) string {
	if plain(name) && len(name) <= most {
		return name
	}
	name = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return '?'
		}
		return r
	}, name)
	for len(name) > most {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	return name
}

// plain tells whether a name is of printable ASCII alone, as nearly all are.
func plain(name string) bool {
	for i := range len(name) {
		if c := name[i]; c < ' ' || c > '~' {
			return false
		}
	}
	return true
}
