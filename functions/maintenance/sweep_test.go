package maintenance_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"spillway/functions/maintenance"
	"spillway/shared/clock"
	"spillway/shared/quota"
	"spillway/shared/store"
	"spillway/shared/store/memory"
)

// date is a moment of 2026, as a test likes to write it.
func date(t testing.TB, text string) time.Time {
	t.Helper()
	moment, err := time.Parse("Jan 2 15:04:05", text)
	if err != nil {
		t.Fatal(err)
	}
	return moment.AddDate(2026, 0, 0)
}

// A row is removed a day after the window that follows its own has ended: until
// then units that were taken ahead may be spent, and its number of shards holds.
func TestWhatIsIdle(t *testing.T) {
	tests := []struct {
		period  quota.Period
		used    string
		now     string
		removed bool
	}{
		{quota.Minute, "Mar 5 12:00:30", "Mar 6 12:01:59", false},
		{quota.Minute, "Mar 5 12:00:30", "Mar 6 12:02:00", false},
		{quota.Minute, "Mar 5 12:00:30", "Mar 6 12:02:01", true},
		{quota.TenSeconds, "Mar 5 12:00:30", "Mar 6 12:00:50", false},
		{quota.TenSeconds, "Mar 5 12:00:30", "Mar 6 12:00:51", true},
		{quota.Hour, "Mar 5 12:00:30", "Mar 6 13:59:59", false},
		{quota.Hour, "Mar 5 12:00:30", "Mar 6 14:00:01", true},
		{quota.Day, "Mar 5 12:00:30", "Mar 7 23:59:59", false},
		{quota.Day, "Mar 5 12:00:30", "Mar 8 00:00:01", true},
		{quota.Week, "Mar 5 12:00:30", "Mar 16 23:59:59", false}, // a Thursday; its week ends with the 8th
		{quota.Week, "Mar 5 12:00:30", "Mar 17 00:00:01", true},
		{quota.Month, "Mar 1 00:00:00", "Mar 31 23:59:59", false}, // live for its month
		{quota.Month, "Mar 5 12:00:30", "May 1 23:59:59", false},
		{quota.Month, "Mar 5 12:00:30", "May 2 00:00:01", true},
	}
	for _, test := range tests {
		t.Run(fmt.Sprint(test.period, " ", test.now), func(t *testing.T) {
			s := newSpy()
			l := maintenance.Limit{Key: "consumer/a/tokens", Period: test.period}
			put(t, s, l, 0, spent(test.period.Window(date(t, test.used)), 1000, 400))
			r := startAt(t, s, date(t, test.now)).Run(t.Context())
			if r.Err != nil || r.Swept == 1 != test.removed {
				t.Errorf("%d rows swept, %v", r.Swept, r.Err)
			}
			if _, ok := get(t, s, l, 0); ok == test.removed {
				t.Errorf("the row is there: %v", ok)
			}
		})
	}
}

// What is no row of a limit, or of a version or a period that is not known here,
// is not removed, however old it is.
func TestWhatIsNotSwept(t *testing.T) {
	old := spent(quota.Minute.Window(date(t, "Mar 1 12:00:00")), 1000, 400)
	newer := old.Columns()
	newer["Format"] = int64(2)
	rows := map[store.Key]store.Columns{
		{Partition: "quota!k!minute!0", Row: "other"}:                      old.Columns(),
		{Partition: "quota!k!century!0", Row: quota.RowKey}:                old.Columns(),
		{Partition: "quota!k!minute", Row: quota.RowKey}:                   old.Columns(),
		{Partition: "quota!k!minute!64", Row: quota.RowKey}:                old.Columns(),
		{Partition: "quota!k!month!0", Row: quota.RowKey}:                  old.Columns(), // no start of a month
		{Partition: quota.Partition("newer", 0, 0), Row: quota.RowKey}:     newer,
		{Partition: quota.Partition("senseless", 0, 0), Row: quota.RowKey}: {"Window": "long ago"},
		{Partition: "breaker", Row: "gone/gpt-4o"}:                         {"State": "closed"},
		{Partition: "quotas!k!minute!0", Row: quota.RowKey}:                old.Columns(),
	}
	s := newSpy()
	for key, columns := range rows {
		if _, err := s.Insert(t.Context(), key, columns); err != nil {
			t.Fatal(err)
		}
	}
	put(t, s, limit, 0, old) // shows that the run sweeps
	if r := startAt(t, s, date(t, "May 1 12:00:00")).Run(t.Context()); r.Swept != 1 || len(s.deleted) != 1 {
		t.Errorf("%d rows swept: %v", r.Swept, s.deleted)
	}
}

// dated is a store whose answers carry the true time, which corrects a clock.
type dated struct {
	store.Store
	now   time.Time
	clock *clock.Clock
}

func (d dated) observe() {
	local := d.clock.Now().Add(-d.clock.Offset())
	d.clock.Observe(d.now.Truncate(time.Second), local, local.Add(5*time.Millisecond))
}

func (d dated) Get(ctx context.Context, key store.Key) (store.Row, error) {
	defer d.observe()
	return d.Store.Get(ctx, key)
}

func (d dated) Insert(ctx context.Context, key store.Key, columns store.Columns) (string, error) {
	defer d.observe()
	return d.Store.Insert(ctx, key, columns)
}

func (d dated) Replace(ctx context.Context, key store.Key, columns store.Columns, etag string) (string, error) {
	defer d.observe()
	return d.Store.Replace(ctx, key, columns, etag)
}

func (d dated) Delete(ctx context.Context, key store.Key, etag string) error {
	defer d.observe()
	return d.Store.Delete(ctx, key, etag)
}

func (d dated) Query(ctx context.Context, filter store.Filter) seq {
	d.observe()
	return d.Store.Query(ctx, filter)
}

// live tells by the true time whether a row still matters: somebody may hold
// units of a window that has not ended.
func live(p quota.Period, row quota.Row, now time.Time) bool {
	ends := p.End(row.Window)
	if row.NextGranted > 0 || row.NextHolders > 0 || row.NextShards != row.Shards {
		ends = p.End(p.Next(row.Window))
	}
	return now.Before(ends)
}

// A live row is never removed: whatever its period and shard, by a clock that is
// wrong by up to two minutes, and by one that was stepped by days, as long as the
// store's answers tell the time.
func TestALiveRowIsNeverSwept(t *testing.T) {
	periods := []quota.Period{quota.Minute, quota.TenSeconds, quota.Hour, quota.Day, quota.Week, quota.Month}
	swept := 0
	rapid.Check(t, func(t *rapid.T) {
		now := time.Unix(rapid.Int64Range(1_700_000_000, 1_900_000_000).Draw(t, "now"), 0)
		wrong := time.Duration(rapid.Int64Range(-120, 120).Draw(t, "clock wrong by seconds")) * time.Second
		var s store.Store = memory.New()
		var c *clock.Clock
		if rapid.Bool().Draw(t, "stepped") {
			wrong = time.Duration(rapid.IntRange(-90, 90).Draw(t, "days")) * 24 * time.Hour
		}
		c = clock.New(func() (time.Time, time.Duration) { return now.Add(wrong), 0 })
		if wrong.Abs() > 2*time.Minute {
			for range 2 { // what an earlier run has learned does not help
				c.Observe(now.Add(wrong).Truncate(time.Second), now.Add(wrong), now.Add(wrong))
			}
			s = dated{s, now, c}
		}
		inner := s
		if d, ok := s.(dated); ok {
			inner = d.Store
		}
		rows := map[store.Key]bool{}
		for n := range rapid.IntRange(1, 20).Draw(t, "rows") {
			p := rapid.SampledFrom(periods).Draw(t, "period")
			age := time.Duration(rapid.Float64Range(-1, 4).Draw(t, "age in windows") * float64(p.End(p.Window(now)).Sub(p.Window(now).Start())))
			if rapid.Bool().Draw(t, "older") {
				age += 24 * time.Hour
			}
			row := quota.New(p.Window(now.Add(-age)), 1000)
			row.Granted = rapid.Int64Range(0, 1000).Draw(t, "granted")
			row.NextGranted = rapid.Int64Range(0, 10).Draw(t, "granted ahead")
			row.NextShards = rapid.Int64Range(1, 2).Draw(t, "shards to come")
			key := keyOf(maintenance.Limit{Key: fmt.Sprint("consumer/", n), Period: p}, rapid.Int64Range(0, 3).Draw(t, "shard"))
			if _, err := inner.Insert(context.Background(), key, row.Columns()); err != nil {
				t.Fatal(err)
			}
			rows[key] = live(p, row, now)
		}
		swept += startWith(t, s, c).Run(context.Background()).Swept
		for key, live := range rows {
			if _, err := inner.Get(context.Background(), key); err != nil && live {
				t.Fatalf("%v was removed", key)
			}
		}
	})
	if swept == 0 {
		t.Error("void: nothing was ever swept")
	}
}

// old stores so many rows that nobody uses.
func old(t testing.TB, s store.Store, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		l := maintenance.Limit{Key: fmt.Sprintf("consumer/%04d/tokens", n), Period: quota.Minute}
		put(t, s, l, 0, spent(quota.Minute.Window(time.Now().Add(-25*time.Hour)), 10, 5))
	}
}

// scans counts the full scans.
func (s *spy) scans() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, f := range s.filters {
		if f.Prefix == quota.Prefix {
			n++
		}
	}
	return n
}

// All rows are looked at once an hour, whichever instance it is that does so and
// however many there are.
func TestOneSweepAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpy()
		old(t, s, 0, 3)
		var instances []instance
		for n := range 5 {
			instances = append(instances, start(t, setup{name: fmt.Sprint(n), store: s}))
		}
		var swept int
		for range 3 * 60 {
			var group sync.WaitGroup
			var mu sync.Mutex
			for _, i := range instances {
				group.Go(func() {
					r := i.run(t)
					mu.Lock()
					swept += r.Swept
					mu.Unlock()
				})
			}
			group.Wait()
			wait(time.Minute)
		}
		if swept != 3 || s.scans() != 3 {
			t.Errorf("%d rows swept by %d scans in three hours; want 3 by 3", swept, s.scans())
		}
	})
}

// One run removes five hundred rows; the next one, of whichever instance, goes on.
func TestTheNextRunGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpy()
		old(t, s, 0, 1200)
		one, two := start(t, setup{name: "one", store: s}), start(t, setup{name: "two", store: s})
		var swept []int
		for _, i := range []instance{one, two, one, two, one} {
			swept = append(swept, i.run(t).Swept)
			wait(10 * time.Second)
		}
		if want := []int{500, 500, 200, 0, 0}; !slices.Equal(swept, want) || s.scans() != 3 {
			t.Errorf("the runs swept %v in %d scans, want %v in 3", swept, s.scans(), want)
		}
	})
}

// A row that is used while it is being removed stays.
func TestARowThatIsUsedMeanwhileStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpy()
		old(t, s, 0, 2)
		l := maintenance.Limit{Key: "consumer/0001/tokens", Period: quota.Minute}
		var once sync.Once
		s.before = func(call string, _ store.Key) {
			if call != "delete" {
				return
			}
			once.Do(func() {
				row, _ := s.Store.Get(context.Background(), keyOf(l, 0))
				fresh := spent(quota.Minute.Window(time.Now()), 10, 7)
				if _, err := s.Store.Replace(context.Background(), row.Key, fresh.Columns(), row.ETag); err != nil {
					t.Error(err)
				}
			})
		}
		if r := start(t, setup{store: s}).run(t); r.Swept != 1 {
			t.Errorf("%d rows swept, want the other one", r.Swept)
		}
		if row, ok := get(t, s, l, 0); !ok || row.Granted != 7 {
			t.Errorf("the row is %+v", row)
		}
	})
}

// An instance that dies with the turn delays the sweep by an hour at most.
func TestADeadSweeperIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpy()
		old(t, s, 0, 3)
		ctx, cancel := context.WithCancel(t.Context())
		s.before = func(call string, _ store.Key) {
			if call == "delete" {
				cancel()
			}
		}
		if r := start(t, setup{name: "one", store: s}).Run(ctx); r.Swept != 0 || r.Err == nil {
			t.Errorf("%d swept, %v", r.Swept, r.Err)
		}
		s.before = nil
		two := start(t, setup{name: "two", store: s})
		if r := two.run(t); r.Swept != 0 {
			t.Errorf("%d swept before it is time, want 0", r.Swept)
		}
		wait(time.Hour)
		if r := two.run(t); r.Swept != 3 {
			t.Errorf("%d swept, want 3", r.Swept)
		}
	})
}

// The row that says whose turn it is may hold anything. Nonsense is mended, a
// newer version's row is left alone.
func TestTheTurnIsForeign(t *testing.T) {
	tests := []struct {
		name  string
		turn  func(now time.Time) store.Columns
		swept int
	}{
		{"due", func(now time.Time) store.Columns { return store.Columns{"Format": int64(1), "Due": now} }, 1},
		{"not due", func(now time.Time) store.Columns {
			return store.Columns{"Format": int64(1), "Due": now.Add(time.Minute)}
		}, 0},
		{"by a clock that is far ahead", func(now time.Time) store.Columns {
			return store.Columns{"Format": int64(1), "Due": now.Add(24 * time.Hour)}
		}, 1},
		{"empty", func(time.Time) store.Columns { return store.Columns{} }, 1},
		{"of wrong types", func(time.Time) store.Columns { return store.Columns{"Format": "1", "Due": "soon"} }, 1},
		{"of a newer version", func(now time.Time) store.Columns { return store.Columns{"Format": int64(2), "Due": now} }, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSpy()
				old(t, s, 0, 1)
				key := store.Key{Partition: "maintenance", Row: "sweep"}
				if _, err := s.Insert(t.Context(), key, test.turn(time.Now())); err != nil {
					t.Fatal(err)
				}
				before, _ := s.Store.Get(t.Context(), key)
				i := start(t, setup{store: s})
				if r := i.run(t); r.Swept != test.swept {
					t.Errorf("%d swept, want %d", r.Swept, test.swept)
				}
				after, _ := s.Store.Get(t.Context(), key)
				if written := before.ETag != after.ETag; written != (test.swept == 1) {
					t.Errorf("the turn was written: %v, want %v", written, test.swept == 1)
				}
			})
		})
	}
}

// A run that finds nothing to do asks the store three times: for the deployments,
// for their limits, and whether it is time to sweep.
func TestAnIdleRunIsCheap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpy()
		i := start(t, setup{store: s, limits: []maintenance.Limit{limit}, deployments: []string{ptu}})
		i.run(t) // which sweeps
		before := [...]int{s.count("get"), s.count("query"), s.count("insert"), s.count("replace"), s.count("delete")}
		wait(10 * time.Second)
		if r := i.run(t); !r.Idle() {
			t.Errorf("it was not idle: %+v", r)
		}
		after := [...]int{s.count("get") - 1, s.count("query") - 2, s.count("insert"), s.count("replace"), s.count("delete")}
		if before != after {
			t.Errorf("gets, queries, inserts, replaces and deletes beyond the three: %v, were %v", after, before)
		}
	})
}
