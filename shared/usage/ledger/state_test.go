package ledger

import (
	"context"
	"iter"
	"math/rand/v2"
	"testing"
	"time"

	"spillway/shared/store"
	"spillway/shared/store/memory"
)

func at(text string) time.Time {
	t, err := time.Parse("2006-01-02T15", text)
	if err != nil {
		panic(err)
	}
	return t
}

// A state is read as it was written, and nothing that makes no sense is believed.
func TestState(t *testing.T) {
	good := state{
		Cleared: at("2026-07-31T10"), Gone: at("2026-07-31T11"), Folded: at("2026-08-01T10"), Closed: at("2026-08-01T12"),
		Adding: true, Generation: 7, Until: at("2026-08-01T14").Add(12 * time.Second), Nonce: "x",
	}
	if got, ok := decodeState(good.columns("one")); !ok || got != good {
		t.Errorf("read %+v, %v, want %+v", got, ok, good)
	}
	for name, spoil := range map[string]func(store.Columns){
		"another version":        func(c store.Columns) { c[columnFormat] = int64(2) },
		"no version":             func(c store.Columns) { delete(c, columnFormat) },
		"no mark":                func(c store.Columns) { delete(c, columnFolded) },
		"folded before cleared":  func(c store.Columns) { c[columnFolded] = at("2026-07-30T10") },
		"no whole hour":          func(c store.Columns) { c[columnClosed] = at("2026-08-01T12").Add(time.Second) },
		"before any hour":        func(c store.Columns) { c[columnCleared] = at("1999-07-31T10") },
		"a text":                 func(c store.Columns) { c[columnGone] = "2026-07-31T11:00:00Z" },
		"no generation":          func(c store.Columns) { delete(c, columnGeneration) },
		"a generation below one": func(c store.Columns) { c[columnGeneration] = int64(0) },
	} {
		columns := good.columns("one")
		spoil(columns)
		if got, ok := decodeState(columns); ok {
			t.Errorf("%s: believed as %+v", name, got)
		}
	}
}

// The next hour with pages is found, however far it is, with few questions.
func TestNextHour(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		s := memory.New()
		from := begin.Add(time.Duration(random.Int64N(27*365*24)) * time.Hour)
		to := from.Add(time.Duration(random.Int64N(3*365*24)) * time.Hour)
		want := to
		for range random.IntN(4) {
			hour := from.Add(time.Duration(random.Int64N(4*365*24)-365*24) * time.Hour)
			if _, err := s.Insert(t.Context(), store.Key{Partition: hourPartition(hour), Row: "x"}, nil); err != nil {
				continue // the same hour twice
			}
			if !hour.Before(from) && hour.Before(want) {
				want = hour
			}
		}
		counted := &counting{Store: s}
		got, err := nextHour(t.Context(), counted, from, to)
		if err != nil || !got.Equal(want) {
			t.Errorf("from %v to %v: %v, %v; want %v", from, to, got, err, want)
		}
		if counted.queries > 150 {
			t.Errorf("from %v to %v took %d questions, want at most 150", from, to, counted.queries)
		}
	}
}

// counting counts the queries of a store.
type counting struct {
	store.Store
	queries int
}

// Query implements store.Store.
func (c *counting) Query(ctx context.Context, f store.Filter) iter.Seq2[store.Row, error] {
	c.queries++
	return c.Store.Query(ctx, f)
}
