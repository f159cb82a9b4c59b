package lease

import (
	"context"
	"errors"
	"fmt"
	"time"

	"spillway/shared/quota"
	"spillway/shared/store"
)

// stored is the row of one shard as it is in the store.
type stored struct {
	row    *quota.Row   // nil: there is none yet. It does not change.
	record store.Record // What a store in this process keeps of it.
	etag   string       // By which the store tells whether it was written since.
	shard  int64
}

// sharers is how many instances are believed to share the row.
func (s stored) sharers() int64 {
	if s.row == nil {
		return 1
	}
	return s.row.Sharers()
}

// tells tells by the row as it was just read what became of a write that was to replace
// the row before it. What a row does not remember is not known.
func (s stored) tells(before stored, wrote quota.Row) (happened, known bool) {
	if s.row == nil {
		return false, false
	}
	var replaced quota.Row
	if before.row != nil {
		replaced = *before.row
	}
	return quota.Happened(replaced, wrote, *s.row)
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
	if err != nil || zero.row != nil && zero.row.Window > window {
		return zero, 1, err
	}
	rolled := f.rolled(zero, window, in)
	shards := rolled.Shards
	if target != window {
		shards = rolled.NextShards
	}
	f.settled = quota.Shards{}
	if zero.row != nil {
		f.settled = zero.row.Settled() // Also for a visit to another shard.
	}
	home := f.home(shards)
	if home == 0 {
		return zero, shards, nil
	}
	if _, ok := f.settled.At(p, target); !ok {
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
	row = f.limit.engine.signed(row)
	if err := f.write(zero, row); err != nil {
		return err
	}
	f.settled = row.Settled()
	return nil
}

// announce tells a row of a raise that it does not know of, where nobody takes anything from
// it: who needs more than it had before would wait for ever for a raise that acts from the
// next edge on.
func (f *flight) announce(p *plan) error {
	if p.before.row == nil {
		return nil // It will be made with the amount.
	}
	row := f.rolled(p.before, p.window, p.told) // As nobody has taken anything.
	if row.NextLimit <= p.before.row.NextLimit {
		return nil
	}
	return f.write(p.before, f.limit.engine.signed(row))
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
	if err != nil || zero.row == nil || zero.row.Window > window {
		return err
	}
	rolled := f.rolled(zero, window, in)
	smaller := rolled.Reshard(*zero.row, largest)
	if smaller.WantShards == rolled.WantShards {
		return nil
	}
	return f.touch(zero, smaller)
}

// load returns a row as last seen if that is likely to be current (this instance is
// alone with it, or has just seen it), else reads it. A write tells.
func (f *flight) load(shard int64) (stored, error) {
	c := f.cached
	if c.row == nil || c.shard != shard || f.probing() || !f.fresh && c.row.Sharers() > 1 {
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
	var record store.Record
	var etag string
	err := f.call(reading, func(ctx context.Context) (err error) {
		record, etag, err = l.engine.get(ctx, l.row(shard))
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		f.fresh = true
		return stored{shard: shard}, nil
	}
	if err != nil {
		return stored{}, err
	}
	row, err := quota.DecodeRecord(l.period, record)
	if err != nil {
		return stored{}, fmt.Errorf("%w: %w", errUnusable, err)
	}
	if time.UnixMicro(row.LimitSince).Sub(l.engine.clock.Read().Time()) > maxAhead {
		row.LimitSince = 0 // By a clock that was wrong; it would rule until that moment comes.
	}
	f.cached, f.fresh = stored{shard: shard, row: &row, etag: etag}, true
	if l.engine.local != nil {
		f.cached.record = record
	}
	return f.cached, nil
}

// write replaces a row as it was read, or creates it.
func (f *flight) write(before stored, row quota.Row) error {
	l := f.limit
	f.cached = stored{}
	var written stored
	err := f.call(writing, func(ctx context.Context) (err error) {
		written, err = l.engine.put(ctx, l.row(before.shard), before, &row)
		return err
	})
	switch {
	case err == nil:
		f.cached, f.fresh = written, true
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

// get reads a row: what it holds, and its ETag if the store is elsewhere.
func (e *Engine) get(ctx context.Context, key store.Key) (r store.Record, etag string, err error) {
	if e.local != nil {
		r, err = e.local.GetRecord(key)
		return r, "", err
	}
	row, err := e.store.Get(ctx, key)
	return columns(row.Columns), row.ETag, err
}

// columns are the columns of a row that was read.
type columns map[string]any

// Columns implements store.Record.
func (c columns) Columns() map[string]any { return c }

// put writes a row in the place of what was there before.
func (e *Engine) put(ctx context.Context, key store.Key, before stored, row *quota.Row) (after stored, err error) {
	after = stored{shard: before.shard, row: row}
	switch {
	case e.local != nil:
		after.record = record(row)
		err = e.local.SwapRecord(key, before.record, after.record)
	case before.row == nil:
		after.etag, err = e.store.Insert(ctx, key, row.Columns())
	default:
		after.etag, err = e.store.Replace(ctx, key, row.Columns(), before.etag)
	}
	return after, err
}

// record is what a store in this process keeps of a row: all of it if it carries nonces, by
// which somebody to whom the store is elsewhere may ask for a write.
func record(row *quota.Row) store.Record {
	if row.Nonces != "" {
		return row
	}
	kept := row.Keep()
	return &kept
}

// call makes one store call of this flight. A store in this process needs no limit of
// time, and there is nothing that the gate could learn of it.
func (f *flight) call(a access, do func(context.Context) error) error {
	if f.limit.engine.local != nil {
		return do(context.Background())
	}
	f.calling.Store(f.limit.engine.clock.Read().Monotonic)
	defer f.calling.Store(0)
	return f.limit.engine.call(context.Background(), a, do)
}
