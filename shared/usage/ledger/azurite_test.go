package ledger_test

import (
	"maps"
	"strconv"
	"sync"
	"testing"
	"time"

	"spillway/shared/clock"
	"spillway/shared/store"
	"spillway/shared/store/aztable"
	"spillway/shared/usage/ledger"
	"spillway/tests/fakes/azurite"
)

// Against Microsoft's storage emulator: three instances count and fold, all at once,
// names with anything in them are read as they were written, and a report is the same
// before the hours are folded, after it, and when the pages are deleted.
func TestOnAzurite(t *testing.T) {
	s, err := aztable.Open(t.Context(), aztable.Options{Connection: azurite.Start(t), Table: "ledger"})
	if err != nil {
		t.Fatal(err)
	}
	const instances, consumers, hours = 3, 40, 3
	now := time.Date(2026, 7, 31, 22, 30, 0, 0, time.UTC)
	source := clock.New(func() (time.Time, time.Duration) { return now, 0 })
	var fleet []*ledger.Ledger
	for range instances {
		fleet = append(fleet, start(t, ledger.Options{Store: s, Clock: source}))
	}
	for range hours {
		everybody(t, fleet, func(l *ledger.Ledger) error {
			for n := range consumers * 5 {
				r := request("büro & co/"+strconv.Itoa(n/5), 100)
				r.Start, r.Deployment = now, "d'"+strconv.Itoa(n%5)
				l.Add(r)
			}
			return l.Flush(t.Context())
		})
		now = now.Add(time.Hour)
	}
	began := time.Now()
	pages := sumsAt(t, s, now, "consumer", "deployment", "hour")
	t.Logf("%d counters read from pages in %v", len(pages), time.Since(began))
	if want := consumers * 5 * hours; len(pages) != want {
		t.Fatalf("%d rows, want %d", len(pages), want)
	}
	for key, n := range pages {
		if n.Requests != instances || n.Prompt != 100*instances {
			t.Errorf("%s: %+v, want what %d instances counted", key, n, instances)
		}
	}
	for _, later := range []time.Duration{time.Hour, 30 * time.Hour} {
		now = now.Add(later)
		everybody(t, fleet, func(l *ledger.Ledger) error { _, err := l.Fold(t.Context()); return err })
		began = time.Now()
		if days := sumsAt(t, s, now, "consumer", "deployment", "hour"); !maps.Equal(pages, days) {
			t.Errorf("%v later the report differs", later)
		}
		t.Logf("read again %v later in %v", later, time.Since(began))
	}
	for row, err := range s.Query(t.Context(), store.Filter{Prefix: "usage!hour!"}) {
		t.Errorf("the page %v is still there, %v", row.Key, err)
	}
}

// everybody lets all instances do something at once.
func everybody(t *testing.T, fleet []*ledger.Ledger, do func(*ledger.Ledger) error) {
	t.Helper()
	var all sync.WaitGroup
	for _, l := range fleet {
		all.Go(func() {
			if err := do(l); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}
