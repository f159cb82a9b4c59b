package quota

import (
	"errors"
	"maps"
	"math"
	"strings"
	"testing"
)

var sample = Row{
	Window: 120, Granted: 1, Holders: 2, NextGranted: 3, NextHolders: 4, PrevHolders: 5,
	Limit: 6, NextLimit: 7, LimitSince: 11, Shards: 8, NextShards: 9, WantShards: 10, Nonces: "n", By: "instance",
}

func TestColumns(t *testing.T) {
	got, err := Decode(Minute, sample.Columns())
	if err != nil || got != sample {
		t.Errorf("%+v, %v; want %+v", got, err, sample)
	}
	columns := sample.Columns()
	columns["FromTheFuture"] = true
	if got, err := Decode(Minute, columns); err != nil || got != sample {
		t.Errorf("with a further column: %+v, want %+v, %v", got, sample, err)
	}
}

func TestDecodeRejects(t *testing.T) {
	for _, c := range []struct {
		name   string
		column string
		value  any
	}{
		{"a newer version's row", "Format", int64(Format + 1)},
		{"no number for a version", "Format", "1"},
		{"text for a number", "Granted", "12"},
		{"fraction", "Granted", 12.0},
		{"negative", "Granted", int64(-1)},
		{"overflow", "Granted", int64(math.MaxInt64)},
		{"negative holders", "Holders", int64(-1)},
		{"absurd holders", "PrevHolders", int64(1) << 40},
		{"no shards", "Shards", int64(0)},
		{"too many shards", "NextShards", int64(MaxShards + 1)},
		{"window off its period", "Window", int64(121)},
		{"limit set before 1970", "LimitSince", int64(-1)},
		{"limit set after 2255", "LimitSince", int64(1)<<53 + 1},
		{"window before 1970", "Window", int64(-60)},
		{"window after 9999", "Window", int64(math.MaxInt64)},
		{"number for a text", "Nonce", int64(5)},
		{"long nonce", "Nonce", strings.Repeat("x", 1025)},
		{"nothing for a text", "By", nil},
	} {
		columns := maps.Clone(sample.Columns())
		columns[c.column] = c.value
		if got, err := Decode(Minute, columns); !errors.Is(err, ErrRow) || got != (Row{}) {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
	for name := range sample.Columns() {
		columns := sample.Columns()
		delete(columns, name)
		if _, err := Decode(Minute, columns); !errors.Is(err, ErrRow) {
			t.Errorf("without %s: %v", name, err)
		}
	}
	if _, err := Decode(Minute, nil); !errors.Is(err, ErrRow) {
		t.Errorf("no columns: %v", err)
	}
}

func TestPartition(t *testing.T) {
	if got, want := Partition("consumer!a!tokens", TenSeconds, 3), "quota!consumer!a!tokens!10s!3"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// A partition tells what it is of, whatever the key is made of; nothing else is
// taken for one.
func TestParsePartition(t *testing.T) {
	for _, key := range []string{"consumer!a!tokens", "", "!", "a!minute!0", "\xff/?#"} {
		for p := Minute; p <= Month; p++ {
			for _, shard := range []int64{0, 1, MaxShards - 1} {
				k, period, s, ok := ParsePartition(Partition(key, p, shard))
				if !ok || k != key || period != p || s != shard {
					t.Errorf("%q %v %d became %q %v %d %v", key, p, shard, k, period, s, ok)
				}
			}
		}
	}
	for _, text := range []string{
		"", "quota!", "quota!k", "quota!k!minute", "quota!k!minute!", "quota!k!minute!-1", "quota!k!minute!+1", "quota!k!minute!01",
		"quota!k!minute!64", "quota!k!year!0", "breaker!k!minute!0", "Quota!k!minute!0", "quota!k!minute!0!",
	} {
		if k, p, s, ok := ParsePartition(text); ok {
			t.Errorf("%q is taken for %q %v %d", text, k, p, s)
		}
	}
}

// FuzzParsePartition: what is taken for a partition is one, to the letter.
func FuzzParsePartition(f *testing.F) {
	f.Add("quota!consumer!a!tokens!10s!3")
	f.Add("quota!!minute!64")
	f.Fuzz(func(t *testing.T, text string) {
		if key, p, shard, ok := ParsePartition(text); ok && Partition(key, p, shard) != text {
			t.Fatalf("%q was read as %q %v %d", text, key, p, shard)
		}
	})
}

// FuzzDecodeRow: whatever the columns hold, decoding fails or gives a row that the
// arithmetic can work with and that is written back as it was read.
func FuzzDecodeRow(f *testing.F) {
	f.Add(uint8(0), int64(120), int64(1), int64(2), int64(3), int64(100), int64(4), "n", "i", uint16(0))
	f.Add(uint8(5), int64(0), int64(math.MaxInt64), int64(-1), int64(1)<<53, int64(1)<<53, int64(64), "", "\xff", uint16(3))
	f.Fuzz(func(t *testing.T, period uint8, window, granted, next, holders, limit, shards int64, nonce, by string, broken uint16) {
		columns := map[string]any{
			"Format": int64(Format), "Window": window, "Granted": granted, "Holders": holders, "NextGranted": next, "NextHolders": holders,
			"PrevHolders": holders, "Limit": limit, "NextLimit": limit, "LimitSince": next, "Shards": shards, "NextShards": shards,
			"WantShards": shards, "Nonce": nonce, "By": by,
		}
		// Some columns are missing or of another type.
		for i, name := range []string{"Window", "Granted", "Limit", "Shards", "Nonce", "By", "Holders", "Format"} {
			switch broken >> (2 * i) & 3 {
			case 1:
				delete(columns, name)
			case 2:
				columns[name] = float64(limit)
			case 3:
				columns[name] = by
			}
		}
		p := Period(period)
		row, err := Decode(p, columns)
		if err != nil {
			if !errors.Is(err, ErrRow) || row != (Row{}) {
				t.Fatalf("%+v, %v", row, err)
			}
			return
		}
		if again, err := Decode(p, row.Columns()); err != nil || again != row {
			t.Fatalf("%+v became %+v, %v", row, again, err)
		}
		holds(t, row, 0)
		rolled := row.Roll(p, p.Next(row.Window)).WithLimit(limit)
		holds(t, rolled, 0)
		holds(t, rolled.WithLimitSince(granted, next), 0)
		n := Chunk(Ask{Want: granted, Floor: next, Demand: holders, Left: rolled.Left(0), Holders: rolled.Sharers()})
		after, ok := rolled.Grant(0, n, true)
		if !ok || after.Granted > max(rolled.Granted, Share(rolled.Limit, rolled.Shards, 0)) {
			t.Fatalf("granted %d from %+v: %v", n, rolled, ok)
		}
	})
}
