package ledger

import (
	"strconv"
	"strings"
	"time"

	"spillway/shared/store"
	"spillway/shared/usage"
)

// The rows:
//
//	usage!hour!2026080114  instance-boot!7   a page of an instance's counters
//	usage!day!20260801     team-search!0     a consumer's day, a column per hour
//	usage!fold             day!20260801      the generations that count, per hour
//	usage!fold             state             how far folding has come
const (
	hourPrefix = "usage!hour!"
	dayPrefix  = "usage!day!"
)

// The columns of a page. Each row has Format, too.
const (
	columnFormat   = "Format"
	columnBy       = "By"       // The instance that wrote it.
	columnCounters = "Counters" // See appendLine.
	columnSealed   = "Sealed"   // The generation of the fold that sealed it, or sealedByOwner; absent while it is open.

	// format is the version of the rows' layout and meaning.
	format = int64(1)
	// sealedByOwner is the seal of a page that its owner has taken back.
	sealedByOwner = int64(-1)
)

const (
	hourLayout = "2006010215"
	dayLayout  = "20060102"
)

// maxPage is the longest text of a page, in bytes. A store takes strings of 32 K
// UTF-16 code units, of which a text has at most as many as bytes.
const maxPage = 32_000

// page is one row of this instance's counters.
type page struct {
	// By counter, in the same order. What was used is a line of memory each, apart from
	// the keys: it has no pointers that the garbage collector would look for.
	keys []counterKey   // Only ever appended to. Guarded by Ledger.mu.
	now  []usage.Counts // Guarded by Ledger.mu.

	dirty     bool // There is more than was sent. Guarded by Ledger.mu.
	attempted bool // The row may exist. Guarded by Ledger.mu.
	gone      bool // Its counters are elsewhere. Guarded by Ledger.mu.
	behind    bool // More than a write is to be done, as the last flush left it. Guarded by Ledger.mu.
	pending   bool // Of that, what a fold has to do first. Guarded by Ledger.mu.
	size      int  // At most so many bytes of text. Guarded by Ledger.mu.
	number    int  // Among the pages of its hour, from 1 on.
	key       store.Key
	hour      time.Time

	// For the flush that runs:
	etag   string         // Of the row; empty if there is none as far as is known.
	kept   []usage.Counts // What the row holds of the first counters, as far as is known; nothing of the others.
	proven bool           // Whoever folds the hour will find the row.
	unsure bool           // What the row holds is to be read before anything else.
	doubt  []usage.Counts // What a write of unknown outcome has sent, by counter; else nil.
	sealed int64          // The generation that sealed the row before it was proven; else 0.
}

// newPage is the page behind the open one, and will hold about as many counters. The
// caller holds mu.
func (l *Ledger) newPage() *page {
	p := &page{key: l.pageKey(l.hour), hour: l.hour}
	if l.open != nil {
		p.keys, p.now = make([]counterKey, 0, len(l.open.keys)), make([]usage.Counts, 0, len(l.open.now))
	}
	return p
}

// keptOf is what the row holds of the i-th counter.
func (p *page) keptOf(i int) usage.Counts {
	if i < len(p.kept) {
		return p.kept[i]
	}
	return usage.Counts{}
}

// pageKey names the next page. The caller holds mu.
func (l *Ledger) pageKey(hour time.Time) store.Key {
	l.named++
	return store.Key{Partition: hourPartition(hour), Row: l.boot + "!" + strconv.Itoa(l.named)}
}

func hourOf(t time.Time) time.Time { return t.UTC().Truncate(time.Hour) }

func dayOf(t time.Time) time.Time {
	year, month, day := t.UTC().Date()
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

func hourPartition(hour time.Time) string { return hourPrefix + hour.Format(hourLayout) }

func dayPartition(day time.Time) string { return dayPrefix + day.Format(dayLayout) }

// pageColumns are the columns of a page with this text.
func (l *Ledger) pageColumns(text string, sealed int64) store.Columns {
	columns := store.Columns{columnFormat: format, columnBy: clean(l.o.Instance, maxInstance), columnCounters: text}
	if sealed != 0 {
		columns[columnSealed] = sealed
	}
	return columns
}

// The longest line of a counter: names, 15 separators, the end of the line, one
// digit, and eight numbers.
const (
	longestNumber = 13 // of an int64 in base 36
	base          = 36
	lineFields    = 7 + 8                            // and the tags, if there are some
	shortestLine  = lineFields + 2 + 8*longestNumber // of no names
)

func longestLine(d usage.Dimensions) int {
	return len(d.Consumer) + len(d.Model) + len(d.Deployment) + len(d.Backend) + len(d.Region) + len(d.Status) + len(d.Tags) +
		shortestLine
}

// appendLine writes a counter as a line of fields between tabs: the names, 1 if it
// was spilled, the class of the status, the counts in base 36, a zero as nothing,
// and the tags, if there are some.
func appendLine(dst []byte, d usage.Dimensions, n usage.Counts) []byte {
	for _, name := range [...]string{d.Consumer, d.Model, d.Deployment, d.Backend, d.Region} {
		dst = append(append(dst, name...), '\t')
	}
	if d.Spilled {
		dst = append(dst, '1')
	}
	dst = append(append(dst, '\t'), d.Status...)
	for _, n := range [...]int64{n.Requests, n.Errors, n.Prompt, n.Cached, n.Completion, n.Reasoning, n.Shadowed, n.Cost} {
		dst = append(dst, '\t')
		if n != 0 {
			dst = strconv.AppendInt(dst, n, base)
		}
	}
	if d.Tags != "" {
		dst = append(append(dst, '\t'), d.Tags...)
	}
	return append(dst, '\n')
}

// parseLine reads a line without its end as foreign input.
func parseLine(line string) (d usage.Dimensions, n usage.Counts, ok bool) {
	if fields := 1 + strings.Count(line, "\t"); fields != lineFields && fields != lineFields+1 {
		return d, n, false
	}
	next := func() (field string) {
		field, line, _ = strings.Cut(line, "\t")
		return field
	}
	d.Consumer, d.Model, d.Deployment, d.Backend, d.Region = next(), next(), next(), next(), next()
	spilled := next()
	d.Spilled, d.Status = spilled == "1", next()
	if spilled != "" && spilled != "1" {
		return d, n, false
	}
	for _, count := range [...]*int64{&n.Requests, &n.Errors, &n.Prompt, &n.Cached, &n.Completion, &n.Reasoning, &n.Shadowed, &n.Cost} {
		field := next()
		if field == "" {
			continue
		}
		v, err := strconv.ParseInt(field, base, 64)
		if err != nil || v <= 0 {
			return d, n, false
		}
		*count = v
	}
	d.Tags = line
	return d, n, true
}

// eachLine calls do for the counters of a text, until do is false. It returns how
// many lines made no sense.
func eachLine(text string, do func(usage.Dimensions, usage.Counts) bool) (bad int) {
	for text != "" {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		d, n, ok := parseLine(line)
		if !ok {
			bad++
			continue
		}
		if !do(d, n) {
			return bad
		}
	}
	return bad
}
