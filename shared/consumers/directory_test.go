package consumers

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/clock"
	"spillway/shared/config"
	"spillway/shared/store"
)

// A consumer is found by its keys, by its applications, and by its roles if it lists
// no applications; everybody else is nobody.
func TestFind(t *testing.T) {
	w := newWorld(t)
	d := w.directory(w.table, Options{})
	const app, other = "11111111-2222-3333-4444-555555555555", "99999999-2222-3333-4444-555555555555"
	put(t, d, define(t, "keyed", "first", "second"))
	put(t, d, parse(t, "listed", "entra: { appIds: ["+app+"], roles: [Caller] }"))
	put(t, d, parse(t, "any", "entra: { roles: [Batch] }"))
	wantKey(t, d, "first", "keyed")
	wantKey(t, d, "second", "keyed")
	wantKey(t, d, "third", "")
	for _, c := range []struct {
		what string
		find func() (*config.Definition, error)
		want string
	}{
		{"app", func() (*config.Definition, error) { return d.ByApp(t.Context(), app) }, "listed"},
		{"other app", func() (*config.Definition, error) { return d.ByApp(t.Context(), other) }, ""},
		{"role of any app", func() (*config.Definition, error) { return d.ByRole(t.Context(), "Batch") }, "any"},
		{"role of listed apps", func() (*config.Definition, error) { return d.ByRole(t.Context(), "Caller") }, ""},
		{"role too long for any row", func() (*config.Definition, error) { return d.ByRole(t.Context(), string(make([]byte, 5000))) }, ""},
	} {
		found, err := c.find()
		if err != nil || (found == nil) != (c.want == "") || found != nil && found.Name != c.want {
			t.Errorf("%s: %v, %v; want %q", c.what, found, err, c.want)
		}
	}
}

// While nobody has ever added a consumer, unknown credentials cost nothing: a point
// read in three seconds, by whoever comes first.
func TestNobodyEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := &counting{Store: w.table}
		d := w.directory(s, Options{})
		for i := range 1000 {
			wantKey(t, d, fmt.Sprint("wrong ", i), "")
		}
		if got := s.asked(); got != 1 {
			t.Errorf("%d point reads, want 1", got)
		}
		put(t, w.directory(w.table, Options{}), define(t, "first", "key"))
		<-time.After(5 * time.Second)
		wantKey(t, d, "key", "first")
	})
}

// A hit asks nothing, and a consumer is the same pointer for each of its keys as long
// as nobody has written it. A change that changes nothing is of a later moment, which
// counts where instances know different amounts of a limit.
func TestPointer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := &counting{Store: w.table}
		d := w.directory(s, Options{})
		put(t, d, define(t, "app", "one", "two"))
		<-time.After(2 * watchFor)
		first := wantKey(t, d, "one", "app")
		if second := wantKey(t, d, "two", "app"); second != first {
			t.Error("two keys of one consumer gave two pointers")
		}
		s.asked()
		for range 100 {
			wantKey(t, d, "one", "app")
		}
		if got := s.asked(); got != 0 {
			t.Errorf("%d point reads for 100 hits, want 0", got)
		}
		put(t, d, define(t, "app", "one", "two"))
		if got := wantKey(t, d, "one", "app"); got == first || !got.Since.After(first.Since) {
			t.Errorf("written anew, it is of %v as before", got.Since)
		}
		changed := define(t, "app", "one", "two")
		changed.TokensPerMinute = 5
		put(t, d, changed)
		second := wantKey(t, d, "two", "app")
		if second == first || second.TokensPerMinute != 5 || first.TokensPerMinute != 0 {
			t.Errorf("after a change: %+v", second)
		}
		if got := wantKey(t, d, "one", "app"); got != second {
			t.Error("the other key gives another pointer after the change")
		}
	})
}

// Wherever a consumer is added, changed or removed, everybody knows after 5 seconds,
// whether busy or idle meanwhile.
func TestEverybodyKnows(t *testing.T) {
	for _, idle := range []bool{false, true} {
		t.Run(fmt.Sprint("idle ", idle), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				writer, reader := w.directory(w.table, Options{}), w.directory(w.table, Options{})
				settle := func() {
					for range 50 {
						<-time.After(99 * time.Millisecond)
						if !idle {
							_, _ = reader.ByKey(t.Context(), hashOf("one"))
							_, _ = reader.ByKey(t.Context(), hashOf("two"))
						}
					}
					<-time.After(50 * time.Millisecond)
				}
				for range 3 {
					put(t, writer, define(t, "app", "one"))
					settle()
					wantKey(t, reader, "one", "app")
					put(t, writer, define(t, "app", "two"))
					settle()
					wantKey(t, reader, "one", "")
					wantKey(t, reader, "two", "app")
					remove(t, writer, "app")
					settle()
					wantKey(t, reader, "two", "")
				}
			})
		})
	}
}

// A process that was frozen waits for a poll before it lets a removed consumer in.
func TestFreeze(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		frozen := time.Duration(0)
		begin := time.Now()
		clk := clock.New(func() (time.Time, time.Duration) { return time.Now(), time.Since(begin) - frozen })
		writer, reader := w.directory(w.table, Options{}), w.directory(w.table, Options{Clock: clk})
		put(t, writer, define(t, "app", "key"))
		wantKey(t, reader, "key", "app")
		remove(t, writer, "app")
		<-time.After(time.Hour)
		frozen += time.Hour // The monotonic clock stood still.
		wantKey(t, reader, "key", "")
	})
}

// However many wrong keys come, the table is asked for about 50 a second, and who is
// known notices nothing. Keys that find somebody are not counted.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		s := &counting{Store: w.table}
		d := w.directory(s, Options{})
		const many = 3 * burst
		for i := range many {
			put(t, d, define(t, fmt.Sprint("app-", i), fmt.Sprint("key ", i)))
		}
		<-time.After(2 * watchFor)
		for i := range many {
			wantKey(t, d, fmt.Sprint("key ", i), fmt.Sprint("app-", i))
		}
		s.asked()
		busy, nobody := 0, 0
		for i := range 10_000 {
			consumer, err := d.ByKey(t.Context(), hashOf(fmt.Sprint("wrong ", i)))
			switch {
			case errors.Is(err, ErrBusy):
				busy++
			case err == nil && consumer == nil:
				nobody++
			default:
				t.Fatalf("%v, %v", consumer, err)
			}
			wantKey(t, d, "key 0", "app-0")
			<-time.After(time.Millisecond)
		}
		if most := burst + 10*lookupsPerSecond; nobody > most || nobody < most-10 || busy == 0 {
			t.Errorf("%d looked up and %d refused, want %d looked up", nobody, busy, most)
		}
		if got := s.asked(); got > burst+10*lookupsPerSecond {
			t.Errorf("%d point reads, want at most %d", got, burst+10*lookupsPerSecond)
		}
		if got := len(w.events(EventFlooded)); got != 1 {
			t.Errorf("told %d times, want once", got)
		}
	})
}

// No more credentials are remembered than the limit says, and those in use stay.
func TestLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		d := w.directory(w.table, Options{Limit: 50})
		s := &counting{Store: w.table}
		reader := w.directory(s, Options{Limit: 50})
		for i := range 200 {
			put(t, d, define(t, fmt.Sprint("app-", i), fmt.Sprint("key ", i)))
		}
		<-time.After(2 * watchFor)
		hot, hits := 0, 0
		for round := range 40 {
			for i := range 200 {
				wantKey(t, reader, fmt.Sprint("key ", i), fmt.Sprint("app-", i))
				s.asked()
				wantKey(t, reader, fmt.Sprint("key ", i%5), fmt.Sprint("app-", i%5))
				if round > 0 {
					hits++
					if s.asked() > 0 {
						hot++
					}
				}
			}
		}
		if len(reader.keys.entries) != 50 || len(reader.records) > 50 {
			t.Errorf("%d keys and %d consumers remembered, want 50", len(reader.keys.entries), len(reader.records))
		}
		if hot > hits/10 {
			t.Errorf("%d of %d look-ups of keys in use asked the store, want at most %d", hot, hits, hits/10)
		}
	})
}

// A row that nobody can read is nobody's, as long as it is so, and is told once. So is
// a consumer that the file defines too. One that no longer fits is in use.
func TestUnusableRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		inFile, unfit := "", errors.New("no pool serves the model")
		d := w.directory(w.table, Options{
			InFile: func(name string) bool { return name == inFile },
			Check: func(c config.Consumer) error {
				if slices.Contains(c.Models, "retired") {
					return unfit
				}
				return nil
			},
		})
		entry := put(t, d, define(t, "app", "key"))
		row, err := w.table.Get(t.Context(), consumerKey("app"))
		if err != nil {
			t.Fatal(err)
		}
		good := row.Columns
		etag := entry.ETag
		rewrite := func(columns store.Columns) {
			t.Helper()
			if etag, err = w.table.Replace(t.Context(), consumerKey("app"), columns, etag); err != nil {
				t.Fatal(err)
			}
			<-time.After(5 * time.Second)
		}
		for _, broken := range []store.Columns{
			{}, {columnFormat: "1"}, {columnFormat: int64(0)}, {columnFormat: format},
			{columnFormat: format + 1, columnDefinition: good[columnDefinition]},
			{columnFormat: format, columnDefinition: int64(1)}, {columnFormat: format, columnDefinition: "]["},
			{columnFormat: format, columnDefinition: `{"name":"other","keys":["0123456789abcdef"]}`},
		} {
			rewrite(broken)
			for range 10 {
				wantKey(t, d, "key", "")
			}
		}
		if got := w.events(EventBroken); len(got) != 1 || got[0].Consumer != "app" || got[0].Err == nil {
			t.Errorf("told %v, want one broken row", got)
		}
		rewrite(good)
		wantKey(t, d, "key", "app")
		inFile = "app"
		rewrite(good)
		wantKey(t, d, "key", "")
		wantKey(t, d, "key", "")
		if got := w.events(EventInFile); len(got) != 1 || got[0].Consumer != "app" {
			t.Errorf("told %v, want one consumer of the file", got)
		}
		inFile = ""
		old := parse(t, "app", `{"models":["retired"],"keys":["`+hashOf("key").Reveal()+`"]}`)
		rewrite(encodeConsumer(&old, "nonce", "ops", time.Now()))
		wantKey(t, d, "key", "app")
		if got := w.events(EventUnfit); len(got) != 1 || !errors.Is(got[0].Err, unfit) {
			t.Errorf("told %v, want one that does not fit", got)
		}
	})
}

// What somebody does to the rows by hand is noticed after an hour.
func TestEditedByHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		d := w.directory(w.table, Options{})
		entry := put(t, d, define(t, "app", "key"))
		<-time.After(2 * watchFor)
		wantKey(t, d, "key", "app")
		if err := w.table.Delete(t.Context(), consumerKey("app"), entry.ETag); err != nil {
			t.Fatal(err)
		}
		<-time.After(recheckAfter)
		_, _ = d.ByKey(t.Context(), hashOf("key"))
		d.Settle(t.Context())
		wantKey(t, d, "key", "")
	})
}

// All instances together stay within what a partition gives.
func TestPace(t *testing.T) {
	for _, c := range []struct {
		rows      int
		instances int64
		want      time.Duration
	}{
		{0, 0, pollEvery},
		{0, 1000, pollEvery},
		{6, 1000, pollEvery},
		{12, 1000, 6 * time.Second},
		{1000, 1, pollEvery},
		{100_000, 1000, longestInterval},
	} {
		if got := pace(c.rows, c.instances); got != c.want {
			t.Errorf("%d rows for %d instances: a poll in %v, want %v", c.rows, c.instances, got, c.want)
		}
	}
}
