package contract

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"spillway/shared/store"
	"spillway/tests/pause"
)

// A row as a compare-and-swap register.

func testReadBack(t *testing.T, s store.Store) {
	k := key("p", "r")
	wantNoRow(t, s, k)
	etag := insert(t, s, k, store.Columns{"A": int64(1), "B": "two"})
	wantRow(t, s, k, store.Columns{"A": int64(1), "B": "two"}, etag)
	wantNoRow(t, s, key("p", "r2"))
	wantNoRow(t, s, key("p2", "r"))
	empty := insert(t, s, key("p", "no columns"), nil)
	wantRow(t, s, key("p", "no columns"), store.Columns{}, empty)
}

func testInsertTwice(t *testing.T, s store.Store) {
	k := key("p", "r")
	etag := insert(t, s, k, store.Columns{"A": int64(1)})
	_, err := s.Insert(context.Background(), k, store.Columns{"A": int64(2)})
	wantError(t, "second insert", err, store.ErrConflict)
	wantRow(t, s, k, store.Columns{"A": int64(1)}, etag)
}

func testReplace(t *testing.T, s store.Store) {
	ctx := context.Background()
	k := key("p", "r")
	other := insert(t, s, key("p", "other"), nil)
	_, err := s.Replace(ctx, k, nil, other)
	wantError(t, "replace of a row that does not exist", err, store.ErrNotFound)
	wantNoRow(t, s, k)

	first := insert(t, s, k, store.Columns{"A": int64(1)})
	second := replace(t, s, k, store.Columns{"A": int64(2)}, first)
	wantRow(t, s, k, store.Columns{"A": int64(2)}, second)
	for _, stale := range []string{first, other} {
		_, err = s.Replace(ctx, k, store.Columns{"A": int64(3)}, stale)
		wantError(t, "replace with another ETag", err, store.ErrConflict)
	}
	wantRow(t, s, k, store.Columns{"A": int64(2)}, second)

	// Writing what is there already is a write all the same.
	third := replace(t, s, k, store.Columns{"A": int64(2)}, second)
	_, err = s.Replace(ctx, k, store.Columns{"A": int64(3)}, second)
	wantError(t, "replace with the ETag before an equal write", err, store.ErrConflict)
	wantRow(t, s, k, store.Columns{"A": int64(2)}, third)
}

func testReplaceDropsColumns(t *testing.T, s store.Store) {
	k := key("p", "r")
	etag := insert(t, s, k, store.Columns{"A": int64(1), "B": int64(2)})
	etag = replace(t, s, k, store.Columns{"C": int64(3)}, etag)
	wantRow(t, s, k, store.Columns{"C": int64(3)}, etag)
}

func testDelete(t *testing.T, s store.Store) {
	ctx := context.Background()
	k := key("p", "r")
	first := insert(t, s, k, store.Columns{"A": int64(1)})
	second := replace(t, s, k, store.Columns{"A": int64(2)}, first)
	wantError(t, "delete with a stale ETag", s.Delete(ctx, k, first), store.ErrConflict)
	wantRow(t, s, k, store.Columns{"A": int64(2)}, second)
	wantError(t, "delete", s.Delete(ctx, k, second), nil)
	wantNoRow(t, s, k)
	wantError(t, "second delete", s.Delete(ctx, k, second), store.ErrNotFound)
	_, err := s.Replace(ctx, k, store.Columns{"A": int64(3)}, second)
	wantError(t, "replace after delete", err, store.ErrNotFound)
	wantNoRow(t, s, k)
}

func testRecreated(t *testing.T, s store.Store) {
	ctx := context.Background()
	k := key("p", "r")
	old := insert(t, s, k, store.Columns{"A": int64(1)})
	wantError(t, "delete", s.Delete(ctx, k, old), nil)
	etag := insert(t, s, k, store.Columns{"A": int64(1)})
	_, err := s.Replace(ctx, k, store.Columns{"A": int64(2)}, old)
	wantError(t, "replace with the ETag of a former row", err, store.ErrConflict)
	wantError(t, "delete with the ETag of a former row", s.Delete(ctx, k, old), store.ErrConflict)
	wantRow(t, s, k, store.Columns{"A": int64(1)}, etag)
}

func testNoBlindWrites(t *testing.T, s store.Store) {
	ctx := context.Background()
	k := key("p", "r")
	for _, blind := range []string{"", "*"} {
		_, err := s.Replace(ctx, k, nil, blind)
		wantError(t, "blind replace of nothing", err, store.ErrInvalid)
	}
	wantNoRow(t, s, k)
	etag := insert(t, s, k, store.Columns{"A": int64(1)})
	for _, blind := range []string{"", "*"} {
		_, err := s.Replace(ctx, k, store.Columns{"A": int64(2)}, blind)
		wantError(t, "blind replace", err, store.ErrInvalid)
		wantError(t, "blind delete", s.Delete(ctx, k, blind), store.ErrInvalid)
	}
	wantRow(t, s, k, store.Columns{"A": int64(1)}, etag)
}

func testEndedContext(t *testing.T, s store.Store) {
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	expired, cancel := context.WithDeadline(context.Background(), time.Unix(0, 0))
	defer cancel()
	k := key("p", "r")
	etag := insert(t, s, k, store.Columns{"A": int64(1)})
	for _, ctx := range []context.Context{canceled, expired} {
		_, err := s.Get(ctx, k)
		wantError(t, "get", err, store.ErrUnavailable)
		if !errors.Is(err, ctx.Err()) {
			t.Errorf("get: %v does not say %v", err, ctx.Err())
		}
		_, err = s.Insert(ctx, key("p", "new"), nil)
		wantError(t, "insert", err, store.ErrUnavailable)
		_, err = s.Replace(ctx, k, nil, etag)
		wantError(t, "replace", err, store.ErrUnavailable)
		wantError(t, "delete", s.Delete(ctx, k, etag), store.ErrUnavailable)
		asked := false
		for _, err := range s.Query(ctx, store.Filter{Partition: "p"}) {
			wantError(t, "query", err, store.ErrUnavailable)
			asked = true
		}
		if !asked {
			t.Error("query: no error")
		}
	}
	wantRow(t, s, k, store.Columns{"A": int64(1)}, etag)
	wantNoRow(t, s, key("p", "new"))
}

func testInsertRace(t *testing.T, s store.Store) {
	const clients, rows = 8, 20
	var winners [rows]atomic.Int64
	var all sync.WaitGroup
	for client := range clients {
		all.Go(func() {
			for row := range rows {
				columns := store.Columns{"Winner": int64(client)}
				_, err := s.Insert(context.Background(), key("p", fmt.Sprint(row)), columns)
				switch {
				case err == nil:
					winners[row].Add(1)
				case !errors.Is(err, store.ErrConflict):
					t.Errorf("insert: %v", err)
				}
			}
		})
	}
	all.Wait()
	for row := range rows {
		if n := winners[row].Load(); n != 1 {
			t.Errorf("row %d: %d inserts succeeded, want 1", row, n)
		}
	}
}

func testIncrements(t *testing.T, s store.Store) {
	const clients, increments = 8, 25
	k := key("p", "counter")
	insert(t, s, k, store.Columns{"N": int64(0)})
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for range increments {
				if err := Increment(context.Background(), s, k); err != nil {
					t.Errorf("increment: %v", err)
					return
				}
			}
		})
	}
	all.Wait()
	row, err := s.Get(context.Background(), k)
	wantError(t, "get", err, nil)
	if row.Columns["N"] != int64(clients*increments) {
		t.Errorf("counter is %v after %d increments", row.Columns["N"], clients*increments)
	}
}

// Increment adds one to the column N of a row by reading it and replacing it
// until no other writer comes between. It is the read-CAS loop that leases are
// compared with.
func Increment(ctx context.Context, s store.Store, k store.Key) error {
	for try := 0; ; try++ {
		row, err := s.Get(ctx, k)
		if err != nil {
			return err
		}
		n, _ := row.Columns["N"].(int64)
		_, err = s.Replace(ctx, k, store.Columns{"N": n + 1}, row.ETag)
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
		// Jittered, or the losers of one round meet again in the next one.
		if err := pause.For(ctx, rand.N(time.Millisecond<<min(try, 5))); err != nil {
			return err
		}
	}
}
