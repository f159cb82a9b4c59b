package lease_test

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"spillway/shared/quota"
)

// days is a random history of a house, in which each write may take a while, so that
// everything else happens in between.
type days struct {
	*house
	overspend bool         // Requests may be settled for more than they had reserved.
	underWay  atomic.Int64 // Calls that have not ended.
}

// newDays draws a house and who lives there.
func newDays(t *rapid.T) *days {
	rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	var mu sync.Mutex
	random := func(n uint64) uint64 {
		mu.Lock()
		defer mu.Unlock()
		return rng.Uint64N(n)
	}
	period := rapid.SampledFrom([]quota.Period{quota.Minute, quota.Minute, quota.Month}).Draw(t, "period")
	d := &days{
		house:     newHouse(period, rapid.Bool().Draw(t, "dated"), rapid.Int64Range(1, 300).Draw(t, "amount"), random),
		overspend: rapid.IntRange(0, 2).Draw(t, "overspend") == 0,
	}
	if rapid.IntRange(0, 9).Draw(t, "two shards") == 0 {
		row := quota.New(period.Window(time.Now()), d.set[0])
		row.Shards, row.NextShards, row.WantShards = 2, 2, 2
		d.put(row)
	}
	for range rapid.IntRange(1, 3).Draw(t, "tenants") {
		d.move(true, d.skew(t))
	}
	return d
}

// begin has a call go on beside the test.
func (d *days) begin(call func()) {
	d.underWay.Add(1)
	d.work.Go(func() {
		defer d.underWay.Add(-1)
		call()
	})
}

// tenant draws one that is not gone.
func (d *days) tenant(t *rapid.T) *tenant {
	all := d.residents()
	return all[rapid.IntRange(0, len(all)-1).Draw(t, "tenant")]
}

// slow draws how long the next write of a tenant takes: often over the edge. Those who
// come from outside would give up a store that takes long.
func (d *days) slow(t *rapid.T, n *tenant) {
	p := rapid.SampledFrom([]delays{
		{}, {}, {before: 5 * time.Millisecond}, {after: 5 * time.Millisecond}, {before: 5 * time.Millisecond, after: 5 * time.Millisecond},
		{before: time.Hour}, {after: time.Hour},
	}).Draw(t, "delays")
	edge := time.Until(d.period.End(n.window())) + 3*time.Millisecond
	if d.period != quota.Minute {
		edge = time.Second
	}
	if !n.local {
		edge = 10 * time.Millisecond
	}
	d.mu.Lock()
	n.delays = delays{min(p.before, edge), min(p.after, edge)}
	d.mu.Unlock()
}

func (d *days) reserve(t *rapid.T) {
	n := d.tenant(t)
	l, units := n.limit, rapid.Int64Range(1, n.knows()+5).Draw(t, "units")
	d.slow(t, n)
	d.begin(func() { n.reserve(l, units) })
}

func (d *days) settle(t *rapid.T) {
	n := d.tenant(t)
	open := n.opened()
	if len(open) == 0 {
		t.Skip("nothing is open")
	}
	i := rapid.IntRange(0, len(open)-1).Draw(t, "reservation")
	most := open[i].reservation.Reserved()
	if d.overspend {
		most *= 2
	}
	n.settle(i, rapid.Int64Range(0, most).Draw(t, "actual"))
}

// correct has a backend say what is left.
func (d *days) correct(t *rapid.T) {
	if d.period != quota.Minute {
		t.Skip("it would hold for all of the history")
	}
	d.tenant(t).correct(rapid.Int64Range(0, 300).Draw(t, "left"))
}

func (d *days) change(amount int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.set, d.at = append(d.set, amount), append(d.at, time.Now())
}

// changes draws another amount, of which nobody is told yet.
func (d *days) changes(t *rapid.T) {
	pass(time.Millisecond)
	synctest.Wait()
	d.change(rapid.Int64Range(0, 300).Draw(t, "amount"))
}

// leave ends a tenant, and one comes in its place, maybe from outside.
func (d *days) leave(t *rapid.T) {
	n := d.tenant(t)
	if rapid.Bool().Draw(t, "in peace") {
		d.begin(func() { n.giveBack(0) })
	}
	n.gone = true
	if rapid.IntRange(0, 3).Draw(t, "from outside") > 0 {
		d.move(true, d.skew(t))
		return
	}
	d.move(false, d.skew(t))
}

// skew draws how far a clock is off.
func (d *days) skew(t *rapid.T) time.Duration {
	return rapid.SampledFrom([]time.Duration{0, 0, 0, 0, -time.Second, time.Second}).Draw(t, "skew")
}

// cut lowers the amount while somebody writes directly, who learns of it meanwhile.
func (d *days) cut(t *rapid.T) {
	pass(time.Millisecond)
	synctest.Wait()
	for _, n := range d.residents() {
		if known := n.knows(); n.writes() && known > 1 {
			d.change(rapid.Int64Range(1, known-1).Draw(t, "amount"))
			n.tell()
			return
		}
	}
	t.Skip("nobody writes directly")
}

// forget has a tenant forget its limit and ask for it again: the same one, if it holds
// anything or talks to the store.
func (d *days) forget(t *rapid.T) {
	n := d.tenant(t)
	if len(n.opened()) > 0 {
		t.Skip("what comes back to a limit that was dropped stays there")
	}
	before := n.limit
	n.engine.Forget(before)
	n.tell()
	if n.limit != before {
		d.dropped, n.ceiling = true, ceiling{}
	}
}

// sweep deletes a row that was not written for a while, or else rolls it, as the
// maintenance does: so it is another one than was seen.
func (d *days) sweep(*rapid.T) {
	row, exists := d.stored(quota.Partition(key, d.period, 0))
	if !exists {
		return
	}
	now := d.period.Window(time.Now())
	if d.period.Next(d.period.Next(row.Window)) < now {
		d.remove()
		return
	}
	d.put(row.Roll(d.period, now))
}

// calm lets everything under way come to an end, and has all settle up.
func (d *days) calm(t *rapid.T) {
	d.rest()
	if second := time.Now().Second(); second < 2 || second > 57 {
		t.Skip("not all are in the same window")
	}
	d.settleUp()
}

func (d *days) check(t *rapid.T) {
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.amiss) > 0 {
		t.Fatal(d.amiss)
	}
	for _, n := range d.tenants {
		if amiss := n.engine.Amiss(); len(amiss) > 0 {
			t.Fatal(amiss)
		}
	}
}

// play draws a history and what comes after it.
func (d *days) play(t *rapid.T) {
	t.Repeat(map[string]func(*rapid.T){
		"reserve":        d.reserve,
		"reserve again":  d.reserve,
		"reserve beside": d.reserve,
		"settle":         d.settle,
		"settle again":   d.settle,
		"time passes": func(t *rapid.T) {
			pass(time.Duration(rapid.IntRange(1, 40_000).Draw(t, "ms")) * time.Millisecond)
		},
		"a moment passes": func(t *rapid.T) {
			pass(time.Duration(rapid.IntRange(1, 30).Draw(t, "ms")) * time.Millisecond)
		},
		"the edge is near": func(t *rapid.T) {
			pass(time.Until(time.Now().Truncate(time.Minute).Add(time.Minute - time.Duration(rapid.IntRange(1, 30).Draw(t, "ms"))*time.Millisecond)))
		},
		"change":    d.changes,
		"cut":       d.cut,
		"learn":     func(t *rapid.T) { d.tenant(t).tell() },
		"correct":   d.correct,
		"give back": func(t *rapid.T) { n := d.tenant(t); d.slow(t, n); d.begin(func() { n.giveBack(0) }) },
		"be idle":   func(t *rapid.T) { n := d.tenant(t); d.begin(func() { n.giveBack(5 * time.Second) }) },
		"leave":     d.leave,
		"forget":    d.forget,
		"sweep":     d.sweep,
		"settle up": d.calm,
		"":          d.check,
	})
	d.close()
	d.check(t)
}

// TestAnyHistoryOfAHouse: whatever several instances in one process do at once, each takes
// directly what it can, nobody spends what no row has granted, and after all is given back
// the rows have granted what was spent.
func TestAnyHistoryOfAHouse(t *testing.T) {
	least := map[string]int{
		"direct": 1000, "direct conflict": 100, "direct over the edge": 10, "direct with another amount meanwhile": 40,
		"direct conflict with one from outside": 1, "by a flight": 100, "settled up": 100, "a request over the edge": 10,
		"a request while a direct write is under way": 100, "a give-back while a direct write is under way": 10,
	}
	happened := make(map[string]int)
	enough := func() bool {
		for what, n := range least {
			if happened[what] < n {
				return false
			}
		}
		return true
	}
	checkUntil(t, enough, func(t *rapid.T) {
		rapid.SyncTest(t, func(t *rapid.T) {
			d := newDays(t)
			defer func() {
				d.rest()
				for what, n := range d.happened {
					happened[what] += n
				}
			}()
			d.play(t)
		})
	})
	if !enough() && !t.Failed() {
		t.Error("void: too little of something")
	}
	t.Logf("what happened: %v", happened)
}
