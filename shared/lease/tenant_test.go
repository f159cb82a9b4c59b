package lease_test

import (
	"context"
	"slices"
	"time"

	"spillway/shared/lease"
	"spillway/shared/quota"
)

// window is the window that a tenant is in. Only the test may ask: it alone changes limits.
func (n *tenant) window() quota.Window { return window(n.limit, n.house.period) }

// knows is the amount that a tenant was told last.
func (n *tenant) knows() int64 {
	n.house.mu.Lock()
	defer n.house.mu.Unlock()
	return n.house.set[n.told]
}

// opened is what a tenant has set aside and not settled.
func (n *tenant) opened() []held {
	n.house.mu.Lock()
	defer n.house.mu.Unlock()
	return slices.Clone(n.open)
}

// writes tells whether a tenant is writing directly.
func (n *tenant) writes() bool {
	n.house.mu.Lock()
	defer n.house.mu.Unlock()
	return n.directly
}

// reserve makes a request of a tenant and books the answer.
func (n *tenant) reserve(l *lease.Limit, units int64) lease.Outcome {
	h := n.house
	from := window(l, h.period)
	h.mu.Lock()
	h.note("a request while a direct write is under way", n.directly)
	told, said, flights := n.told, n.ceiling.number, n.flights
	h.mu.Unlock()
	r, v := l.Reserve(context.Background(), units)
	if !v.OK() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if v.Outcome == lease.Refused && !n.late && n.local {
			h.complain("%d units are refused, as if the store were down", units)
		}
		return v.Outcome
	}
	w := window(l, h.period)
	current := r.Current(n.clock.Read())
	h.mu.Lock()
	defer h.mu.Unlock()
	if v.Outcome != lease.Granted {
		h.complain("%d units are %v under deny", units, v.Outcome)
	}
	if !current {
		// Set aside at the last moment of its window, or beyond.
		h.note("a request over the edge", true)
		if h.period.Next(from) < w {
			return v.Outcome // Of which window nobody can tell.
		}
		w = from
	}
	if n.flights == flights {
		told, said = n.told, n.ceiling.number // Else it may have been granted before others whom it served.
	}
	n.spent[w] += units
	n.open = append(n.open, held{r, w, n.under(w, current && said == n.ceiling.number, units)})
	h.balance(n, w)
	h.within(told, w)
	return v.Outcome
}

// under takes units of a request off what a backend said was left, and returns the number
// of that. The caller holds the house's mu.
func (n *tenant) under(w quota.Window, current bool, units int64) int {
	c := &n.ceiling
	if !current || c.number == 0 || c.window != w {
		return 0
	}
	if units > c.left {
		n.house.complain("%d units were granted, a backend said that %d were left", units, c.left)
	}
	c.left -= units
	return c.number
}

// within holds what all have spent to an amount that a tenant was told of, or to a later
// one. The caller holds mu.
func (h *house) within(told int, w quota.Window) {
	if h.sharded || !h.dated && len(h.set) > 1 {
		return // Each shard is held to its share alone, and each tenant to what it knows.
	}
	var spent int64
	for _, other := range h.tenants {
		spent += other.spent[w] - other.beyond[w]
	}
	if most := slices.Max(h.set[told:]); spent > most {
		h.complain("window %d: %d units are spent of %d", w, spent, most)
	}
}

// settle settles one of the open reservations.
func (n *tenant) settle(i int, actual int64) {
	h := n.house
	h.mu.Lock()
	r := n.open[i]
	n.open = slices.Delete(n.open, i, i+1)
	h.mu.Unlock()
	current := r.reservation.Current(n.clock.Read())
	units := r.reservation.Reserved()
	h.mu.Lock()
	if current {
		n.spent[r.window] += actual - units
		n.beyond[r.window] += max(actual-units, 0)
		if c := &n.ceiling; r.ceiling != 0 && r.ceiling == c.number {
			c.left += units - actual
		}
	}
	h.mu.Unlock()
	r.reservation.Settle(actual)
	r.reservation.Settle(0)
}

// correct has a backend say what is left of the window.
func (n *tenant) correct(left int64) {
	w := n.window()
	n.limit.CorrectRemaining(left, n.house.period.End(w))
	n.house.mu.Lock()
	defer n.house.mu.Unlock()
	if c := &n.ceiling; c.window != w || c.number == 0 || left < c.left {
		*c = ceiling{window: w, number: c.number + 1, left: left}
	}
}

// giveBack has a tenant give back what is idle for a time, which must come to an end.
func (n *tenant) giveBack(idle time.Duration) {
	h := n.house
	h.mu.Lock()
	h.note("a give-back while a direct write is under way", n.directly)
	h.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	n.engine.GiveBackIdle(ctx, idle)
	h.mu.Lock()
	defer h.mu.Unlock()
	if ctx.Err() != nil {
		h.complain("a give-back does not end")
	}
}

// residents returns the tenants that are not gone.
func (h *house) residents() []*tenant {
	return slices.DeleteFunc(slices.Clone(h.tenants), func(n *tenant) bool { return n.gone })
}

// rest waits until all calls have ended, and all flights that go on after them.
func (h *house) rest() {
	h.work.Wait()
	before := -1
	for range 1000 {
		begun, resting := h.resting()
		if resting && begun == before {
			return
		}
		before = begun
		pass(200 * time.Millisecond) // Longer than a flight pauses.
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.complain("the tenants do not come to rest")
}

// resting tells how many writes have begun, and whether all have ended: then none is late
// any more.
func (h *house) resting() (begun int, resting bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.begun != h.ended {
		return h.begun, false
	}
	for _, n := range h.tenants {
		n.late = false
	}
	return h.begun, true
}

// settleUp has all tenants give back what they hold, while nothing else is under way: then
// each has taken what it has spent, and owes only what the rows have not.
func (h *house) settleUp() {
	for range 2 { // Who owes may have to wait for what others give back.
		for _, n := range h.residents() {
			n.giveBack(0)
		}
	}
	zero, _ := h.stored(quota.Partition(key, h.period, 0))
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.sharded {
		return // What was taken of another shard goes to the home row, as far as that has granted.
	}
	for _, n := range h.residents() {
		w := n.window()
		spent, taken := n.spent[w], n.taken[w]
		left := min(zero.Left(0), h.set[n.told]-zero.Granted)
		if taken > spent || taken < spent && zero.Window == w && left > 0 {
			h.complain("window %d: %d units were taken and %d spent, all is given back, and the row is %+v", w, taken, spent, zero)
		}
		h.note("settled up", taken > 0)
	}
}

// tomorrow lets time go by until all that anybody has seen is old, and it is not near an
// edge.
func tomorrow() {
	pass(time.Until(time.Now().Truncate(time.Minute).Add(3*time.Minute + 20*time.Second)))
}

// close checks that nothing is left behind: everybody in turn is granted all that there is
// left of the amount, and nothing more.
func (h *house) close() {
	h.rest()
	for _, n := range h.residents() {
		n.tell()
	}
	for range 3 { // Until the row has the amount, and no more shards than it needs.
		tomorrow()
		first := h.residents()[0]
		first.reserve(first.limit, 1)
		h.settleUp()
	}
	for _, n := range h.residents() {
		tomorrow()
		if zero, _ := h.stored(quota.Partition(key, h.period, 0)); zero.Shards > 1 {
			return // No row has it all.
		}
		if left := n.knows() - h.granted(n.window()); left > 0 {
			h.expect(n, left, lease.Granted)
		}
		h.expect(n, 1, lease.Full, lease.TooLarge)
		for range n.opened() {
			n.settle(0, 0)
		}
		h.settleUp()
	}
}

// granted is what all have taken of a window.
func (h *house) granted(w quota.Window) (sum int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, n := range h.tenants {
		sum += n.taken[w]
	}
	return sum
}

// expect makes a request of a tenant that is to have one of some answers.
func (h *house) expect(n *tenant, units int64, want ...lease.Outcome) {
	got := n.reserve(n.limit, units)
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Contains(want, got) {
		h.complain("a request of %d is %v, want %v", units, got, want)
	}
}
