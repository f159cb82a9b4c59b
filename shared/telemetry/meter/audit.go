package meter

import (
	"sync"

	"spillway/shared/quota"
	"spillway/shared/store"
)

// audit checks each write of a limit's row that this instance makes against the row
// that it replaces: a write that grants units must leave no more granted than the
// limit's amount. (A row may well hold more than that after its limit was cut; then
// nothing more may be granted.) Each instance audits its own writes, so that all
// together audit all. What it cannot see is a write whose answer was lost, and
// whether instances spend no more than they were granted. It is safe for concurrent
// use.
type audit struct {
	report func(limit string, units int64)

	mu   sync.Mutex
	seen map[store.Key]seenRow // Guarded by mu.
}

// seenRow is a row as it was last read or written here.
type seenRow struct {
	etag string
	row  quota.Row
}

// mostAudited bounds the rows that are kept. Whoever has more limits loses the rows
// now and then, and with each of them the audit of one write.
const mostAudited = 10_000

func newAudit(report func(limit string, units int64)) *audit {
	return &audit{report: report, seen: make(map[store.Key]seenRow)}
}

// saw takes note of a row that was read.
func (a *audit) saw(key store.Key, columns store.Columns, etag string) {
	_, period, _, ok := quota.ParsePartition(key.Partition)
	if !ok || key.Row != quota.RowKey {
		return
	}
	if row, err := quota.Decode(period, columns); err == nil {
		a.keep(key, seenRow{etag, row})
	}
}

// wrote judges a write that replaced the row of an ETag, or none, and takes note of
// it.
func (a *audit) wrote(key store.Key, columns store.Columns, replaced, etag string) {
	limit, period, shard, ok := quota.ParsePartition(key.Partition)
	if !ok || key.Row != quota.RowKey {
		return
	}
	row, err := quota.Decode(period, columns)
	if err != nil {
		return
	}
	before := a.keep(key, seenRow{etag, row})
	if before.etag == replaced { // both are empty of a row that is new
		a.report(limit, overgranted(before.row, row, period, shard))
	}
}

// swapped judges a write that replaced a row, or none (nil), in this process. That it has
// granted nothing beyond the limit is told of a row's first write alone, which was one of
// this process too: what is added to a counter later on is not 0.
func (a *audit) swapped(key store.Key, before, after store.Record) {
	limit, period, shard, ok := quota.ParsePartition(key.Partition)
	if !ok || key.Row != quota.RowKey {
		return
	}
	row, err := quota.DecodeRecord(period, after)
	if err != nil {
		return
	}
	var replaced quota.Row
	if before != nil {
		if replaced, err = quota.DecodeRecord(period, before); err != nil {
			return
		}
	}
	if units := overgranted(replaced, row, period, shard); units > 0 || before == nil {
		a.report(limit, units)
	}
}

// keep replaces what is known of a row and returns what was.
func (a *audit) keep(key store.Key, now seenRow) seenRow {
	a.mu.Lock()
	defer a.mu.Unlock()
	before, known := a.seen[key]
	if !known && len(a.seen) >= mostAudited {
		clear(a.seen)
	}
	a.seen[key] = now
	return before
}

// overgranted is the number of units that the write of row over before has granted
// beyond the limit, in the row's window and in the one after it.
func overgranted(before, row quota.Row, p quota.Period, shard int64) int64 {
	var granted, ahead int64 // by earlier writes
	switch row.Window {
	case before.Window:
		granted, ahead = before.Granted, before.NextGranted
	case p.Next(before.Window):
		granted = before.NextGranted
	}
	beyond := func(granted, before, share int64) int64 {
		return max(min(granted-before, granted-share), 0)
	}
	return beyond(row.Granted, granted, quota.Share(row.Limit, row.Shards, shard)) +
		beyond(row.NextGranted, ahead, quota.Share(row.NextLimit, row.NextShards, shard))
}
