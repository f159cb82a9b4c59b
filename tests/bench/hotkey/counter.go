package hotkey

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"spillway/shared/store"
)

// counter is the plain way: read the row, add one, replace it if nobody else did.
// After a conflict it pauses at random, each time longer: without that it grants
// about half as many requests.
type counter struct {
	key store.Key
}

var _ contender = (*counter)(nil)

func newCounter(name string) *counter {
	return &counter{key: store.Key{Partition: name, Row: "counter"}}
}

// column holds the number of requests granted.
const column = "Granted"

// firstPause is the longest pause after the first conflict; it doubles five times.
const firstPause = 20 * time.Millisecond

func (c *counter) begin(ctx context.Context, stores []store.Store, _ time.Duration) ([]writer, error) {
	if _, err := stores[0].Insert(ctx, c.key, store.Columns{column: int64(0)}); err != nil {
		return nil, err
	}
	writers := make([]writer, len(stores))
	for i, s := range stores {
		writers[i] = func(ctx context.Context) (bool, error) { return c.add(ctx, s) }
	}
	return writers, nil
}

// add counts one request, however many tries it takes.
func (c *counter) add(ctx context.Context, s store.Store) (bool, error) {
	for tries := 0; ; tries++ {
		row, err := s.Get(ctx, c.key)
		if err != nil {
			return false, err
		}
		granted, ok := row.Columns[column].(int64)
		if !ok {
			return false, fmt.Errorf("the counter is %T", row.Columns[column])
		}
		_, err = s.Replace(ctx, c.key, store.Columns{column: granted + 1}, row.ETag)
		if err == nil || !errors.Is(err, store.ErrConflict) {
			return err == nil, err
		}
		pause(ctx, rand.N(firstPause<<min(tries, 5)))
	}
}

func (c *counter) granted(ctx context.Context, s store.Store) (int64, error) {
	row, err := s.Get(ctx, c.key)
	if err != nil {
		return 0, err
	}
	granted, _ := row.Columns[column].(int64) // add has checked it
	return granted, nil
}
