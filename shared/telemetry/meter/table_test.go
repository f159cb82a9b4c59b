package meter_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"
	"time"

	"spillway/shared/quota"
	"spillway/shared/store"
	"spillway/shared/store/memory"
)

// broken is a store whose every operation ends with an error.
type broken struct{ err error }

func (b broken) Get(context.Context, store.Key) (store.Row, error) { return store.Row{}, b.err }
func (b broken) Insert(context.Context, store.Key, store.Columns) (string, error) {
	return "", b.err
}
func (b broken) Replace(context.Context, store.Key, store.Columns, string) (string, error) {
	return "", b.err
}
func (b broken) Delete(context.Context, store.Key, string) error { return b.err }
func (b broken) Query(context.Context, store.Filter) iter.Seq2[store.Row, error] {
	return func(yield func(store.Row, error) bool) { yield(store.Row{}, b.err) }
}

// Each operation on the shared state is counted by its outcome and by the kind of its
// rows, and answers as the store behind it does.
func TestTableOperations(t *testing.T) {
	m, reader := newMeter(t, 0)
	s := m.Store(memory.New())
	key := store.Key{Partition: "usage!2026", Row: "a"}
	columns := store.Columns{"N": int64(1)}
	etag, err := s.Insert(t.Context(), key, columns)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Insert(t.Context(), key, columns); err == nil {
		t.Error("a second insert passes")
	}
	if etag, err = s.Replace(t.Context(), key, columns, etag); err != nil {
		t.Fatal(err)
	}
	row, err := s.Get(t.Context(), key)
	if err != nil || row.ETag != etag || row.Columns["N"] != int64(1) {
		t.Errorf("the row is %+v, %v", row, err)
	}
	for range s.Query(t.Context(), store.Filter{Partition: "breaker"}) {
		t.Error("there is a row of a breaker")
	}
	if err := s.Delete(t.Context(), key, etag); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), key); err == nil {
		t.Error("a row that was deleted is there")
	}
	want := map[string]float64{
		"spillway.outcome=ok,spillway.table.operation=insert,spillway.table.rows=usage":       1,
		"spillway.outcome=conflict,spillway.table.operation=insert,spillway.table.rows=usage": 1,
		"spillway.outcome=ok,spillway.table.operation=replace,spillway.table.rows=usage":      1,
		"spillway.outcome=ok,spillway.table.operation=get,spillway.table.rows=usage":          1,
		"spillway.outcome=not_found,spillway.table.operation=get,spillway.table.rows=usage":   1,
		"spillway.outcome=ok,spillway.table.operation=query,spillway.table.rows=breaker":      1,
		"spillway.outcome=ok,spillway.table.operation=delete,spillway.table.rows=usage":       1,
	}
	got := numbers(t, reader)
	expect(t, got, "spillway.table.operations", want)
	expect(t, got, "spillway.table.operation.duration", want)
}

// Every error of the contract has its outcome.
func TestTableOutcomes(t *testing.T) {
	for outcome, err := range map[string]error{
		"not_found": store.ErrNotFound, "conflict": store.ErrConflict, "ambiguous": store.ErrAmbiguous,
		"unavailable": store.ErrUnavailable, "invalid": store.ErrInvalid, "other": context.Canceled,
	} {
		m, reader := newMeter(t, 0)
		s := m.Store(broken{fmt.Errorf("the reason: %w", err)})
		key := store.Key{Partition: "quota!a!minute!0", Row: quota.RowKey}
		_, _ = s.Get(t.Context(), key)
		_, _ = s.Insert(t.Context(), key, nil)
		_, _ = s.Replace(t.Context(), key, nil, "1")
		_ = s.Delete(t.Context(), key, "1")
		for range s.Query(t.Context(), store.Filter{Prefix: "quota!"}) {
		}
		want := make(map[string]float64)
		for _, operation := range []string{"get", "insert", "replace", "delete", "query"} {
			want["spillway.outcome="+outcome+",spillway.table.operation="+operation+",spillway.table.rows=quota"] = 1
		}
		expect(t, numbers(t, reader), "spillway.table.operations", want)
	}
}

// A write that grants more than the limit is an over-grant; one that leaves a row above
// a limit that was cut is none.
func TestOvergrants(t *testing.T) {
	const limit = 100
	window := quota.Minute.Window(time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC))
	row := func(change func(*quota.Row)) quota.Row {
		r := quota.New(window, limit)
		change(&r)
		return r
	}
	granted := func(n int64) quota.Row { return row(func(r *quota.Row) { r.Granted = n }) }
	for _, c := range []struct {
		name   string
		writes []quota.Row
		want   float64
	}{
		{"within the limit", []quota.Row{granted(40), granted(100)}, 0},
		{"a new row beyond it", []quota.Row{granted(130)}, 30},
		{"beyond it", []quota.Row{granted(90), granted(101)}, 1},
		{"further beyond it counts what is new", []quota.Row{granted(110), granted(115)}, 10 + 5},
		{"a cut", []quota.Row{granted(90), granted(90).WithLimit(50)}, 0},
		{"a grant after a cut", []quota.Row{granted(90), row(func(r *quota.Row) { r.Granted, r.Limit = 91, 50 })}, 1},
		{"given back", []quota.Row{granted(90), granted(60)}, 0},
		{"the share of a shard", []quota.Row{row(func(r *quota.Row) { r.Granted, r.Shards = 60, 2 })}, 10},
		{"ahead of the edge", []quota.Row{granted(0), row(func(r *quota.Row) { r.NextGranted = 120 })}, 20},
		{"the next window begins with what was granted ahead", []quota.Row{
			row(func(r *quota.Row) { r.NextGranted = 80 }),
			row(func(r *quota.Row) { r.Window, r.Granted = quota.Minute.Next(window), 120 }),
		}, 20},
		{"a later window begins with nothing", []quota.Row{
			granted(100), row(func(r *quota.Row) { r.Window, r.Granted = quota.Minute.Next(quota.Minute.Next(window)), 100 }),
		}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			key := store.Key{Partition: quota.Partition("deployment/ptu/gpt-4o-ptu/tokens", quota.Minute, 0), Row: quota.RowKey}
			for way, write := range map[string]func(store.Store, store.Key, []quota.Row) error{"columns": writeColumns, "records": writeRecords} {
				m, reader := newMeter(t, 0)
				if err := write(m.Store(memory.New()), key, c.writes); err != nil {
					t.Fatalf("%s: %v", way, err)
				}
				expect(t, numbers(t, reader), "spillway.lease.overgranted", map[string]float64{
					"spillway.backend=ptu,spillway.deployment=gpt-4o-ptu,spillway.limit.owner=deployment,spillway.limit.unit=tokens": c.want,
				})
			}
		})
	}
}

// writeColumns writes a row again and again as a store elsewhere is told of it.
func writeColumns(s store.Store, key store.Key, rows []quota.Row) error {
	etag, err := s.Insert(context.Background(), key, rows[0].Columns())
	for _, r := range rows[1:] {
		if err == nil {
			etag, err = s.Replace(context.Background(), key, r.Columns(), etag)
		}
	}
	return err
}

// writeRecords writes it as a store in this process is told.
func writeRecords(s store.Store, key store.Key, rows []quota.Row) error {
	var before store.Record
	for _, r := range rows {
		if err := s.(store.Local).SwapRecord(key, before, &r); err != nil {
			return err
		}
		before = &r
	}
	return nil
}

// A store in this process stays one behind the counter, and its operations are counted
// under the same names. How long those on records take is not.
func TestLocalTableOperations(t *testing.T) {
	m, reader := newMeter(t, 0)
	s := m.Store(memory.New()).(store.Local)
	key := store.Key{Partition: "quota!a!minute!0", Row: "w"}
	first, second := quota.New(0, 1), quota.New(0, 2)
	for _, swap := range []struct {
		before, after store.Record
		err           error
	}{{nil, &first, nil}, {nil, &second, store.ErrConflict}, {&first, &second, nil}} {
		if err := s.SwapRecord(key, swap.before, swap.after); !errors.Is(err, swap.err) {
			t.Errorf("swap: %v, want %v", err, swap.err)
		}
	}
	if r, err := s.GetRecord(key); err != nil || r != &second {
		t.Errorf("the record is %v, %v", r, err)
	}
	if _, err := s.GetRecord(store.Key{Partition: "quota!b!minute!0"}); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a row that is not there: %v", err)
	}
	operation := func(name, outcome string) string {
		return "spillway.outcome=" + outcome + ",spillway.table.operation=" + name + ",spillway.table.rows=quota"
	}
	expect(t, numbers(t, reader), "spillway.table.operations", map[string]float64{
		operation("insert", "ok"): 1, operation("insert", "conflict"): 1, operation("replace", "ok"): 1,
		operation("get", "ok"): 1, operation("get", "not_found"): 1,
	})
	expect(t, numbers(t, reader), "spillway.table.operation.duration", nil)
}

// What another instance has granted is not this one's doing: a write is judged by the
// row as it was read, and one that was not read is not judged.
func TestOthersGrantsAreTheirs(t *testing.T) {
	window := quota.Minute.Window(time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC))
	over := quota.New(window, 100)
	over.Granted = 150
	shared := memory.New()
	key := store.Key{Partition: quota.Partition("consumer/team-a/tokens", quota.Minute, 0), Row: quota.RowKey}
	etag, err := shared.Insert(t.Context(), key, over.Columns())
	if err != nil {
		t.Fatal(err)
	}
	m, reader := newMeter(t, 0)
	s := m.Store(shared)
	if etag, err = s.Replace(t.Context(), key, over.Columns(), etag); err != nil {
		t.Fatal(err)
	}
	expect(t, numbers(t, reader), "spillway.lease.overgranted", nil)
	if _, err := s.Get(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if _, err = s.Replace(t.Context(), key, over.Columns(), etag); err != nil {
		t.Fatal(err)
	}
	for at, units := range counts(t, numbers(t, reader)["spillway.lease.overgranted"]) {
		if units != 0 {
			t.Errorf("%g units at %s are laid to this instance, want 0", units, at)
		}
	}
}
