package objects

import (
	"context"
	"errors"
	"iter"
	"strings"
	"sync"
	"testing"
	"time"

	"spillway/shared/clock"
	"spillway/shared/store"
)

// Several instances put, find, settle, list, delete and sweep objects over networks
// that lose, repeat and delay. Exactly one is the first to settle an object; what was
// done at an instance it knows at once and the others know soon; nothing is found that
// is somebody else's, deleted or expired; and nothing is swept that matters.
func TestHistory(t *testing.T) {
	seeds := uint64(50)
	if testing.Short() {
		seeds = 10
	}
	tally := make(map[string]int)
	for seed := range seeds {
		if wrong := perform(t, seed, flaw{}, tally); len(wrong) > 0 {
			t.Fatalf("seed %d, %d findings:\n%s", seed, len(wrong), strings.Join(wrong[:min(len(wrong), 10)], "\n"))
		}
	}
	t.Log(tally)
	for _, what := range []string{
		"put", "get", "list", "delete", "settle", "first", "swept", "put failed", "get failed", "list failed", "delete failed", "settle failed",
		"refused", "request lost", "answer lost", "late apply", "conflicted", "conflicted, applied", "busy, applied", "delayed", "outage",
	} {
		if tally[what] < 10 {
			t.Errorf("void: %s: %d times, want at least 10", what, tally[what])
		}
	}
}

// A judge that finds nothing proves nothing, so each of these registries stands on
// something that is wrong, as if the registry itself were, and the judge must find it
// for what it is.
func TestDefectsAreFound(t *testing.T) {
	flaws := map[string]struct {
		flaw flaw
		want string
	}{
		"an unknown outcome of a put taken for success":        {flaw{store: unknownInsertIsDone}, "was put and not found"},
		"an unknown outcome of a settlement taken for success": {flaw{store: unknownReplaceIsDone}, "were the first"},
		"a settlement without regard to the ETag":              {flaw{store: blindReplace}, "were the first"},
		"a settlement without a nonce":                         {flaw{store: noNonce}, "nobody was first"},
		"a nonce that others use, too":                         {flaw{store: sharedNonce}, "were the first"},
		"a put over the row":                                   {flaw{store: overwritingInsert}, "were the first"},
		"a delete that leaves no trace":                        {flaw{store: hardDelete}, "was deleted and found"},
		"rows that all consumers share":                        {flaw{store: sharedRows}, "before anybody put it"},
		"memory that never ages":                               {flaw{clock: stopped()}, "was deleted and found"},
		"a clock that is an hour behind":                       {flaw{clock: behind(time.Hour)}, "had expired and was found"},
		"a sweep that does not wait":                           {flaw{store: hastySweep}, "after it expired"},
		"a list of the first page":                             {flaw{store: firstPage}, "is not listed"},
	}
	for name, f := range flaws {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(30) {
				for _, wrong := range perform(t, seed, f.flaw, make(map[string]int)) {
					if strings.Contains(wrong, f.want) {
						t.Logf("seed %d: %s", seed, wrong)
						return
					}
				}
			}
			t.Error("not found")
		})
	}
}

// stopped is a clock that stands still at the beginning of the play.
func stopped() *clock.Clock {
	return clock.New(func() (time.Time, time.Duration) { return time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC), 0 })
}

// behind is a clock that is late.
func behind(by time.Duration) *clock.Clock {
	return clock.New(func() (time.Time, time.Duration) {
		now := time.Now().Add(-by)
		return now, time.Duration(now.UnixNano())
	})
}

func unknownInsertIsDone(s store.Store) store.Store {
	return &hooked{Store: s, insert: func(ctx context.Context, key store.Key, c store.Columns) (string, error) {
		etag, err := s.Insert(ctx, key, c)
		if errors.Is(err, store.ErrAmbiguous) {
			return "etag", nil
		}
		return etag, err
	}}
}

func unknownReplaceIsDone(s store.Store) store.Store {
	return &hooked{Store: s, replace: func(ctx context.Context, key store.Key, c store.Columns, old string) (string, error) {
		etag, err := s.Replace(ctx, key, c, old)
		if errors.Is(err, store.ErrAmbiguous) {
			return "etag", nil
		}
		return etag, err
	}}
}

func blindReplace(s store.Store) store.Store {
	return &hooked{Store: s, replace: func(ctx context.Context, key store.Key, c store.Columns, old string) (string, error) {
		etag, err := s.Replace(ctx, key, c, old)
		if errors.Is(err, store.ErrConflict) {
			if row, err := s.Get(ctx, key); err == nil {
				return s.Replace(ctx, key, c, row.ETag)
			}
		}
		return etag, err
	}}
}

func noNonce(s store.Store) store.Store {
	return &hooked{Store: s, replace: func(ctx context.Context, key store.Key, c store.Columns, old string) (string, error) {
		delete(c, columnNonce)
		return s.Replace(ctx, key, c, old)
	}}
}

// sharedNonce makes each nonce in a row look like the one that was sent last for it.
func sharedNonce(s store.Store) store.Store {
	var sent sync.Map
	return &hooked{
		Store: s,
		replace: func(ctx context.Context, key store.Key, c store.Columns, old string) (string, error) {
			sent.Store(key, c[columnNonce])
			return s.Replace(ctx, key, c, old)
		},
		get: func(ctx context.Context, key store.Key) (store.Row, error) {
			row, err := s.Get(ctx, key)
			if nonce, ok := sent.Load(key); ok && nonce != nil && row.Columns[columnNonce] != nil {
				row.Columns[columnNonce] = nonce
			}
			return row, err
		},
	}
}

func overwritingInsert(s store.Store) store.Store {
	return &hooked{Store: s, insert: func(ctx context.Context, key store.Key, c store.Columns) (string, error) {
		etag, err := s.Insert(ctx, key, c)
		if errors.Is(err, store.ErrConflict) {
			if row, err := s.Get(ctx, key); err == nil {
				return s.Replace(ctx, key, c, row.ETag)
			}
		}
		return etag, err
	}}
}

func hardDelete(s store.Store) store.Store {
	return &hooked{Store: s, replace: func(ctx context.Context, key store.Key, c store.Columns, old string) (string, error) {
		if c[columnDeleted] == true {
			return "etag", s.Delete(ctx, key, old)
		}
		return s.Replace(ctx, key, c, old)
	}}
}

// sharedRows leaves the consumer out of the partition.
func sharedRows(s store.Store) store.Store {
	shared := func(key store.Key) store.Key {
		key.Partition = key.Partition[:strings.LastIndex(key.Partition, "/")]
		return key
	}
	return &hooked{
		Store: s,
		get: func(ctx context.Context, key store.Key) (store.Row, error) {
			row, err := s.Get(ctx, shared(key))
			row.Key = key
			return row, err
		},
		insert: func(ctx context.Context, key store.Key, c store.Columns) (string, error) {
			return s.Insert(ctx, shared(key), c)
		},
		replace: func(ctx context.Context, key store.Key, c store.Columns, old string) (string, error) {
			return s.Replace(ctx, shared(key), c, old)
		},
	}
}

// hastySweep makes every row look to a sweep as if it had expired an hour earlier.
func hastySweep(s store.Store) store.Store {
	return &hooked{Store: s, query: func(ctx context.Context, f store.Filter) iter.Seq2[store.Row, error] {
		return func(yield func(store.Row, error) bool) {
			for row, err := range s.Query(ctx, f) {
				if expires, ok := row.Columns[columnExpires].(time.Time); ok && f.Prefix != "" {
					row.Columns[columnExpires] = expires.Add(-sweepAfter)
				}
				if !yield(row, err) {
					return
				}
			}
		}
	}}
}

func firstPage(s store.Store) store.Store {
	return &hooked{Store: s, query: func(ctx context.Context, f store.Filter) iter.Seq2[store.Row, error] {
		return func(yield func(store.Row, error) bool) {
			rows := 0
			for row, err := range s.Query(ctx, f) {
				if rows++; rows > 3 || !yield(row, err) {
					return
				}
			}
		}
	}}
}
