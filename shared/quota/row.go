// Package quota is the arithmetic of one quota row: how a limit's window rolls,
// what is granted from it, how large a chunk an instance takes, when a limit is
// split over shards, and how a row is written as columns. Everything is a pure
// function of values; time is an argument.
//
// A limit is a number of units (tokens, requests) per window. Its row says how
// many units of the window have been granted to instances as leases. An instance
// spends a lease without asking again, and a lease ends with its window, so
// nothing has to be cleaned up after a crash: the units come back at the edge.
//
// The row is the clock: its window only moves forward, whoever is behind it
// adopts its window, and the roll happens lazily in whatever write comes next.
//
// A busy limit is split over shards, each a row of its own with its Share of the
// limit. Shard 0 decides how many there are: its Shards holds for its Window, its
// NextShards for the window after, and NextShards never changes while its window
// lasts. So whoever reads shard 0 in a window knows the numbers of this window
// and of the next for certain; a change of mind goes to WantShards and takes
// effect two edges later (at once when no window in between was used).
package quota

import (
	"strconv"
	"strings"
)

// Row is the state of one shard of a limit. The zero value is not a row: see New. Kept is
// how a process keeps many.
type Row struct {
	// Nonces are those of the last writes, the last one first, with spaces between. Each
	// write has its own, so that a writer whose answer was lost can tell by reading
	// whether its write happened, although others may have written since.
	Nonces string
	// By is the instance that wrote last.
	By string
	// Window is the window that the counts below belong to.
	Window Window
	// Granted is the number of units of Window granted from this shard.
	Granted int64
	// Holders is the number of instances that took units of Window here.
	Holders int64
	// NextGranted and NextHolders are the same for the window after Window.
	NextGranted int64
	NextHolders int64
	// PrevHolders is Holders of the window before Window.
	PrevHolders int64
	// Limit is the whole limit (of all shards) for Window, in units.
	Limit int64
	// NextLimit is the limit from the next window on.
	NextLimit int64
	// LimitSince is when the limit was set, in microseconds of Unix time by the
	// clock of whoever keeps it; 0: nobody knows.
	LimitSince int64
	// Shards is the number of shards in Window, 1 to MaxShards.
	Shards int64
	// NextShards is the number of shards in the window after Window.
	NextShards int64
	// WantShards is the number of shards in the windows after that one.
	WantShards int64
}

// RowKey is the row key of every quota row; each row has its own partition.
const RowKey = "w"

// Prefix is how the partitions of all quota rows begin, and of nothing else.
const Prefix = "quota!"

// Partition returns the partition of the row of one shard. Every instance must
// agree on it.
func Partition(key string, p Period, shard int64) string {
	return Prefix + key + "!" + p.String() + "!" + strconv.FormatInt(shard, 10)
}

// ParsePartition returns what Partition was given. It says no to any text that
// Partition does not return.
func ParsePartition(partition string) (key string, p Period, shard int64, ok bool) {
	rest, prefixed := strings.CutPrefix(partition, Prefix)
	end := strings.LastIndexByte(rest, '!')
	if !prefixed || end < 0 {
		return "", 0, 0, false
	}
	number := rest[end+1:]
	middle := strings.LastIndexByte(rest[:end], '!')
	if middle < 0 {
		return "", 0, 0, false
	}
	shard, err := strconv.ParseInt(number, 10, 64)
	p, known := ParsePeriod(rest[middle+1 : end])
	if err != nil || !known || shard < 0 || shard >= MaxShards || strconv.FormatInt(shard, 10) != number {
		return "", 0, 0, false
	}
	return rest[:middle], p, shard, true
}

// New returns the row of a shard that nobody has used before: nothing granted,
// one shard.
func New(w Window, limit int64) Row {
	limit = clamp(limit)
	return Row{Window: w, Limit: limit, NextLimit: limit, Shards: 1, NextShards: 1, WantShards: 1}
}

// Roll moves the row forward to window w. A row that is already there or ahead
// stays as it is: nobody moves a row back.
func (r Row) Roll(p Period, w Window) Row {
	if w <= r.Window {
		return r
	}
	if w == p.Next(r.Window) {
		r.PrevHolders = r.Holders
		r.Granted, r.Holders = r.NextGranted, r.NextHolders
		r.Shards = r.NextShards
	} else {
		r.PrevHolders, r.Granted, r.Holders = 0, 0, 0
		r.Shards = r.WantShards
	}
	r.Window = w
	r.NextGranted, r.NextHolders = 0, 0
	r.Limit = r.NextLimit
	r.NextShards = r.WantShards
	return r
}

// WithLimit sets the limit to an amount of which nobody knows when it was set: a cut
// acts at once, a raise at the edge, so that within a window the least amount that
// any instance knows is in force. What was granted before a cut stays granted.
func (r Row) WithLimit(amount int64) Row {
	amount = clamp(amount)
	r.Limit = min(r.Limit, amount)
	r.NextLimit, r.LimitSince = amount, 0
	return r
}

// WithLimitSince sets the limit to an amount, at once, unless the row knows of one
// that was set later: then it stays as it is. Since 0 sets it in any case.
func (r Row) WithLimitSince(amount, since int64) Row {
	if since > 0 && since < r.LimitSince {
		return r
	}
	amount = clamp(amount)
	r.Limit, r.NextLimit, r.LimitSince = amount, amount, min(max(since, 0), maxSince)
	return r
}

// Left is the number of units of Window that this shard may still grant.
func (r Row) Left(shard int64) int64 {
	return max(Share(r.Limit, r.Shards, shard)-r.Granted, 0)
}

// Over is the number of units of Window that this shard has granted beyond its share
// of a limit that was cut since.
func (r Row) Over(shard int64) int64 {
	return max(r.Granted-Share(r.Limit, r.Shards, shard), 0)
}

// NextLeft is the number of units of the next window that this shard may still
// grant ahead of the edge.
func (r Row) NextLeft(shard int64) int64 {
	return max(Share(r.NextLimit, r.NextShards, shard)-r.NextGranted, 0)
}

// Grant takes n units of Window from this shard. first says that the instance
// takes its first units of this window here. It fails, changing nothing, if n is
// negative or more than is left.
func (r Row) Grant(shard, n int64, first bool) (Row, bool) {
	if n < 0 || n > r.Left(shard) {
		return r, false
	}
	r.Granted += n
	if first {
		r.Holders = min(r.Holders+1, maxHolders)
	}
	return r, true
}

// GrantNext takes n units of the window after Window, usable from its edge on.
func (r Row) GrantNext(shard, n int64, first bool) (Row, bool) {
	if n < 0 || n > r.NextLeft(shard) {
		return r, false
	}
	r.NextGranted += n
	if first {
		r.NextHolders = min(r.NextHolders+1, maxHolders)
	}
	return r, true
}

// GiveBack returns n units that were granted in window w and will not be spent.
// It fails, changing nothing, if the row is in another window or n is negative or
// more than was granted.
func (r Row) GiveBack(w Window, n int64) (Row, bool) {
	if r.Window != w || n < 0 || n > r.Granted {
		return r, false
	}
	r.Granted -= n
	return r, true
}

// GiveBackNext returns n units of the window after w that were granted in w.
func (r Row) GiveBackNext(w Window, n int64) (Row, bool) {
	if r.Window != w || n < 0 || n > r.NextGranted {
		return r, false
	}
	r.NextGranted -= n
	return r, true
}

// Sharers is how many instances are believed to share this shard: those of this
// window or of the one before, at least one.
func (r Row) Sharers() int64 {
	return max(r.Holders, r.PrevHolders, 1)
}

// Shards is how many shards a limit has in a window and in the one after it. The zero
// value knows of none.
type Shards struct {
	window        Window
	present, next int64
}

// Settled returns how many shards the limit has as far as this row, which must be
// shard 0 as it is stored, has settled it for good.
func (r Row) Settled() Shards {
	return Shards{window: r.Window, present: r.Shards, next: r.NextShards}
}

// At returns how many shards there are in window w, if that is settled.
func (s Shards) At(p Period, w Window) (int64, bool) {
	switch {
	case s.present == 0:
		return 0, false
	case w == s.window:
		return s.present, true
	case w == p.Next(s.window):
		return s.next, true
	default:
		return 0, false
	}
}

// ShardsAt is At of Settled.
func (r Row) ShardsAt(p Period, w Window) (int64, bool) {
	return r.Settled().At(p, w)
}

// Reshard sets WantShards of shard 0 by the load: before is the row as it was
// stored, r the same row after the roll and the grant of this write. A window that
// ended tells how many instances there are, so only a roll may shrink the number;
// within a window it grows when more instances came than it is made for. A request
// too large for a share shrinks it at any time.
func (r Row) Reshard(before Row, largest int64) Row {
	instances := before.Holders * before.Shards
	if before.Window == r.Window {
		instances = max(r.Holders*r.Shards, r.WantShards*InstancesPerShard)
	}
	r.WantShards = ShardsFor(r.WantShards, instances, r.NextLimit, largest)
	return r
}

// clamp brings an amount of units into the range of a row.
func clamp(units int64) int64 {
	return min(max(units, 0), MaxUnits)
}
