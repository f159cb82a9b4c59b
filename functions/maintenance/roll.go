package maintenance

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"spillway/shared/quota"
	"spillway/shared/store"
)

const (
	// settled is how long a window must have run before rows are rolled into it.
	// A row's window is its clock: one that was rolled by a clock that is ahead
	// would end the old window early for everybody else. Corrected clocks differ
	// by little more than a second.
	settled = 3 * time.Second
	// rollTime bounds this part of a run.
	rollTime = 5 * time.Second
	// rollers is how many limits are rolled at once.
	rollers = 4
)

// stored is a row as it was read.
type stored struct {
	store.Row
	quota quota.Row
}

// roll moves the rows of the limits to the window that runs: the roll that the
// next grant would make by itself, so that for whoever grants next it is as if
// there had been no run. It creates no row, grants nothing and leaves a row alone
// that is current or that nobody has used since its last roll.
func (m *Maintenance) roll(ctx context.Context) (int, error) {
	limits := slices.Collect(m.o.Limits())
	if len(limits) == 0 {
		return 0, nil
	}
	ctx, cancel := context.WithTimeout(ctx, rollTime)
	defer cancel()
	rows, err := m.rows(ctx, limits)
	if err != nil {
		return 0, err
	}
	now := m.o.Clock.Now() // the answer has corrected it
	var rolled atomic.Int64
	err = each(ctx, rollers, limits, func(l Limit) error {
		n, err := m.rollLimit(ctx, l, rows[l], now)
		rolled.Add(int64(n))
		return err
	})
	return int(rolled.Load()), err
}

// rows reads the rows of the limits, by shard, with one query for all that begins
// like all of them do.
func (m *Maintenance) rows(ctx context.Context, limits []Limit) (map[Limit]map[int64]stored, error) {
	rows := make(map[Limit]map[int64]stored, len(limits))
	prefix := quota.Partition(limits[0].Key, limits[0].Period, 0)
	for _, l := range limits {
		rows[l] = make(map[int64]stored)
		prefix = common(prefix, quota.Partition(l.Key, l.Period, 0))
	}
	prefix = prefix[:strings.LastIndexAny(prefix, "/!")+1] // whole words, and all shards
	for row, err := range m.o.Store.Query(ctx, store.Filter{Prefix: prefix}) {
		if err != nil {
			return nil, err
		}
		key, period, shard, ok := quota.ParsePartition(row.Partition)
		shards := rows[Limit{key, period}]
		if !ok || shards == nil || row.Row != quota.RowKey {
			continue
		}
		// A row that cannot be read is not ours to mend; those who need it say so.
		if decoded, err := quota.Decode(period, row.Columns); err == nil {
			shards[shard] = stored{row, decoded}
		}
	}
	return rows, nil
}

// common is the longest beginning that two texts share.
func common(a, b string) string {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return a[:n]
}

// rollLimit rolls the rows of one limit: shard 0 first, since it says how many
// shards the window has.
func (m *Maintenance) rollLimit(ctx context.Context, l Limit, rows map[int64]stored, now time.Time) (int, error) {
	w := l.Period.Window(now)
	zero, ok := rows[0]
	if !ok || zero.quota.Window > w || now.Sub(w.Start()) < settled || !worthRolling(l.Period, rows, w) {
		return 0, nil
	}
	rolled := 0
	if zero.quota.Window < w {
		if ahead(zero.quota, l.Period, w) {
			return 0, nil
		}
		zero.quota = rollZero(zero.quota, l.Period, w)
		if done, err := m.replace(ctx, zero); !done {
			return 0, err // somebody else did it, or nobody knows: the next run will see
		}
		rolled++
	}
	for shard := int64(1); shard < zero.quota.Shards; shard++ {
		row, ok := rows[shard]
		if !ok || !rollable(row.quota, l.Period, w) {
			continue
		}
		row.quota = row.quota.Roll(l.Period, w)
		row.quota.Shards, row.quota.NextShards = zero.quota.Shards, zero.quota.NextShards
		done, err := m.replace(ctx, row)
		if err != nil {
			return rolled, err
		}
		if done {
			rolled++
		}
	}
	return rolled, nil
}

// worthRolling tells whether any of a limit's rows is to be rolled into w.
func worthRolling(p quota.Period, rows map[int64]stored, w quota.Window) bool {
	for _, row := range rows {
		if rollable(row.quota, p, w) {
			return true
		}
	}
	return false
}

// rollable tells whether a row is of a window before w and somebody took units
// since its last roll: others are not worth a write, so an idle limit is rolled
// once.
func rollable(r quota.Row, p quota.Period, w quota.Window) bool {
	used := r.Granted > 0 || r.NextGranted > 0 || r.Holders > 0 || r.NextHolders > 0
	return r.Window < w && used && !ahead(r, p, w)
}

// ahead tells whether units of w were taken before it began. Whoever did so is
// there and rolls the row with the next grant; to roll it for them would leave a
// trace of their number one window longer than their own roll does.
func ahead(r quota.Row, p quota.Period, w quota.Window) bool {
	return p.Next(r.Window) == w && (r.NextGranted > 0 || r.NextHolders > 0)
}

// rollZero rolls shard 0. Beyond the roll itself it does the one thing that only
// whoever rolls can do, since the number of holders goes with the window: it lets
// the number of shards shrink. It never lets it grow, and leaves the limit as it
// is: those who grant know the largest request and the amount in force.
func rollZero(before quota.Row, p quota.Period, w quota.Window) quota.Row {
	row := before.Roll(p, w)
	if before.Holders > 0 {
		row.WantShards = min(row.WantShards, row.Reshard(before, 0).WantShards)
	}
	return row
}

// replace writes a row if it still is as it was read, and tells whether it did.
//
// The row keeps the nonce and the author of the last grant: a roll takes nothing,
// and an instance whose answer was lost may still be looking for them.
func (m *Maintenance) replace(ctx context.Context, row stored) (bool, error) {
	_, err := m.o.Store.Replace(ctx, row.Key, row.quota.Columns(), row.ETag)
	if errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
