package swarm

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"spillway/shared/quota"
	"spillway/shared/store"
)

// vault is the store as it truly is: it sees every write that happens, and judges
// the rows of the limits by arithmetic of its own.
type vault struct {
	store.Store
	world *world

	rows    map[string]*shard    // By partition. Guarded by world.mu.
	ledgers map[sheet]*ledger    // Guarded by world.mu.
	earlier map[string]store.Row // By partition, for the defects. Guarded by world.mu.
}

// shard is a row of a limit as it was last committed.
type shard struct {
	limit  int
	index  int64
	exists bool
	counts counts
}

// counts are the numbers of a row that matter.
type counts struct {
	window                     quota.Window
	granted, ahead             int64
	amount, nextAmount         int64
	shards, nextShards         int64
	holders, prevHolders, want int64
}

// sheet names a window of a limit.
type sheet struct {
	limit  int
	window quota.Window
}

// ledger is what all rows of a limit granted in one window.
type ledger struct {
	granted int64 // Less what was given back.
	most    int64 // The greatest sum.
	raised  int64 // The amount in force when a row was made, if that was within the window.
	shards  int64 // How many there are; 0: nobody has taken units.
	grants  int64
}

func newVault(w *world, inner store.Store) *vault {
	return &vault{
		Store: inner, world: w,
		rows: make(map[string]*shard), ledgers: make(map[sheet]*ledger), earlier: make(map[string]store.Row),
	}
}

// Get implements store.Store.
func (v *vault) Get(ctx context.Context, key store.Key) (store.Row, error) {
	row, err := v.Store.Get(ctx, key)
	if v.world.config.Defect == StaleReads && err == nil && time.Now().UnixNano()%4 == 0 {
		v.world.mu.Lock()
		defer v.world.mu.Unlock()
		if old, ok := v.earlier[key.Partition]; ok {
			row.Columns = old.Columns
		}
	}
	return row, err
}

// Insert implements store.Store.
func (v *vault) Insert(ctx context.Context, key store.Key, columns store.Columns) (string, error) {
	return v.write(ctx, key, columns, func() (string, error) { return v.Store.Insert(ctx, key, columns) })
}

// Replace implements store.Store.
func (v *vault) Replace(ctx context.Context, key store.Key, columns store.Columns, etag string) (string, error) {
	return v.write(ctx, key, columns, func() (string, error) { return v.Store.Replace(ctx, key, columns, etag) })
}

// Delete implements store.Store.
func (v *vault) Delete(ctx context.Context, key store.Key, etag string) error {
	v.world.mu.Lock()
	defer v.world.mu.Unlock()
	err := v.Store.Delete(ctx, key, etag)
	if row := v.shard(key.Partition); row != nil && err == nil {
		row.exists = false
	}
	return err
}

func (v *vault) write(ctx context.Context, key store.Key, columns store.Columns, do func() (string, error)) (string, error) {
	w := v.world
	w.mu.Lock()
	defer w.mu.Unlock()
	row := v.shard(key.Partition)
	if w.config.Defect == StaleReads && row != nil {
		if old, err := v.Store.Get(ctx, key); err == nil {
			v.earlier[key.Partition] = old
		}
	}
	etag, err := do()
	if row == nil {
		return etag, err
	}
	w.figures().Writes++
	switch {
	case err == nil:
		from, _ := ctx.Value(originKey{}).(origin)
		v.commit(row, read(columns), from)
	case errors.Is(err, store.ErrConflict):
		w.figures().Conflicts++
	}
	return etag, err
}

// shard returns the row of a partition, nil if it is none of a limit. The caller
// holds world.mu.
func (v *vault) shard(partition string) *shard {
	if row := v.rows[partition]; row != nil {
		return row
	}
	parts := strings.Split(partition, "!")
	if len(parts) != 4 || parts[0] != "quota" {
		return nil
	}
	index, err := strconv.ParseInt(parts[3], 10, 64)
	if err != nil {
		return nil
	}
	for i, limit := range v.world.config.Limits {
		if limit.Key == parts[1] && limit.Period.String() == parts[2] {
			v.rows[partition] = &shard{limit: i, index: index}
		}
	}
	return v.rows[partition]
}

func read(columns store.Columns) counts {
	number := func(name string) int64 {
		n, _ := columns[name].(int64)
		return n
	}
	return counts{
		window:  quota.Window(number("Window")),
		granted: number("Granted"), ahead: number("NextGranted"),
		amount: number("Limit"), nextAmount: number("NextLimit"),
		shards: number("Shards"), nextShards: number("NextShards"),
		holders: number("Holders"), prevHolders: number("PrevHolders"), want: number("WantShards"),
	}
}

// ledger returns the ledger of a window. The caller holds world.mu.
func (v *vault) ledger(limit int, window quota.Window) *ledger {
	id := sheet{limit, window}
	l := v.ledgers[id]
	if l == nil {
		l = &ledger{}
		v.ledgers[id] = l
	}
	return l
}

// commit books a write that happened. The caller holds world.mu.
func (v *vault) commit(row *shard, after counts, from origin) {
	w := v.world
	period := w.config.Limits[row.limit].Period
	before := row.counts
	if !row.exists {
		before = counts{}
		l := v.ledger(row.limit, after.window)
		changes := w.amounts[row.limit]
		l.raised = max(l.raised, changes[len(changes)-1].amount)
	}
	existed := row.exists
	row.counts, row.exists = after, true
	next := period.Next(after.window)
	granted, ahead := after.granted, after.ahead
	switch {
	case existed && after.window < before.window:
		w.violate(RuleRow, "%s set the row %d of %s back from %d to %d", who(from), row.index, w.config.Limits[row.limit].Key, before.window, after.window)
		return
	case existed && after.window == before.window:
		granted -= before.granted
		ahead -= before.ahead
	case existed && after.window == period.Next(before.window):
		granted -= before.ahead
	}
	v.book(row, from, after.window, granted, after.granted, after.amount, after.shards)
	v.book(row, from, next, ahead, after.ahead, after.nextAmount, after.nextShards)
}

// book notes units that a commit took of a window, or gave back. sum is what the
// row has granted of it, amount the limit that the row believes in.
func (v *vault) book(row *shard, from origin, window quota.Window, units, sum, amount, shards int64) {
	if units == 0 {
		return
	}
	w := v.world
	limit := row.limit
	l := v.ledger(limit, window)
	l.granted += units
	l.most = max(l.most, l.granted)
	if from.from == nil || from.timer {
		w.violate(RuleRow, "%s changed what is granted of %s by %d", who(from), w.config.Limits[limit].Key, units)
		return
	}
	a := from.from.account(limit, window)
	a.net += units
	if units < 0 {
		if short := a.used - a.unmetered - a.owed - a.net; short > 0 {
			w.violate(RuleSpent, "%s gave back %d of %s in %d, %d more than it held", who(from), -units, w.config.Limits[limit].Key, window, short)
		}
		return
	}
	l.grants++
	a.grants++
	a.largest = max(a.largest, units)
	if share := share(amount, shards, row.index); sum > share {
		w.violate(RuleLimit, "%s took %d, then shard %d of %s has granted %d of %d", who(from), units, row.index, w.config.Limits[limit].Key, sum, share)
	}
	if room := v.room(limit, window); room < 0 {
		w.violate(RuleLimit, "%s took %d, then all shards of %s together have granted %d too many in %d", who(from), units, w.config.Limits[limit].Key, -room, window)
	}
	if told := w.largest(limit, from.at.Add(-from.from.machine.lag(from.at)), time.Now()); amount > told {
		w.violate(RuleLimit, "%s took %d of %s by a limit of %d, which is %d", who(from), units, w.config.Limits[limit].Key, amount, told)
	}
	if l.shards != 0 && l.shards != shards {
		w.violate(RuleRow, "%s took units of one of %d shards of %s in %d, others of one of %d", who(from), shards, w.config.Limits[limit].Key, window, l.shards)
	}
	l.shards = shards
}

// room is how much of a limit has not been granted in a window. A raise counts
// from the next edge on.
func (v *vault) room(limit int, window quota.Window) int64 {
	start := window.Start()
	most := v.world.largest(limit, start.Add(-40*time.Second), start.Add(v.world.clockError()))
	l := v.ledger(limit, window)
	return max(most, l.raised) - l.granted
}

// amounts is the least that a limit has been since somebody may have taken units of
// a window, and how much of it has been granted. A cut counts at once, a raise only
// from the next edge on.
func (v *vault) amounts(limit int, window quota.Window) (least, granted int64) {
	from := window.Start().Add(-40 * time.Second)
	changes := v.world.amounts[limit]
	least = changes[len(changes)-1].amount
	for i := range changes[:len(changes)-1] {
		if changes[i+1].from.After(from) {
			least = min(least, changes[i].amount)
		}
	}
	return least, v.ledger(limit, window).granted
}

// share is what one of several shards may grant.
func share(amount, shards, index int64) int64 {
	if index >= shards {
		return 0
	}
	part := amount / shards
	if index < amount%shards {
		part++
	}
	return part
}

// lag is how long before an operation a process may have looked at the amount of a
// limit that it writes: while it waited for other operations, or was frozen.
func (m *machine) lag(at time.Time) time.Duration {
	const calls = 2 * time.Second
	if thawed := time.Unix(0, m.thawedAt.Load()); at.Sub(thawed) < calls {
		return at.Sub(time.Unix(0, m.frozeAt.Load())) + calls
	}
	return calls
}

func who(from origin) string {
	if from.from == nil {
		return "somebody"
	}
	return from.from.name
}
