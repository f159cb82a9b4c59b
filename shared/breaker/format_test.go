package breaker

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/store"
)

// putRow makes the row hold these columns, and returns its ETag.
func (f *fleet) putRow(t fatal, columns store.Columns) string {
	t.Helper()
	ctx := context.Background()
	key := store.Key{Partition: Partition, Row: id}
	var etag string
	var err error
	if row, missing := f.store.inner.Get(ctx, key); missing != nil {
		etag, err = f.store.inner.Insert(ctx, key, columns)
	} else {
		etag, err = f.store.inner.Replace(ctx, key, columns, row.ETag)
	}
	if err != nil {
		t.Fatal(err)
	}
	return etag
}

// untouched fails if the row was written since.
func (f *fleet) untouched(t fatal, etag string) {
	t.Helper()
	row, err := f.store.inner.Get(context.Background(), store.Key{Partition: Partition, Row: id})
	if err != nil || row.ETag != etag {
		t.Fatalf("the row became %+v (%v)", row.Columns, err)
	}
}

// A newer version writes its rows in another format. This one cannot know what
// they mean: it never overwrites them, and decides alone.
func TestRowOfANewerVersionIsLeftAlone(t *testing.T) {
	newer := func() store.Columns {
		return store.Columns{
			"Format": int64(2), "State": "open", "Until": time.Now().Add(time.Hour), "Trial": "seven", "Nonce": "n",
		}
	}
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2)
		etag := f.putRow(t, newer())
		f.refresh()
		for _, i := range f.instances {
			i.is(t, Closed)
			if i.count(EventUnusable, ReasonFormat) != 1 {
				t.Errorf("%s: events %+v", i.instance, i.happened())
			}
			// Everything goes on, alone: open, trial, throttle, probe.
			i.admit(t).Throttled(time.Now().Add(20*time.Second), 429)
			i.throttled(t, true)
			elapse(3 * time.Second)
			i.lifting(t).Success()
			i.throttled(t, false)
			i.breakDown(t)
			elapse(10 * time.Second)
			pass := i.trial(t)
			i.refused(t)
			pass.Failure(500)
			i.is(t, Open)
			elapse(20 * time.Second)
			i.trial(t).Success()
			i.is(t, Closed)
			f.refresh()
			i.is(t, Closed)
			if i.Degraded() {
				t.Errorf("%s: another version is no outage", i.instance)
			}
		}
		f.untouched(t, etag)
		if n := f.store.count(write); n != 0 {
			t.Errorf("%d writes, want 0", n)
		}
		// It changes, and is still another version's: no second event.
		f.putRow(t, newer())
		f.refresh()
		for _, i := range f.instances {
			if i.count(EventUnusable, "") != 1 {
				t.Errorf("%s: events %+v", i.instance, i.happened())
			}
		}
	})
}

// The row is replaced by a newer version between this instance's read and its
// write: the write does not happen, and the request is not lost.
func TestRowOfANewerVersionDuringAClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFleet(t, 1)
		a := f.instances[0]
		var etag string
		upgrade := func(o operation) {
			if o == write {
				f.store.before.Store(nil)
				etag = f.putRow(t, store.Columns{"Format": int64(2)})
			}
		}
		f.store.before.Store(&upgrade)
		pass := a.trial(t)
		a.refused(t)
		if a.count(EventUnusable, ReasonFormat) != 1 {
			t.Errorf("events %+v", a.happened())
		}
		pass.Success()
		a.is(t, Closed)
		synctest.Wait()
		f.untouched(t, etag)
	})
}

func TestRowOfANewerVersionDuringAProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := throttledFleet(t, 1)
		a := f.instances[0]
		etag := f.putRow(t, store.Columns{"Format": int64(2)})
		a.lifting(t).Success()
		a.throttled(t, false)
		synctest.Wait()
		f.untouched(t, etag)
	})
}

// After a downgrade everywhere, or when the row was removed, what this instance
// found out alone is shared again.
func TestRowThatIsUsableAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, 2)
		f.putRow(t, store.Columns{"Format": int64(2)})
		f.refresh()
		a, b := f.instances[0], f.instances[1]
		a.breakDown(t)
		row, err := f.store.inner.Get(t.Context(), a.d.key())
		if err != nil {
			t.Fatal(err)
		}
		if err := f.store.inner.Delete(t.Context(), a.d.key(), row.ETag); err != nil {
			t.Fatal(err)
		}
		f.refresh()
		f.refresh()
		a.is(t, Open)
		b.is(t, Open)
		f.putRow(t, store.Columns{"Format": int64(3)})
		f.refresh()
		if n := a.count(EventUnusable, ReasonFormat); n != 2 {
			t.Errorf("%d events, want one for each time: %+v", n, a.happened())
		}
	})
}

// A row of our own format that makes no sense is a closed breaker; the next thing
// that there is to say mends it.
func TestBrokenRow(t *testing.T) {
	for name, broken := range map[string]store.Columns{
		"empty":         {},
		"unknown state": {"Format": int64(1), "State": "ajar", "Trial": int64(1), "Owner": "", "Nonce": ""},
		"no trial":      {"Format": int64(1), "State": "half-open", "Until": time.Now().Add(time.Hour), "Owner": "z", "Nonce": "z"},
		"no format":     {"State": "open", "Trial": int64(1), "Owner": "", "Nonce": "", "Until": time.Now().Add(time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, 2)
				f.putRow(t, broken)
				f.refresh()
				f.refresh()
				for _, i := range f.instances {
					i.is(t, Closed)
					i.admit(t).Success()
					if i.count(EventUnusable, ReasonBroken) != 1 {
						t.Errorf("%s: events %+v", i.instance, i.happened())
					}
				}
				f.instances[0].breakDown(t)
				f.refresh()
				if row := f.row(t); row.State != Open {
					t.Errorf("row %+v, want State %v", row, Open)
				}
				f.instances[1].is(t, Open)
			})
		})
	}
}

func TestRowThatBreaksDuringATrial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFleet(t, 2)
		pass := f.instances[0].trial(t)
		f.putRow(t, store.Columns{"Format": int64(1), "State": "?"})
		f.refresh()
		pass.Failure(500)
		f.refresh()
		for _, i := range f.instances {
			i.admit(t).Success()
		}
	})
}
