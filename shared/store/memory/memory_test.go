package memory_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
