package lease_test

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"spillway/shared/clock"
	"spillway/shared/lease"
	"spillway/shared/quota"
	"spillway/shared/store"
	"spillway/shared/store/memory"
)

// house is a process in which several instances (its tenants) share a limit whose rows are
// in its memory; others come to them from outside, as if they were elsewhere. It keeps
// books of its own: what each tenant took, by the rows that were written, and what each has
// spent, by the answers to its requests.
type house struct {
	rows   *memory.Store
	period quota.Period
	dated  bool // Amounts come with the moment at which they were set.
	random func(n uint64) uint64
	work   sync.WaitGroup // Calls under way that the test does not wait for.

	mu       sync.Mutex // Guards all below, of the tenants as well.
	begun    int        // Writes that have begun.
	ended    int        // Writes that have ended.
	set      []int64    // The amounts, in the order in which they were set.
	at       []time.Time
	tenants  []*tenant // All that there ever were.
	holders  map[sheet]map[*tenant]bool
	sharded  bool // There was more than one shard, ever.
	dropped  bool // A limit was forgotten, so that it may be new again.
	happened map[string]int
	amiss    []string // What the books have found.
}

// sheet is a window of a row.
type sheet struct {
	partition string
	window    quota.Window
}

// tenant is one instance, with its own way to the store and its only limit.
type tenant struct {
	house  *house
	local  bool
	clock  *clock.Clock
	engine *lease.Engine
	gone   bool // It has crashed, or left.

	limit    *lease.Limit
	told     int // Which of the amounts it was told last.
	taken    map[quota.Window]int64
	spent    map[quota.Window]int64
	beyond   map[quota.Window]int64 // Of what is spent, what was settled beyond what was reserved.
	open     []held
	ceiling  ceiling
	delays   delays
	directly bool // A direct write is under way.
	flights  int  // Writes of flights that have begun.
	late     bool // A write took so long that nobody waits for its end, ever since the last rest.
}

// held is a reservation that is not settled.
type held struct {
	reservation lease.Reservation
	window      quota.Window
	ceiling     int // The number of the ceiling that it was made under.
}

// ceiling is what a backend said was left of a window.
type ceiling struct {
	window quota.Window
	number int // 0: none yet.
	left   int64
}

// delays is how long the next write of a tenant lasts, before and after it happens.
type delays struct{ before, after time.Duration }

const key = "k"

// newHouse returns a house without tenants, and an amount.
func newHouse(period quota.Period, dated bool, amount int64, random func(n uint64) uint64) *house {
	return &house{
		rows: memory.New(), period: period, dated: dated, random: random,
		set: []int64{amount}, at: []time.Time{time.Now()},
		holders: make(map[sheet]map[*tenant]bool), happened: make(map[string]int),
	}
}

// move has one more tenant move in, or come from outside.
func (h *house) move(local bool, skew time.Duration) *tenant {
	n := &tenant{
		house: h, local: local, clock: skewed(skew),
		taken: make(map[quota.Window]int64), spent: make(map[quota.Window]int64), beyond: make(map[quota.Window]int64),
	}
	var way store.Store = outside{h.rows, n}
	if local {
		way = indoors{h.rows, n}
	}
	var err error
	n.engine, err = lease.New(lease.Options{
		Store: way, Clock: n.clock, Instance: fmt.Sprintf("tenant-%d", len(h.tenants)), OnUnavailable: lease.Deny, Random: h.random,
	})
	if err != nil {
		panic(err) // The options are ours.
	}
	h.mu.Lock()
	h.tenants = append(h.tenants, n)
	h.mu.Unlock()
	n.tell()
	return n
}

// tell tells a tenant of the amount that was set last.
func (n *tenant) tell() {
	h := n.house
	h.mu.Lock()
	n.told = len(h.set) - 1
	amount, at := h.set[n.told], h.at[n.told]
	h.mu.Unlock()
	if h.dated {
		n.limit = n.engine.LimitSince(key, amount, h.period, at)
	} else {
		n.limit = n.engine.Limit(key, amount, h.period)
	}
}

// indoors is the way of a tenant to the rows in its process.
type indoors struct {
	*memory.Store
	tenant *tenant
}

// SwapRecord implements store.Local.
func (i indoors) SwapRecord(key store.Key, before, after store.Record) error {
	row, err := quota.DecodeRecord(i.tenant.house.period, after)
	if err != nil {
		return err
	}
	return i.tenant.write(key, row, called("(*Limit).direct"), func() error { return i.Store.SwapRecord(key, before, after) })
}

// called tells whether the caller's caller was called by a function of the engine.
func called(function string) bool {
	pcs := make([]uintptr, 8)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	for {
		frame, more := frames.Next()
		if strings.HasSuffix(frame.Function, function) {
			return true
		}
		if !more {
			return false
		}
	}
}

// outside is the way of an instance that is elsewhere, as far as it can tell.
type outside struct {
	store.Store
	tenant *tenant
}

// Insert implements store.Store.
func (o outside) Insert(ctx context.Context, key store.Key, c store.Columns) (etag string, err error) {
	return etag, o.write(key, c, func() (err error) {
		etag, err = o.Store.Insert(ctx, key, c)
		return err
	})
}

// Replace implements store.Store.
func (o outside) Replace(ctx context.Context, key store.Key, c store.Columns, before string) (etag string, err error) {
	return etag, o.write(key, c, func() (err error) {
		etag, err = o.Store.Replace(ctx, key, c, before)
		return err
	})
}

func (o outside) write(key store.Key, c store.Columns, do func() error) error {
	row, err := quota.Decode(o.tenant.house.period, c)
	if err != nil {
		return err
	}
	return o.tenant.write(key, row, false, do)
}

// write makes a write of a tenant, with the delays that it is to meet, and books it.
func (n *tenant) write(key store.Key, row quota.Row, directly bool, do func() error) error {
	h := n.house
	h.mu.Lock()
	p, told := n.delays, n.told
	n.delays, n.directly = delays{}, directly
	h.begun++
	n.late = n.late || p.before+p.after > 20*time.Millisecond
	if !directly {
		n.flights++
	}
	h.mu.Unlock()

	if p.before > 0 {
		pass(p.before)
	}
	h.mu.Lock()
	before, exists := h.stored(key.Partition)
	err := do()
	if err == nil {
		h.book(n, told, key.Partition, before, exists, row)
	}
	h.mu.Unlock()
	if p.after > 0 {
		pass(p.after)
	}

	h.mu.Lock()
	defer h.mu.Unlock()
	n.directly = false
	h.ended++
	if directly {
		h.note("direct", err == nil)
		h.note("direct conflict", err != nil)
		h.note("direct over the edge", err == nil && h.period.Window(n.clock.Read().Time()) > row.Window)
		h.note("direct with another amount meanwhile", err == nil && n.told != told)
		h.note("direct conflict with one from outside", err != nil && before.Nonces != "")
	} else if n.local {
		h.note("by a flight", err == nil)
	}
	return err
}

// note counts what has happened. The caller holds mu.
func (h *house) note(what string, happened bool) {
	if happened {
		h.happened[what]++
	}
}

// complain notes what the books have found. The caller holds mu.
func (h *house) complain(format string, args ...any) {
	h.amiss = append(h.amiss, fmt.Sprintf(format, args...))
}

// stored is a row as it is stored, if there is one.
func (h *house) stored(partition string) (quota.Row, bool) {
	return stored(h.rows, h.period, partition)
}

// book books a write of a tenant, which knew the amounts from told on when it began. The
// caller holds mu.
func (h *house) book(n *tenant, told int, partition string, before quota.Row, exists bool, after quota.Row) {
	if !exists {
		before = quota.New(after.Window, after.Limit)
	}
	if after.Window < before.Window {
		h.complain("the row moved back from %d to %d", before.Window, after.Window)
		return
	}
	_, _, shard, _ := quota.ParsePartition(partition)
	rolled := before.Roll(h.period, after.Window)
	next := h.period.Next(after.Window)
	took, ahead := after.Granted-rolled.Granted, after.NextGranted-rolled.NextGranted
	n.taken[after.Window] += took
	n.taken[next] += ahead
	h.sharded = h.sharded || max(after.Shards, after.NextShards, after.WantShards) > 1

	most := h.set[told]
	if h.dated {
		most = slices.Max(h.set[told:])
	}
	switch {
	case took > 0 && (after.Over(shard) > 0 || after.Limit > most):
		h.complain("%d units were taken, and the row has granted %d of %d; %d is known", took, after.Granted, after.Limit, most)
	case ahead > 0 && after.NextGranted > quota.Share(after.NextLimit, after.NextShards, shard):
		h.complain("%d units were taken ahead, and the row has granted %d of %d", ahead, after.NextGranted, after.NextLimit)
	case after.Granted < 0 || after.NextGranted < 0:
		h.complain("the row is %+v", after)
	}
	h.balance(n, after.Window)
	h.join(n, sheet{partition, after.Window}, took > 0, after.Holders)
	h.join(n, sheet{partition, next}, ahead > 0, after.NextHolders)
}

// balance holds a tenant to what it took: nobody spends what no row has granted to it, and
// nobody gives that back. The caller holds mu.
func (h *house) balance(n *tenant, w quota.Window) {
	if spent := n.spent[w] - n.beyond[w]; spent > n.taken[w] {
		h.complain("window %d: %d units are spent of %d that were taken", w, spent, n.taken[w])
	}
}

// join holds a row to the number of those who took units of it. The caller holds mu.
func (h *house) join(n *tenant, s sheet, took bool, holders int64) {
	if h.holders[s] == nil {
		h.holders[s] = make(map[*tenant]bool)
	}
	if took {
		h.holders[s][n] = true
	}
	if known := int64(len(h.holders[s])); known != holders && !h.dropped {
		h.complain("window %d: %d hold units of a row that knows of %d", s.window, known, holders)
	}
}

// put puts a row in the place of that of the first shard, as somebody would who signs nothing.
func (h *house) put(row quota.Row) {
	key, columns := h.first(), row.Columns()
	if old, err := h.rows.Get(context.Background(), key); err == nil {
		_, err = h.rows.Replace(context.Background(), key, columns, old.ETag)
		must(err)
		return
	}
	_, err := h.rows.Insert(context.Background(), key, columns)
	must(err)
}

// remove deletes the row of the first shard.
func (h *house) remove() {
	old, err := h.rows.Get(context.Background(), h.first())
	must(err)
	must(h.rows.Delete(context.Background(), h.first(), old.ETag))
}

func (h *house) first() store.Key {
	return store.Key{Partition: quota.Partition(key, h.period, 0), Row: quota.RowKey}
}

// must panics, so that a failure is seen wherever it is met.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
