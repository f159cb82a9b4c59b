// Package lease is a model of how instances share a limit, small enough that
// every state it can reach is searched: two instances, two or three windows, a
// limit of a few units, one or two shards, and each of the things that may go
// wrong a bounded number of times. The rows change by the arithmetic of
// shared/quota itself; what an instance decides, and when it reads and writes,
// follows shared/lease step by step.
//
// What is simpler than there, and why that leaves no history out unless it says
// so:
//
// How much an instance expects to need, and how many share a row, only decide how
// large a chunk is: a choice here. A waiting request is a choice at the moment of
// the read. An instance may take units ahead whenever it has none.
//
// To read a row and to plan is one step: if the row changes between the two, the
// write finds a conflict either way. For the same reason a row is never kept for a
// later write. The answer to a write that succeeded is a step of its own only
// where the lease can become another one meanwhile. Of several writes that may
// still happen to one version of a row at most one will, so one at a time is late;
// a second one, of another shard, is left out.
//
// What an instance knows of rows that could not serve grows old at any moment, whoever
// else holds something of them; the request that asks them then, and meets a conflict,
// asks once more a while later. That a look may also come behind a request which the
// lease covers, and takes nothing, is left out.
//
// Clocks only move forward, by any amount apart from each other; a lease that
// dies before its window ends stands for one that was stepped back. A pause
// between reading the clock and taking units is left out: nothing could tell.
//
// The policies are left out (it is Deny throughout), and so are a backend's
// corrections, which only lower what may be spent, and rows that are removed.
package lease

import (
	"fmt"
	"strings"

	"spillway/shared/quota"
)

// period is the length of the windows, epoch the window numbered 0.
const (
	period = quota.Minute
	epoch  = quota.Window(60_000_000)
	length = 60
)

// most is how many windows and shards there are at most; instances how many
// instances.
const (
	most      = 3
	shards    = 2
	instances = 2
)

// State is the whole world at one moment. All numbers are small; windows are
// numbered from 0, and a window that may be none is stored plus one.
type State struct {
	rows [shards]row
	all  [instances]instance
	late write // A write whose client has given up on it, on its way.

	// What really happened, which no instance knows: of each window, the units
	// spent, the units granted by rows that have left the window, debts that
	// their instance has dropped, and units granted that were counted as lost.
	spent, past, dropped, lost [most]int8

	budget Faults // What may still go wrong.
	broken Rule   // A rule that the last step broke.

	changes int8 // How often the amount was changed, where that is known.
}

// Faults are how often things may go wrong.
type Faults struct {
	Crash   int8 // An instance starts anew.
	Request int8 // A write does not reach the store.
	Twice   int8 // A write is sent twice on its way, and the second answer, a conflict, returned.
	Answer  int8 // The answer to a write that happened is lost.
	Late    int8 // A write happens after its client gave up.
	Die     int8 // A lease counts as dead before its window ends: a clock was stepped, a process frozen.
	Debt    int8 // A request takes more than it had reserved.
	Cut     int8 // An instance is told another amount, or it is changed for all.
	Timer   int8 // The housekeeping moves a row on.
}

// row is a row as it is stored.
type row struct {
	exists                                bool
	window                                int8
	granted, holders                      int8
	nextGranted, nextHolders, prevHolders int8
	limit, nextLimit, since               int8
	shards, nextShards, wantShards        int8
	// nonce is the instance (plus one) that still wonders whether this write, its
	// own, happened; 0 for the nonce of a write that nobody wonders about. before is
	// the same of the write before this one.
	nonce, before int8
}

// remembered is how many of its writes a row remembers: fewer than in truth, so that
// two instances get round to what it has forgotten.
const remembered = 2

// instance is what one process knows.
type instance struct {
	clock  int8 // The window that its clock is in.
	amount int8 // What it takes the limit to be.
	change int8 // The change that this was, where that is known.

	window              int8 // Of the lease, plus one; 0: none yet.
	granted, remaining  int8
	next                int8 // Units of the window after that.
	doubtful, doubtNext bool // The rows may have granted more than is in force.
	exhausted           int8 // The window (plus one) in which the row could not serve; 0: not.
	left                int8 // What the row had left, while exhausted or visiting.
	old                 bool // While exhausted: that is old knowledge.
	asked               bool // While exhausted: no time has passed since the rows were asked.

	settled struct{ window, shards, next int8 } // Shard 0 as last seen (window plus one).

	open    reservation
	flight  write
	pending pending
}

// reservation is units set aside whose settlement is still to come; those that are
// settled for what they reserved do not matter any more and are not kept.
type reservation struct {
	units, window int8
	current       bool // The lease is still the one they were taken from.
}

// kind is what a write is for.
type kind int8

const (
	none   kind = iota
	refill      // Takes units of this window.
	reap        // Takes units of the next.
	give        // Gives units back.
	touch       // Writes down the number of shards.
	check       // Gives back what a cut has left no room for.
	roll        // Moves a row on, and leaves the nonces as they are.
	visit       // Not yet a write: about to read another shard.
)

// write is a write of a row, on its way to the store or back.
type write struct {
	kind    kind
	landed  bool // It happened; the answer is on its way.
	doubted bool // Its answer was a conflict; its instance will look whether it happened.
	since   int8 // Give and check, where answers may lie: how many writes came since the row was read, itself included.
	current bool // The row is still as it was read: the write would succeed.
	shard   int8
	guest   bool // The shard is not the home shard.
	owner   int8 // For late: the instance (plus one) that still wonders.
	lost    bool // For late: its units have been counted as lost.
	by      int8 // For late: the instance that sent it.

	window      int8 // Units are of this window; give: the lease's window.
	units, next int8
	told        int8 // Refill, reap and check: what the instance took for in force.
	over        bool // Check: the row has granted too much nevertheless.
	look        bool // Refill: the rows were asked although they had had no room.
	generation  bool // Give and check: the lease is still the one they were taken from.

	row row // As it shall be; the zero row once it happened, except for touch.
}

// pending is a write of units whose answer was lost.
type pending struct {
	units, window int8
	shard, told   int8
	guest, ahead  bool
	landed        bool // It did happen, which the instance does not know.
	changed       bool // Somebody wrote the row since; kept only for the defect that looks at it.
}

// windowOf is the window of a number.
func windowOf(w int8) quota.Window {
	return epoch + quota.Window(w)*length
}

// unpack is the row as package quota knows it.
func (r row) unpack() quota.Row {
	return quota.Row{
		Window: windowOf(r.window), Granted: int64(r.granted), Holders: int64(r.holders),
		NextGranted: int64(r.nextGranted), NextHolders: int64(r.nextHolders), PrevHolders: int64(r.prevHolders),
		Limit: int64(r.limit), NextLimit: int64(r.nextLimit), LimitSince: int64(r.since),
		Shards: int64(r.shards), NextShards: int64(r.nextShards), WantShards: int64(r.wantShards),
	}
}

// pack is the row as the model keeps it. How many share a row decides how large
// their chunks are, which is a choice here; only a crowd, which changes the number
// of shards, is counted, as a crowd.
func pack(r quota.Row) row {
	return row{
		exists: true, window: int8((r.Window - epoch) / length), granted: int8(r.Granted), holders: few(r.Holders),
		nextGranted: int8(r.NextGranted), nextHolders: few(r.NextHolders), prevHolders: few(r.PrevHolders),
		limit: int8(r.Limit), nextLimit: int8(r.NextLimit), since: int8(r.LimitSince),
		shards: int8(r.Shards), nextShards: int8(r.NextShards), wantShards: int8(r.WantShards),
	}
}

// crowd is a number of holders for which one shard is not enough.
const crowd = quota.InstancesPerShard + 1

func few(n int64) int8 {
	if n >= crowd {
		return crowd
	}
	return 0
}

// shardsAt is what the instance knows for certain about the number of shards.
func (in *instance) shardsAt(w int8) (int64, bool) {
	if in.settled.window == 0 {
		return 0, false
	}
	r := quota.Row{
		Window: windowOf(in.settled.window - 1), Shards: int64(in.settled.shards),
		NextShards: int64(in.settled.next), WantShards: int64(in.settled.next), // Which says nothing for certain.
	}
	return r.ShardsAt(period, windowOf(w))
}

func (in *instance) used() int8 {
	return in.granted - in.remaining
}

// granted is how many units of a window all rows have granted.
func (s *State) granted(w int8) int8 {
	sum := s.past[w]
	for i := range s.rows {
		switch r := &s.rows[i]; {
		case r.exists && r.window == w:
			sum += r.granted
		case r.exists && r.window == w-1:
			sum += r.nextGranted
		}
	}
	return sum
}

// String tells the state in one line, leaving out what is empty.
func (s State) String() string {
	var b strings.Builder
	for i, r := range s.rows {
		if !r.exists {
			continue
		}
		fmt.Fprintf(&b, "row%d[w%d granted %d/%d next %d/%d holders %d,%d,%d shards %d,%d,%d nonces %s %s] ", i, r.window,
			r.granted, r.limit, r.nextGranted, r.nextLimit, r.prevHolders, r.holders, r.nextHolders, r.shards, r.nextShards, r.wantShards, who(r.nonce), who(r.before))
	}
	for i, in := range s.all {
		fmt.Fprintf(&b, "%s[clock w%d", who(int8(i)+1), in.clock)
		if in.window > 0 {
			fmt.Fprintf(&b, " lease w%d %d/%d", in.window-1, in.remaining, in.granted)
		}
		if in.next > 0 {
			fmt.Fprintf(&b, " next %d", in.next)
		}
		if in.doubtful {
			b.WriteString(" doubtful")
		}
		if in.exhausted > 0 {
			fmt.Fprintf(&b, " exhausted in w%d, left %d, old %t", in.exhausted-1, in.left, in.old)
		}
		if in.open.units > 0 {
			fmt.Fprintf(&b, " open %d of w%d", in.open.units, in.open.window)
		}
		if in.flight.kind != none {
			fmt.Fprintf(&b, " %v", in.flight)
		}
		if p := in.pending; p.units > 0 {
			fmt.Fprintf(&b, " pending %d of w%d (happened: %t)", p.units, p.window, p.landed)
		}
		b.WriteString("] ")
	}
	if s.late.kind != none {
		fmt.Fprintf(&b, "late %v ", s.late)
	}
	fmt.Fprintf(&b, "spent %v granted [", s.spent)
	for w := range int8(most) {
		fmt.Fprintf(&b, " %d", s.granted(w))
	}
	b.WriteString(" ]")
	return b.String()
}

// String tells the write in a few words.
func (w write) String() string {
	if w.kind == visit {
		return "visits"
	}
	return fmt.Sprintf("%s{%d+%d of w%d, shard %d, landed %t, current %t, doubted %t}",
		[...]string{"", "refill", "reap", "give back", "touch", "check", "roll", ""}[w.kind], w.units, w.next, w.window, w.shard, w.landed, w.current, w.doubted)
}

func who(nonce int8) string {
	return [...]string{"-", "a", "b"}[nonce]
}
