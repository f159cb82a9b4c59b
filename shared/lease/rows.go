package lease

import (
	"context"
	"errors"
	"fmt"
	"time"

	"spillway/shared/quota"
	"spillway/shared/store"
)

// stored is the row of one shard as it is in the store. An empty etag means that
// there is none yet.
type stored struct {
	shard int64
	row   quota.Row
	etag  string
}

// carries tells whether the row is as a write of this instance left it: its nonce is on
// no other write.
func (s stored) carries(wrote quota.Row) bool {
	return s.etag != "" && s.row.Nonce == wrote.Nonce && s.row.By == wrote.By
}

// homeRow returns the row of this instance's home shard for a target window (the
// present window or the next), and how many shards that window has. If the row it
// has to ask first is ahead of the window, it returns that one.
func (f *flight) homeRow(window, target quota.Window, in setting) (stored, int64, error) {
	p := f.limit.period
	if shards, ok := f.settled.At(p, target); ok {
		if home := f.home(shards); home != 0 {
			row, err := f.load(home)
			return row, shards, err
		}
	}
	zero, err := f.load(0)
	if err != nil || zero.etag != "" && zero.row.Window > window {
		return zero, 1, err
	}
	rolled := f.rolled(zero, window, in)
	shards := rolled.Shards
	if target != window {
		shards = rolled.NextShards
	}
	f.settled = zero.row.Settled() // Also for a visit to another shard.
	home := f.home(shards)
	if home == 0 {
		return zero, shards, nil
	}
	if _, ok := zero.row.ShardsAt(p, target); !ok {
		// Nobody has written shard 0 lately, so that the number of shards could
		// still change under those who only read it: write it down.
		if err := f.touch(zero, rolled); err != nil {
			return stored{}, 0, err
		}
	}
	row, err := f.load(home)
	return row, shards, err
}

// home is the shard this instance takes from, of so many.
func (f *flight) home(shards int64) int64 {
	return int64(f.limit.engine.home % uint64(shards))
}

// touch writes shard 0 without taking units.
func (f *flight) touch(zero stored, row quota.Row) error {
	row.Nonce, row.By = f.limit.engine.nonce(), f.limit.engine.instance
	if err := f.write(zero, row); err != nil {
		return err
	}
	f.settled = row.Settled()
	return nil
}

// trim asks for fewer shards if a request is too large for one, once a window.
func (f *flight) trim(shards int64, window quota.Window, in setting) error {
	l := f.limit
	l.mu.Lock()
	largest := l.largest
	l.mu.Unlock()
	if f.trimmed == window || in.amount/shards/quota.RequestsPerShard >= largest {
		return nil
	}
	f.trimmed = window
	zero, err := f.read(0)
	if err != nil || zero.etag == "" || zero.row.Window > window {
		return err
	}
	rolled := f.rolled(zero, window, in)
	smaller := rolled.Reshard(zero.row, largest)
	if smaller.WantShards == rolled.WantShards {
		return nil
	}
	return f.touch(zero, smaller)
}

// load returns a row as last seen if that is likely to be current (this instance is
// alone with it, or has just seen it), else reads it. A write tells.
func (f *flight) load(shard int64) (stored, error) {
	c := f.cached
	if c.etag == "" || c.shard != shard || f.probing() || !f.fresh && c.row.Sharers() > 1 {
		return f.read(shard)
	}
	return c, nil
}

// probing tells whether this flight has to find out if the store answers.
func (f *flight) probing() bool {
	l := f.limit
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.supply.probe
}

// read reads a row.
func (f *flight) read(shard int64) (stored, error) {
	l := f.limit
	f.cached = stored{}
	key := l.row(shard)
	var got store.Row
	err := f.call(reading, func(ctx context.Context) (err error) {
		got, err = l.engine.store.Get(ctx, key)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		f.fresh = true
		return stored{shard: shard}, nil
	}
	if err != nil {
		return stored{}, err
	}
	row, err := quota.Decode(l.period, got.Columns)
	if err != nil {
		return stored{}, fmt.Errorf("%w: %w", errUnusable, err)
	}
	if time.UnixMicro(row.LimitSince).Sub(l.engine.clock.Read().Time()) > maxAhead {
		row.LimitSince = 0 // By a clock that was wrong; it would rule until that moment comes.
	}
	seen := stored{shard: shard, row: row, etag: got.ETag}
	f.keep(seen)
	return seen, nil
}

// keep keeps a row as it was just seen.
func (f *flight) keep(seen stored) {
	seen.row = seen.row.Unsigned()
	f.cached, f.fresh = seen, true
}

// write replaces a row as it was read, or creates it.
func (f *flight) write(before stored, row quota.Row) error {
	l := f.limit
	f.cached = stored{}
	key := l.row(before.shard)
	var etag string
	err := f.call(writing, func(ctx context.Context) (err error) {
		etag, err = l.engine.put(ctx, key, row, before.etag)
		return err
	})
	switch {
	case err == nil:
		f.keep(stored{shard: before.shard, row: row, etag: etag})
		return nil
	case errors.Is(err, store.ErrNotFound):
		// Swept away since it was read.
		return fmt.Errorf("%w: %w", store.ErrConflict, err)
	case errors.Is(err, store.ErrAmbiguous), errors.Is(err, store.ErrConflict),
		errors.Is(err, store.ErrUnavailable), errors.Is(err, store.ErrInvalid), errors.Is(err, errShut):
		return err
	default:
		// Not an error of the contract: it says nothing about the write.
		return fmt.Errorf("%w: %w", store.ErrAmbiguous, err)
	}
}

// put replaces the row that has the ETag; without one it creates the row.
func (e *Engine) put(ctx context.Context, key store.Key, row quota.Row, etag string) (string, error) {
	switch {
	case e.local != nil && etag == "":
		return e.local.InsertRecord(key, row)
	case e.local != nil:
		return e.local.ReplaceRecord(key, row, etag)
	case etag == "":
		return e.store.Insert(ctx, key, row.Columns())
	default:
		return e.store.Replace(ctx, key, row.Columns(), etag)
	}
}

// call makes one store call of this flight. A store in this process needs no limit of
// time, and there is nothing that the gate could learn of it.
func (f *flight) call(a access, do func(context.Context) error) error {
	if f.limit.engine.local != nil {
		return do(context.Background())
	}
	calling := &f.limit.supply.calling
	calling.Store(f.limit.engine.clock.Read().Monotonic)
	defer calling.Store(0)
	return f.limit.engine.call(context.Background(), a, do)
}
