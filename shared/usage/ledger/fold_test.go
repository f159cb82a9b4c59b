package ledger

import (
	"strings"
	"testing"
	"time"
)

// calm is a world where nothing goes wrong by chance, and folds do their usual share.
func calm(t *testing.T) *world {
	w := newWorld(t, 1)
	w.share = foldShare
	return w
}

// run lets an actor run until it is about to make a call that begins like that.
func (w *world) run(a *actor, until string) {
	w.t.Helper()
	for !a.ended && !strings.HasPrefix(a.next, until) {
		w.step(a)
	}
	if a.ended {
		w.t.Fatalf("it ended before any call %q", until)
	}
}

// all lets an actor run to its end.
func (w *world) all(a *actor) {
	for !a.ended {
		w.step(a)
	}
}

// used is a world of two instances that have counted for two hours, both over.
func used(t *testing.T) *world {
	w := calm(t)
	for _, name := range []string{"host-0", "host-1"} {
		i := w.startNamed(name)
		for range 2 {
			w.add(i)
			w.all(w.flush(i))
			w.now = w.now.Add(time.Hour)
		}
	}
	w.now = w.now.Add(closeAfter)
	return w
}

// Between any two calls of a fold, and of the one that deletes pages a day later, a
// report holds all that was flushed, and nothing twice.
func TestReadBetweenCallsOfAFold(t *testing.T) {
	w := used(t)
	for _, later := range []time.Duration{0, keepPages + 3*time.Hour} {
		w.now = w.now.Add(later)
		calls := 0
		for fold := w.fold(w.instances[0]); !fold.ended; calls++ {
			w.all(w.read())
			w.step(fold)
		}
		w.all(w.read())
		if calls < 8 {
			t.Errorf("void: the fold took %d calls, want at least 8", calls)
		}
	}
	if w.seen["hours folded"] < 3 || w.seen["read failed"] > 0 {
		t.Errorf("void: %v", w.seen)
	}
}

// A fold runs between any two calls of a report, a part of it or all of it.
func TestFoldBetweenCallsOfARead(t *testing.T) {
	for begin := range 40 {
		for _, part := range []int{1, 3, 1000} {
			w := used(t)
			fold := w.fold(w.instances[0])
			for range begin {
				w.step(fold)
			}
			for read := w.read(); !read.ended; {
				w.step(read)
				for range part {
					w.step(fold)
				}
			}
			w.all(w.read())
		}
	}
}

// A page is written so late that the fold of its hour misses it, and is then sealed by
// a fold that has been taken over. The seal does not count, the owner finds out, and
// its requests count once, for a later hour.
func TestSealOfAFoldThatWasTakenOver(t *testing.T) {
	for when, call := range map[string]string{
		"before the pages are added up": "query usage!hour!2026073120",
		"after they were added up":      "insert usage!day",
	} {
		t.Run(when, func(t *testing.T) {
			w := calm(t)
			w.share.time = time.Hour
			late, early := w.startNamed("host-0"), w.startNamed("host-1")
			w.add(early)
			w.all(w.flush(early))
			w.add(late)
			flush := w.flush(late)
			w.run(flush, "insert usage!hour")

			w.now = w.now.Add(2 * time.Hour)
			first := w.fold(early)
			w.run(first, "query usage!hour!2026073120") // to see whether there are pages
			w.step(first)                               // and now to seal them
			w.now = w.now.Add(3 * foldShare.lease)
			second := w.fold(early)
			w.run(second, "replace usage!hour") // It has its list of pages,
			w.step(second)
			w.run(second, call)
			w.step(flush) // and only now the page arrives,
			w.run(flush, "get usage!fold")
			w.all(first) // and is sealed by the first fold.
			if row, err := w.inner.Get(t.Context(), late.pages[0].key); err != nil || row.Columns[columnSealed] != int64(1) {
				t.Fatalf("void: the page is %v, %v", row.Columns, err)
			}
			for _, a := range []*actor{w.read(), second, w.read(), flush, w.read()} {
				w.all(a)
			}
			w.all(w.read())
			if w.seen["hours folded"] != 1 || w.seen["flushed"] != 2 || w.seen["reads"] != 4 {
				t.Errorf("void: %v", w.seen)
			}
			w.end()
		})
	}
}
