package memory_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"spillway/shared/store"
	"spillway/shared/store/memory"
)

// The promises of every store are tested in tests/contract; here is what this
// one promises besides.

func TestQueryIsSortedAndOfOneMoment(t *testing.T) {
	ctx := context.Background()
	s := memory.New()
	for _, row := range []string{"b", "", "a/b", "\xff", "a", "B"} {
		if _, err := s.Insert(ctx, store.Key{Partition: "p", Row: row}, nil); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for row, err := range s.Query(ctx, store.Filter{Partition: "p"}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, row.Row)
		// Neither locked out nor seen: the sequence was cut at its start.
		if _, err := s.Insert(ctx, store.Key{Partition: "p", Row: row.Row + "+"}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"", "B", "a", "a/b", "b", "\xff"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestQueryByPrefixIsSorted(t *testing.T) {
	ctx := context.Background()
	s := memory.New()
	for _, k := range []store.Key{{Partition: "p/b", Row: "1"}, {Partition: "p/a", Row: "2"}, {Partition: "p", Row: "0"}, {Partition: "p/a", Row: "1"}, {Partition: "p/", Row: "9"}, {Partition: "p0", Row: "1"}} {
		if _, err := s.Insert(ctx, k, nil); err != nil {
			t.Fatal(err)
		}
	}
	var got []store.Key
	for row, err := range s.Query(ctx, store.Filter{Prefix: "p/"}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, row.Key)
	}
	if want := []store.Key{{Partition: "p/", Row: "9"}, {Partition: "p/a", Row: "1"}, {Partition: "p/a", Row: "2"}, {Partition: "p/b", Row: "1"}}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Hundreds of thousands of rows are read piece by piece: who writes meanwhile neither waits
// nor hides a row that stays.
func TestQueryOfMany(t *testing.T) {
	const many = 5000
	ctx := context.Background()
	s := memory.New()
	key := func(i int) store.Key { return store.Key{Partition: fmt.Sprintf("partition/%d", i), Row: "r"} }
	for i := range many {
		if _, err := s.Insert(ctx, key(i), nil); err != nil {
			t.Fatal(err)
		}
	}
	seen := make(map[store.Key]int)
	for row, err := range s.Query(ctx, store.Filter{Prefix: "partition/"}) {
		if err != nil {
			t.Fatal(err)
		}
		seen[row.Key]++
		if _, err := s.Insert(ctx, store.Key{Partition: "new/" + row.Partition, Row: "r"}, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Replace(ctx, row.Key, nil, row.ETag); err != nil {
			t.Fatal(err)
		}
	}
	for i := range many {
		if seen[key(i)] != 1 {
			t.Fatalf("%v was seen %d times, want once", key(i), seen[key(i)])
		}
	}
	ended, end := context.WithCancel(ctx)
	defer end()
	rows := 0
	var last error
	for _, err := range s.Query(ended, store.Filter{Prefix: "partition/"}) {
		end()
		rows++
		last = err
	}
	if rows == many || !errors.Is(last, store.ErrUnavailable) {
		t.Errorf("%d rows and %v after the context ended, want fewer than %d and %v", rows, last, many, store.ErrUnavailable)
	}
}

func TestWorksInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memory.New()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		for i := range 10 {
			go func() {
				<-time.After(time.Duration(i) * time.Second)
				if _, err := s.Insert(ctx, store.Key{Partition: "p", Row: fmt.Sprint(i)}, nil); err != nil {
					t.Error(err)
				}
			}()
		}
		<-ctx.Done()
		rows := 0
		for _, err := range s.Query(context.Background(), store.Filter{Partition: "p"}) {
			if err != nil {
				t.Error(err)
			}
			rows++
		}
		if rows != 10 {
			t.Errorf("%d rows, want 10", rows)
		}
		if _, err := s.Get(ctx, store.Key{}); !errors.Is(err, store.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("get after the deadline: %v", err)
		}
	})
}

// text is a record.
type text string

func (r *text) Columns() map[string]any { return map[string]any{"Text": string(*r)} }

// A record stands for its columns, whoever reads them, and is swapped only for the one
// that is there.
func TestSwapRecord(t *testing.T) {
	ctx := context.Background()
	s := memory.New()
	key := store.Key{Partition: "p", Row: "r"}
	first, second, twin := text("first"), text("second"), text("first")
	if _, err := s.GetRecord(key); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a row that is not there: %v", err)
	}
	swap := func(before, after store.Record, want error) {
		t.Helper()
		if err := s.SwapRecord(key, before, after); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	swap(&first, &second, store.ErrConflict)
	swap(nil, &first, nil)
	swap(nil, &second, store.ErrConflict)
	swap(&twin, &second, store.ErrConflict) // Equal, but another.
	row, err := s.Get(ctx, key)
	if err != nil || row.Columns["Text"] != "first" {
		t.Fatalf("%v, %v", row, err)
	}
	swap(&first, &second, nil)
	if _, err := s.Replace(ctx, key, store.Columns{"Text": "third"}, row.ETag); !errors.Is(err, store.ErrConflict) {
		t.Errorf("the ETag from before the swap: %v", err)
	}
	for row, err = range s.Query(ctx, store.Filter{Partition: "p"}) {
		if err != nil || row.Columns["Text"] != "second" {
			t.Fatalf("%v, %v", row, err)
		}
	}
	if _, err := s.Replace(ctx, key, store.Columns{"Text": "third"}, row.ETag); err != nil {
		t.Fatal(err)
	}
	swap(&second, &first, store.ErrConflict)
	third, err := s.GetRecord(key)
	if err != nil || third.Columns()["Text"] != "third" {
		t.Fatalf("%v, %v", third, err)
	}
	swap(third, &first, nil)
	key.Row = strings.Repeat("r", 2000)
	swap(nil, &first, store.ErrInvalid)
}
