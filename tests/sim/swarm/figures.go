package swarm

import (
	"math"
	"strings"
	"time"

	"spillway/shared/lease"
	"spillway/shared/quota"
)

// Figures are what was measured in one minute of a run, or in all of it.
type Figures struct {
	Requests   int64 // Verdicts, those of second attempts included.
	Operations int64 // Of the store, for limits.
	Queries    int64 // Of the store, for breakers.
	Writes     int64 // For limits.
	Conflicts  int64 // Of the writes.
	Contended  int64
	Full       int64
	Needless   int64         // Refused as full, though the rows together had room.
	Room       float64       // The most that they had, of the limit.
	Wait       time.Duration // The longest.
	Off        time.Duration // The most that units were spent outside of their window.
	Offered    int64         // Units asked for.
	Told       int64         // Unmetered units that the engines told of.
	Strand     float64       // The most that a crash stranded, of the limit.
	Exact      int64         // Units found to be accounted for after everybody gave back.

	Stormed        int64 // Requests that came with the storm.
	StormContended int64 // Of them, those that were contended.
	StormAgain     int64 // Of these, those that were contended when they asked again.
}

// Merge adds the figures of another minute.
func (f *Figures) Merge(other *Figures) {
	for _, sum := range []struct {
		to   *int64
		from int64
	}{
		{&f.Requests, other.Requests},
		{&f.Operations, other.Operations},
		{&f.Queries, other.Queries},
		{&f.Writes, other.Writes},
		{&f.Conflicts, other.Conflicts},
		{&f.Contended, other.Contended},
		{&f.Full, other.Full},
		{&f.Needless, other.Needless},
		{&f.Offered, other.Offered},
		{&f.Told, other.Told},
		{&f.Exact, other.Exact},
		{&f.Stormed, other.Stormed},
		{&f.StormContended, other.StormContended},
		{&f.StormAgain, other.StormAgain},
	} {
		*sum.to += sum.from
	}
	f.Room, f.Strand = max(f.Room, other.Room), max(f.Strand, other.Strand)
	f.Wait, f.Off = max(f.Wait, other.Wait), max(f.Off, other.Off)
}

// figures returns the figures of the present minute. The caller holds mu.
func (w *world) figures() *Figures {
	minute := int(time.Since(w.start) / time.Minute)
	for len(w.minutes) <= minute {
		w.minutes = append(w.minutes, Figures{})
	}
	return &w.minutes[minute]
}

// note counts a verdict. The caller holds mu.
func (w *world) note(q *request, v lease.Outcome, waited time.Duration, first bool) {
	f := w.figures()
	f.Requests++
	f.Offered += q.units
	f.Wait = max(f.Wait, waited)
	switch v {
	case lease.Contended:
		f.Contended++
	case lease.Full:
		f.Full++
	default:
	}
	if !q.stormed {
		return
	}
	switch {
	case first:
		f.Stormed++
		if v == lease.Contended {
			f.StormContended++
		}
	case v == lease.Contended:
		f.StormAgain++
	}
}

// operation counts an operation of the store.
func (w *world) operation(partition string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if strings.HasPrefix(partition, "quota!") {
		w.figures().Operations++
	} else {
		w.figures().Queries++
	}
}

// Window is what came of one window of a limit, in units.
type Window struct {
	Limit     int // Its place in Config.Limits.
	Start     quota.Window
	Amount    int64 // The limit.
	Granted   int64 // The most that the rows had granted of it at one time.
	Spent     int64
	Unmetered int64 // The part of Spent that no row granted.
	Over      int64 // The part of Spent beyond Amount.
	Owed      int64 // Spent beyond reservations: the most that Over may be besides Unmetered.
	Stranded  int64 // Granted, and not spent.
	Shards    int64
	Holders   int64 // Instances that took units.
	Grants    int64
	Bound     int64 // The most grants that there may be; see bound.
}

// windows sums up the windows of all limits, and judges the sums. The caller holds mu.
func (w *world) windows() []Window {
	var windows []Window
	at := make(map[sheet]int)
	for id, l := range w.vault.ledgers {
		at[id] = len(windows)
		windows = append(windows, Window{
			Limit: id.limit, Start: id.window, Granted: l.most, Grants: l.grants, Shards: l.shards,
			Amount: w.vault.room(id.limit, id.window) + l.granted,
		})
	}
	for _, n := range w.all {
		for limit, accounts := range n.books {
			for _, a := range accounts {
				i, ok := at[sheet{limit, a.window}]
				if !ok {
					continue
				}
				sum := &windows[i]
				sum.Spent += a.used
				sum.Unmetered += a.unmetered
				sum.Owed += a.owed
				sum.Stranded += max(a.net-a.used, 0)
				if a.grants > 0 {
					sum.Holders++
				}
			}
		}
	}
	for i := range windows {
		sum := &windows[i]
		sum.Over = max(sum.Spent-sum.Amount, 0)
		if sum.Over > sum.Unmetered+sum.Owed {
			w.violate(RuleLimit, "%d of %d were spent of %s, %d of them unmetered and %d beyond reservations", sum.Spent, sum.Amount, w.config.Limits[sum.Limit].Key, sum.Unmetered, sum.Owed)
		}
		offered := w.offered[sheet{sum.Limit, sum.Start}]
		length := w.config.Limits[sum.Limit].Period.End(sum.Start).Sub(sum.Start.Start())
		sum.Bound = bound(sum, float64(offered)/length.Seconds())
	}
	return windows
}

// bound is the most grants that a window may see if no write fails: with chunks of
// at least c, P instances and S shards, min(L/c + S, 2P·(1 + ln⁺(L/(2P·c))) + 6P).
// The least chunk c is what an instance spends in a second, at most a quarter of an
// even share.
func bound(of *Window, rate float64) int64 {
	instances := float64(max(of.Holders, 1))
	amount := float64(of.Amount)
	least := max(min(amount/(4*instances), rate/instances), 1)
	guided := 2*instances*(1+max(0, math.Log(amount/(2*instances*least)))) + 6*instances
	return int64(min(amount/least+float64(of.Shards), guided))
}
