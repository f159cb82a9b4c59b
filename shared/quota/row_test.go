package quota

import (
	"testing"

	"pgregory.net/rapid"
)

// holds is what is true of every row at all times.
func holds(t interface {
	Helper()
	Fatalf(string, ...any)
}, r Row, shard int64) {
	t.Helper()
	if r.Granted < 0 || r.NextGranted < 0 || r.Left(shard) < 0 || r.NextLeft(shard) < 0 {
		t.Fatalf("below zero: %+v", r)
	}
	if r.Shards < 1 || r.NextShards < 1 || r.WantShards < 1 || max(r.Shards, r.NextShards, r.WantShards) > MaxShards {
		t.Fatalf("shards: %+v", r)
	}
}

const minute = Window(60)

func TestRoll(t *testing.T) {
	row := Row{
		Window: minute, Granted: 70, Holders: 3, NextGranted: 20, NextHolders: 2, PrevHolders: 9,
		Limit: 100, NextLimit: 120, Shards: 1, NextShards: 2, WantShards: 4, Nonces: "n", By: "i",
	}
	for _, c := range []struct {
		name string
		to   Window
		want Row
	}{
		{"back", 0, row},
		{"nowhere", minute, row},
		{"to the next window", 2 * minute, Row{
			Window: 2 * minute, Granted: 20, Holders: 2, PrevHolders: 3,
			Limit: 120, NextLimit: 120, Shards: 2, NextShards: 4, WantShards: 4, Nonces: "n", By: "i",
		}},
		{"over a gap", 3 * minute, Row{
			Window: 3 * minute,
			Limit:  120, NextLimit: 120, Shards: 4, NextShards: 4, WantShards: 4, Nonces: "n", By: "i",
		}},
	} {
		if got := row.Roll(Minute, c.to); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
		holds(t, row.Roll(Minute, c.to), 0)
	}
}

func TestLimitChanges(t *testing.T) {
	row := New(minute, 100)
	row, _ = row.Grant(0, 70, true)
	for _, c := range []struct {
		name                      string
		amount, left, next, rolls int64 // Left now, left ahead, left after the edge.
	}{
		{"same", 100, 30, 100, 100},
		{"cut", 80, 10, 80, 80},
		{"cut below what is granted", 50, 0, 50, 50},
		{"cut to nothing", -1, 0, 0, 0},
		{"raise", 200, 30, 200, 200},
		{"raise beyond all measure", 1 << 62, 30, MaxUnits, MaxUnits},
	} {
		changed := row.WithLimit(c.amount)
		holds(t, changed, 0)
		if changed.Left(0) != c.left || changed.NextLeft(0) != c.next || changed.Roll(Minute, 2*minute).Left(0) != c.rolls {
			t.Errorf("%s: left %d, ahead %d, after the edge %d; want %d, %d, %d", c.name,
				changed.Left(0), changed.NextLeft(0), changed.Roll(Minute, 2*minute).Left(0), c.left, c.next, c.rolls)
		}
		if changed.Granted != row.Granted {
			t.Errorf("%s: granted %d, was %d", c.name, changed.Granted, row.Granted)
		}
	}
}

// Of two amounts the one that was set later is in force, at once, whether it is less or
// more, whoever writes last. Of two that were set at the same moment it is the writer's.
func TestTheLaterLimitIsInForce(t *testing.T) {
	row := New(minute, 100).WithLimitSince(100, 20)
	row, _ = row.Grant(0, 70, true)
	for _, c := range []struct {
		name                            string
		amount, since                   int64
		limit, next, stored, left, over int64
	}{
		{"the same", 100, 20, 100, 100, 20, 30, 0},
		{"a later cut", 50, 21, 50, 50, 21, 0, 20},
		{"an earlier cut", 50, 19, 100, 100, 20, 30, 0},
		{"a later raise", 200, 21, 200, 200, 21, 130, 0},
		{"an earlier raise", 200, 19, 100, 100, 20, 30, 0},
		{"another of the same moment", 90, 20, 90, 90, 20, 20, 0},
		{"of no known moment", 200, 0, 200, 200, 0, 130, 0},
		{"below zero", -1, 21, 0, 0, 21, 0, 70},
		{"beyond all measure", 1 << 62, 1 << 62, MaxUnits, MaxUnits, maxSince, MaxUnits - 70, 0},
	} {
		changed := row.WithLimitSince(c.amount, c.since)
		holds(t, changed, 0)
		want := row
		want.Limit, want.NextLimit, want.LimitSince = c.limit, c.next, c.stored
		if changed != want || changed.Left(0) != c.left || changed.Over(0) != c.over {
			t.Errorf("%s: %+v with %d left and %d over, want %+v with %d and %d", c.name, changed, changed.Left(0), changed.Over(0), want, c.left, c.over)
		}
		if rolled := changed.Roll(Minute, 2*minute); rolled.Limit != c.next || rolled.LimitSince != c.stored {
			t.Errorf("%s, after the edge: %+v, want Limit %v, LimitSince %v", c.name, rolled, c.next, c.stored)
		}
	}
	if unknown := row.WithLimit(200); unknown.Limit != 100 || unknown.NextLimit != 200 || unknown.LimitSince != 0 {
		t.Errorf("without a moment: %+v, want 100, then 200", unknown)
	}
}

func TestGrantAndGiveBack(t *testing.T) {
	row := New(minute, 100)
	steps := []struct {
		name string
		do   func(Row) (Row, bool)
		ok   bool
		want int64 // Granted afterwards.
		next int64
	}{
		{"grant", func(r Row) (Row, bool) { return r.Grant(0, 60, true) }, true, 60, 0},
		{"too much", func(r Row) (Row, bool) { return r.Grant(0, 41, false) }, false, 60, 0},
		{"negative", func(r Row) (Row, bool) { return r.Grant(0, -1, false) }, false, 60, 0},
		{"all the rest", func(r Row) (Row, bool) { return r.Grant(0, 40, true) }, true, 100, 0},
		{"shard that is none", func(r Row) (Row, bool) { return r.Grant(1, 1, true) }, false, 100, 0},
		{"ahead", func(r Row) (Row, bool) { return r.GrantNext(0, 30, true) }, true, 100, 30},
		{"ahead, too much", func(r Row) (Row, bool) { return r.GrantNext(0, 71, true) }, false, 100, 30},
		{"back", func(r Row) (Row, bool) { return r.GiveBack(minute, 25) }, true, 75, 30},
		{"back, too much", func(r Row) (Row, bool) { return r.GiveBack(minute, 76) }, false, 75, 30},
		{"back, negative", func(r Row) (Row, bool) { return r.GiveBack(minute, -1) }, false, 75, 30},
		{"back, of another window", func(r Row) (Row, bool) { return r.GiveBack(0, 1) }, false, 75, 30},
		{"back ahead", func(r Row) (Row, bool) { return r.GiveBackNext(minute, 10) }, true, 75, 20},
		{"back ahead, too much", func(r Row) (Row, bool) { return r.GiveBackNext(minute, 21) }, false, 75, 20},
		{"back ahead, of another window", func(r Row) (Row, bool) { return r.GiveBackNext(2*minute, 1) }, false, 75, 20},
	}
	for _, s := range steps {
		before := row
		after, ok := s.do(row)
		if ok != s.ok || after.Granted != s.want || after.NextGranted != s.next {
			t.Fatalf("%s: %v, granted %d, ahead %d; want %v, %d, %d", s.name, ok, after.Granted, after.NextGranted, s.ok, s.want, s.next)
		}
		if !ok && after != before {
			t.Fatalf("%s failed and changed the row: %+v, was %+v", s.name, after, before)
		}
		if after.Granted > Share(after.Limit, after.Shards, 0) {
			t.Fatalf("%s: granted %d of %d, want at most %d", s.name, after.Granted, after.Limit, Share(after.Limit, after.Shards, 0))
		}
		row = after
		holds(t, row, 0)
	}
	if row.Holders != 2 || row.NextHolders != 1 || row.Sharers() != 2 {
		t.Errorf("%d holders, %d ahead, %d sharers; want 2, 1, 2", row.Holders, row.NextHolders, row.Sharers())
	}
}

func TestShare(t *testing.T) {
	for _, c := range []struct{ limit, shards, shard, want int64 }{
		{10, 1, 0, 10}, {10, 3, 0, 4}, {10, 3, 1, 3}, {10, 3, 2, 3}, {2, 4, 1, 1}, {2, 4, 2, 0},
		{10, 3, 3, 0}, {10, 3, -1, 0}, {10, 0, 0, 0}, {-5, 1, 0, 0}, {0, 1, 0, 0},
	} {
		if got := Share(c.limit, c.shards, c.shard); got != c.want {
			t.Errorf("Share(%d, %d, %d) is %d, want %d", c.limit, c.shards, c.shard, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Int64Range(0, MaxUnits).Draw(t, "limit")
		shards := rapid.Int64Range(1, MaxShards).Draw(t, "shards")
		var sum int64
		for i := range shards {
			sum += Share(limit, shards, i)
		}
		if sum != limit {
			t.Fatalf("the shares of %d add up to %d", limit, sum)
		}
	})
}

func TestChunk(t *testing.T) {
	for _, c := range []struct {
		name string
		ask  Ask
		want int64
	}{
		{"no demand: what is wanted", Ask{Want: 10, Left: 1000, Holders: 1}, 10},
		{"half of all, alone", Ask{Want: 10, Left: 1000, Demand: 5000, Holders: 1}, 500},
		{"half of a fair share", Ask{Want: 10, Left: 1000, Demand: 5000, Holders: 5}, 100},
		{"rounded up", Ask{Left: 1001, Demand: 5000, Holders: 5}, 101},
		{"no more than the demand", Ask{Want: 10, Left: 1000, Demand: 40, Holders: 1}, 40},
		{"at least the floor", Ask{Want: 10, Floor: 70, Left: 1000, Demand: 40, Holders: 1}, 70},
		{"at most what is left", Ask{Want: 10, Floor: 70, Left: 30, Holders: 1}, 30},
		{"want is all that is left", Ask{Want: 30, Left: 30, Demand: 900, Holders: 9}, 30},
		{"want does not fit", Ask{Want: 31, Left: 30, Demand: 900, Floor: 5}, 0},
		{"nothing left", Ask{Left: 0, Demand: 900}, 0},
		{"nothing wanted", Ask{Left: 30}, 0},
		{"no holders counts as one", Ask{Left: 100, Demand: 900, Holders: -3}, 50},
		{"huge", Ask{Want: 1, Left: MaxUnits, Demand: MaxUnits, Holders: 1}, MaxUnits / 2},
	} {
		got := Chunk(c.ask)
		if got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
		if got < 0 || got > max(c.ask.Left, 0) || got != 0 && got < c.ask.Want {
			t.Errorf("%s: %d is not between want and left", c.name, got)
		}
	}
}

func TestShardsFor(t *testing.T) {
	const plenty = 1 << 40
	for _, c := range []struct {
		name                               string
		current, instances, limit, largest int64
		want                               int64
	}{
		{"one instance", 1, 1, plenty, 100, 1},
		{"as many as one row serves", 1, 32, plenty, 100, 1},
		{"one more", 1, 33, plenty, 100, 2},
		{"a hundred", 1, 100, plenty, 100, 4},
		{"a thousand", 1, 1000, plenty, 100, 32},
		{"a million", 1, 1_000_000, plenty, 100, MaxShards},
		{"some left: stays", 8, 80, plenty, 100, 8},
		{"a quarter left: shrinks by half", 8, 64, plenty, 100, 4},
		{"one left: shrinks by half", 8, 1, plenty, 100, 4},
		{"of two, a quarter left", 2, 16, plenty, 100, 1},
		{"of two, some left: stays", 2, 17, plenty, 100, 2},
		{"requests too large for a share", 1, 1000, 1600, 100, 4},
		{"one request is the limit", 8, 1000, 100, 100, 1},
		{"more than there may be", 1000, 1_000_000, plenty, 1, MaxShards},
	} {
		if got := ShardsFor(c.current, c.instances, c.limit, c.largest); got != c.want {
			t.Errorf("%s: %d shards, want %d", c.name, got, c.want)
		}
	}
}

// TestReshard: growth shows at the edge after next; a window that began a moment ago
// with few holders shrinks nothing; a window that ended with few does.
func TestReshard(t *testing.T) {
	row := New(minute, 1<<40)
	row.Holders = 100
	row = row.Reshard(row, 10)
	if row.Shards != 1 || row.NextShards != 1 || row.WantShards != 4 {
		t.Fatalf("%+v, want 4 shards wanted", row)
	}
	second := row.Roll(Minute, 2*minute)
	third := second.Roll(Minute, 3*minute)
	if second.Shards != 1 || second.NextShards != 4 || third.Shards != 4 {
		t.Fatalf("%d, %d, %d shards; want 1, then 4", second.Shards, second.NextShards, third.Shards)
	}
	third.Holders = 1
	if got := third.Reshard(third, 10).WantShards; got != 4 {
		t.Errorf("early in a window: %d shards wanted, want 4", got)
	}
	if got := third.Roll(Minute, 4*minute).Reshard(third, 10).WantShards; got != 2 {
		t.Errorf("after a window with 4 instances: %d shards wanted, want 2", got)
	}
	if got := third.Reshard(third, 1<<38).WantShards; got != 1 {
		t.Errorf("with a large request: %d shards wanted, want 1", got)
	}
}

func TestShardsAt(t *testing.T) {
	row := Row{Window: minute, Shards: 2, NextShards: 4, WantShards: 8}
	for w, want := range map[Window]int64{0: 0, minute: 2, 2 * minute: 4, 3 * minute: 0} {
		if got, ok := row.ShardsAt(Minute, w); got != want || ok != (want > 0) {
			t.Errorf("window %d: %d, %v; want %d", w, got, ok, want)
		}
	}
}

// TestAnyHistoryOfARow: whatever is done to a row in whatever order, what is granted
// of a window stays within the highest limit the window had, nothing moves back,
// and an operation that fails changes nothing. (One long function: the actions share
// the row.)
func TestAnyHistoryOfARow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.Int64Range(0, 1000).Draw(t, "limit")
		row := New(minute, limit)
		shards := rapid.SampledFrom([]int64{1, 2, 4}).Draw(t, "shards")
		row.Shards, row.NextShards, row.WantShards = shards, shards, shards
		shard := rapid.Int64Range(0, shards-1).Draw(t, "shard")
		bound, nextBound := row.Left(shard), row.NextLeft(shard)
		try := func(t *rapid.T, after Row, ok bool) {
			if !ok && after != row {
				t.Fatalf("failed, and %+v became %+v", row, after)
			}
			row = after
		}
		units := func(t *rapid.T) int64 { return rapid.Int64Range(-2, 400).Draw(t, "units") }
		t.Repeat(map[string]func(*rapid.T){
			"grant": func(t *rapid.T) {
				after, ok := row.Grant(shard, units(t), rapid.Bool().Draw(t, "first"))
				try(t, after, ok)
			},
			"chunk": func(t *rapid.T) {
				n := Chunk(Ask{Want: units(t), Floor: units(t), Demand: units(t), Left: row.Left(shard), Holders: row.Sharers()})
				after, ok := row.Grant(shard, n, false)
				if !ok {
					t.Fatalf("a chunk of %d cannot be granted from %+v", n, row)
				}
				try(t, after, ok)
			},
			"grant ahead": func(t *rapid.T) {
				after, ok := row.GrantNext(shard, units(t), rapid.Bool().Draw(t, "first"))
				try(t, after, ok)
			},
			"give back": func(t *rapid.T) {
				after, ok := row.GiveBack(row.Window, units(t))
				try(t, after, ok)
			},
			"give back ahead": func(t *rapid.T) {
				after, ok := row.GiveBackNext(row.Window, units(t))
				try(t, after, ok)
			},
			"limit": func(t *rapid.T) {
				row = row.WithLimit(rapid.Int64Range(-1, 1000).Draw(t, "limit"))
				nextBound = max(nextBound, row.NextLeft(shard)+row.NextGranted)
			},
			"limit of a moment": func(t *rapid.T) {
				row = row.WithLimitSince(rapid.Int64Range(-1, 1000).Draw(t, "limit"), rapid.Int64Range(0, 9).Draw(t, "since"))
				bound = max(bound, row.Left(shard)+row.Granted)
				nextBound = max(nextBound, row.NextLeft(shard)+row.NextGranted)
			},
			"roll": func(t *rapid.T) {
				before := row
				row = row.Roll(Minute, row.Window+Window(60*rapid.IntRange(-2, 3).Draw(t, "windows")))
				switch {
				case row.Window < before.Window:
					t.Fatalf("moved back: %+v, was %+v", row, before)
				case row.Window > before.Window:
					bound = max(nextBound, Share(row.Limit, row.Shards, shard))
					nextBound = row.NextLeft(shard)
				}
			},
			"round trip": func(t *rapid.T) {
				got, err := Decode(Minute, row.Columns())
				if err != nil || got != row {
					t.Fatalf("%+v became %+v, %v", row, got, err)
				}
			},
			"": func(t *rapid.T) {
				holds(t, row, shard)
				if row.Granted > bound || row.NextGranted > nextBound {
					t.Fatalf("granted %d of %d, ahead %d of %d: %+v", row.Granted, bound, row.NextGranted, nextBound, row)
				}
			},
		})
	})
}
