package maintenance_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"spillway/functions/maintenance"
	"spillway/shared/quota"
	"spillway/shared/store"
	"spillway/shared/store/memory"
)

// The row of a limit that was used in the window before is moved to the window
// that runs, as the next grant would move it. Its nonce and author stay: a writer
// whose answer was lost may be looking for them.
func TestAPassedWindowIsRolled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpy()
		i := start(t, setup{store: s, limits: []maintenance.Limit{limit}})
		w := limit.Period.Window(time.Now())
		row := spent(w, 1000, 400)
		put(t, s, limit, 0, row)

		wait(70 * time.Second)
		if r := i.run(t); r.Rolled != 1 {
			t.Errorf("%d rows rolled, want 1", r.Rolled)
		}
		got, _ := get(t, s, limit, 0)
		if want := row.Roll(limit.Period, limit.Period.Next(w)); got != want || got.Granted != 0 || got.PrevHolders != 1 || got.Nonces != "a nonce" {
			t.Errorf("the row is %+v, want %+v", got, want)
		}
	})
}

// What is current, ahead, unused, too fresh, unreadable or absent is left alone.
func TestWhatIsLeftAlone(t *testing.T) {
	other := maintenance.Limit{Key: "deployment/payg/gpt-4o/tokens", Period: quota.Minute}
	tests := []struct {
		name string
		into time.Duration // this far into the minute after the stored one
		row  func(w quota.Window) store.Columns
	}{
		{"the window that runs", 30 * time.Second, func(w quota.Window) store.Columns { return spent(quota.Minute.Next(w), 1000, 400).Columns() }},
		{"a window ahead of the clock", 30 * time.Second, func(w quota.Window) store.Columns {
			return spent(quota.Minute.Next(quota.Minute.Next(w)), 1000, 400).Columns()
		}},
		{"a row that nobody used", 30 * time.Second, func(w quota.Window) store.Columns { return quota.New(w, 1000).Columns() }},
		{"a window that has just begun: other clocks may be behind", 2 * time.Second, func(w quota.Window) store.Columns { return spent(w, 1000, 400).Columns() }},
		{"a row of another version", 30 * time.Second, func(w quota.Window) store.Columns {
			columns := spent(w, 1000, 400).Columns()
			columns["Format"] = int64(2)
			return columns
		}},
		{"a row that makes no sense", 30 * time.Second, func(quota.Window) store.Columns { return store.Columns{"Window": "yesterday"} }},
		{"a window of which units were taken ahead: those who did so roll it", 30 * time.Second, func(w quota.Window) store.Columns {
			row, _ := spent(w, 1000, 400).GrantNext(0, 70, true)
			return row.Columns()
		}},
		{"no row", 30 * time.Second, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSpy()
				i := start(t, setup{store: s, limits: []maintenance.Limit{limit, other}})
				w := limit.Period.Window(time.Now())
				if test.row != nil {
					if _, err := s.Insert(t.Context(), keyOf(limit, 0), test.row(w)); err != nil {
						t.Fatal(err)
					}
				}
				put(t, s, other, 0, spent(w, 10, 1)) // shows that the run would roll
				wait(time.Minute + test.into)
				before, _ := s.Store.Get(t.Context(), keyOf(limit, 0))
				if r := i.run(t); r.Rolled != 1 && test.into > 3*time.Second || r.Rolled > 1 {
					t.Errorf("%d rows rolled", r.Rolled)
				}
				after, _ := s.Store.Get(t.Context(), keyOf(limit, 0))
				if before.ETag != after.ETag {
					t.Errorf("the row was written: %+v", after.Columns)
				}
			})
		})
	}
}

// An idle limit costs one write after its last use, and then none, however long
// the maintenance runs.
func TestIdleLimitsCostNothing(t *testing.T) {
	for name, ahead := range map[string]int64{"used": 0, "and units taken ahead": 10} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSpy()
				i := start(t, setup{store: s, limits: []maintenance.Limit{limit}})
				row := spent(limit.Period.Window(time.Now()), 1000, 400)
				row, _ = row.GrantNext(0, ahead, ahead > 0)
				put(t, s, limit, 0, row)
				rolled := 0
				for range 60 {
					wait(10 * time.Second)
					rolled += i.run(t).Rolled
				}
				if rolled != 1 {
					t.Errorf("%d rolls, want 1", rolled)
				}
			})
		})
	}
}

// Of a limit with shards, shard 0 is rolled first and says how many there are;
// those that it names follow, with its numbers.
func TestShards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpy()
		i := start(t, setup{store: s, limits: []maintenance.Limit{limit}})
		w := limit.Period.Window(time.Now())
		zero := spent(w, 1000, 40)
		zero.Shards, zero.NextShards, zero.WantShards = 4, 3, 2
		zero.Holders = 30
		put(t, s, limit, 0, zero)
		for shard := int64(1); shard < 4; shard++ {
			row := spent(w, 1000, 40)
			row.Shards, row.NextShards, row.WantShards = 4, 4, 4 // not theirs to say
			put(t, s, limit, shard, row)
		}
		wait(70 * time.Second)
		if r := i.run(t); r.Rolled != 3 {
			t.Errorf("%d rows rolled, want shards 0 to 2", r.Rolled)
		}
		next := limit.Period.Next(w)
		for shard, want := range []quota.Window{next, next, next, w} {
			row, _ := get(t, s, limit, int64(shard))
			if row.Window != want {
				t.Errorf("shard %d is in window %d, want %d", shard, row.Window, want)
			}
			if want == next && (row.Shards != 3 || row.NextShards != 2 || row.Granted != 0) {
				t.Errorf("shard %d says %d and %d shards, %d granted; want 3, 2, 0", shard, row.Shards, row.NextShards, row.Granted)
			}
		}
	})
}

// A shard of which units were taken ahead is left to those who took them, and so
// are all shards as long as shard 0 is ahead of the clock: it speaks of another
// window then.
func TestShardsThatAreLeftAlone(t *testing.T) {
	tests := []struct {
		name  string
		zero  func(w quota.Window) quota.Row
		shard func(w quota.Window) quota.Row
	}{
		{"units taken ahead", func(w quota.Window) quota.Row { return spent(quota.Minute.Next(w), 1000, 40) }, func(w quota.Window) quota.Row {
			row := spent(w, 1000, 40)
			row.NextGranted, row.NextHolders = 5, 1
			return row
		}},
		{"nobody used it", func(w quota.Window) quota.Row { return spent(quota.Minute.Next(w), 1000, 40) }, func(w quota.Window) quota.Row { return quota.New(w, 1000) }},
		{"shard 0 is ahead", func(w quota.Window) quota.Row { return spent(quota.Minute.Next(quota.Minute.Next(w)), 1000, 40) }, func(w quota.Window) quota.Row { return spent(w, 1000, 40) }},
		{"shard 0 has units taken ahead", func(w quota.Window) quota.Row {
			row, _ := spent(w, 1000, 40).GrantNext(0, 5, true)
			return row
		}, func(w quota.Window) quota.Row { return spent(w, 1000, 40) }},
		{"shard 0 does not name it", func(w quota.Window) quota.Row {
			return spent(quota.Minute.Next(w), 1000, 40)
		}, func(w quota.Window) quota.Row { return spent(w, 1000, 40) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSpy()
				i := start(t, setup{store: s, limits: []maintenance.Limit{limit}})
				w := limit.Period.Window(time.Now())
				zero, shard := test.zero(w), test.shard(w)
				zero.NextShards, zero.WantShards = 2, 2
				if zero.Shards = 2; test.name == "shard 0 does not name it" {
					zero.Shards = 1
				}
				put(t, s, limit, 0, zero)
				put(t, s, limit, 1, shard)
				wait(70 * time.Second)
				if r := i.run(t); r.Rolled != 0 {
					t.Errorf("%d rows rolled, want 0", r.Rolled)
				}
			})
		})
	}
}

// Whoever rolls a row is the last to know how many instances its window had: the
// number of shards shrinks with them, by half, once a quarter is left. It never grows here,
// since the largest request is not known.
func TestShardsShrinkWithTheRoll(t *testing.T) {
	for holders, want := range map[int64]int64{1: 2, 30: 2, 40: 4, 4000: 4} {
		t.Run(fmt.Sprint(holders), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSpy()
				i := start(t, setup{store: s, limits: []maintenance.Limit{limit}})
				row := spent(limit.Period.Window(time.Now()), 1000, 40)
				row.Shards, row.NextShards, row.WantShards, row.Holders = 1, 1, 4, holders
				put(t, s, limit, 0, row)
				wait(70 * time.Second)
				i.run(t)
				if got, _ := get(t, s, limit, 0); got.WantShards != want {
					t.Errorf("%d shards wanted, want %d", got.WantShards, want)
				}
			})
		})
	}
}

// The limits of all deployments are read with one query, which does not touch the
// rows of consumers.
func TestOneQueryReadsAllLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpy()
		limits := []maintenance.Limit{
			{Key: "deployment/ptu/gpt-4o/tokens", Period: quota.Minute},
			{Key: "deployment/ptu/gpt-4o/requests", Period: quota.TenSeconds},
			{Key: "deployment/payg/gpt-4o/tokens", Period: quota.Minute},
		}
		for _, l := range limits {
			put(t, s, l, 0, spent(l.Period.Window(time.Now()), 1000, 40))
		}
		put(t, s, maintenance.Limit{Key: "consumer/a/tokens", Period: quota.Minute}, 0, spent(limit.Period.Window(time.Now()), 1000, 40))
		i := start(t, setup{store: s, limits: limits})
		wait(65 * time.Second)
		if r := i.run(t); r.Rolled != 3 {
			t.Errorf("%d rows rolled, want 3", r.Rolled)
		}
		var prefixes []string
		for _, f := range s.filters {
			if f.Prefix != "" {
				prefixes = append(prefixes, f.Prefix)
			}
		}
		if len(prefixes) != 2 || prefixes[0] != "quota!deployment/" || prefixes[1] != quota.Prefix {
			t.Errorf("queries for %q, want one for the deployments and one to sweep", prefixes)
		}
	})
}

// Two runs at once do what one does: the row is rolled once.
func TestTwoRunsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSpy()
		// Both have read the row before one of them writes.
		var both sync.WaitGroup
		both.Add(2)
		s.before = func(call string, key store.Key) {
			if call == "replace" && key == keyOf(limit, 0) {
				both.Done()
				both.Wait()
			}
		}
		row := spent(limit.Period.Window(time.Now()), 1000, 400)
		put(t, s, limit, 0, row)
		instances := []instance{
			start(t, setup{name: "one", store: s, limits: []maintenance.Limit{limit}}),
			start(t, setup{name: "two", store: s, limits: []maintenance.Limit{limit}}),
		}
		wait(70 * time.Second)
		var group sync.WaitGroup
		reports := make([]maintenance.Report, 2)
		for n, i := range instances {
			group.Go(func() { reports[n] = i.run(t) })
		}
		group.Wait()
		if sum := reports[0].Rolled + reports[1].Rolled; sum != 1 || s.count("replace") != 2 {
			t.Errorf("%d rolls by %d writes, want 1 by 2", sum, s.count("replace"))
		}
		got, _ := get(t, s, limit, 0)
		if want := row.Roll(limit.Period, limit.Period.Next(row.Window)); got != want {
			t.Errorf("the row is %+v, want %+v", got, want)
		}
	})
}

// For whoever grants next, in whichever window, a row that was rolled and one
// that was not are the same, to the last column. A run has decided nothing.
func TestARollDecidesNothing(t *testing.T) {
	periods := []quota.Period{quota.Minute, quota.TenSeconds, quota.Hour, quota.Day, quota.Week, quota.Month}
	rapid.Check(t, func(t *rapid.T) {
		period := rapid.SampledFrom(periods).Draw(t, "period")
		start := time.Unix(rapid.Int64Range(1_700_000_000, 1_900_000_000).Draw(t, "second"), 0)
		limit := maintenance.Limit{Key: "k", Period: period}
		w := period.Window(start)
		amount := rapid.Int64Range(1, 1000)
		row := quota.New(w, amount.Draw(t, "limit"))
		row.NextLimit = amount.Draw(t, "next limit")
		row.Granted = rapid.Int64Range(0, row.Limit).Draw(t, "granted")
		row.NextGranted = rapid.Int64Range(0, row.NextLimit).Draw(t, "granted ahead")
		row.Holders = rapid.Int64Range(0, 20).Draw(t, "holders")
		row.NextHolders = rapid.Int64Range(0, 20).Draw(t, "holders ahead")

		s := memory.New()
		if _, err := s.Insert(context.Background(), keyOf(limit, 0), row.Columns()); err != nil {
			t.Fatal(err)
		}
		// A run at some moment of the next three windows.
		now := period.End(w).Add(time.Duration(rapid.Float64Range(0, 3).Draw(t, "later") * float64(period.End(w).Sub(w.Start()))))
		m := startAt(t, s, now, limit)
		m.Run(context.Background())

		stored, err := s.Get(context.Background(), keyOf(limit, 0))
		if errors.Is(err, store.ErrNotFound) {
			t.Skip("idle for a day, and swept")
		}
		rolled, err := quota.Decode(period, stored.Columns)
		if err != nil {
			t.Fatal(err)
		}
		inForce := amount.Draw(t, "amount in force")
		for at, n := period.Window(now), 0; n < 3; at, n = period.Next(at), n+1 {
			with, without := rolled.Roll(period, at).WithLimit(inForce), row.Roll(period, at).WithLimit(inForce)
			if with != without {
				t.Fatalf("%d windows on it is\n%+v after a run, and\n%+v without", n, with, without)
			}
		}
	})
}
