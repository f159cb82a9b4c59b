package swarm

import (
	"cmp"
	"context"
	"slices"
	"time"

	"spillway/shared/lease"
	"spillway/shared/quota"
	"spillway/tests/sim/tally"
	"spillway/tests/sim/verdict"
)

// The rules.
const (
	RuleLimit    = "no row, and no limit's rows together, grant more than the limit"
	RuleSpent    = "nobody spends what no row has granted to it"
	RuleWindow   = "units are spent in their window"
	RuleRow      = "a row moves forward, and its shards stay"
	RuleStranded = "a crash strands little"
	RuleGrants   = "a bounded number of grants"
	RuleWait     = "no request waits long for the store"
	RuleTrial    = "one trial at a time"
	RuleRecovery = "recovery within two windows"
	RuleAlone    = "one call finds out that the store is back"
	RuleOutage   = "contention is not taken for an outage"
	RuleExact    = "what is refused, given back and settled leaves no trace"
)

// Defect bends the surroundings in a way that the judge must see.
type Defect uint8

// The defects.
const (
	None          Defect = iota
	BlindGrants          // The store ignores the ETags of the limits' rows.
	BlindClaims          // The store ignores the ETags of the breakers' rows.
	StaleReads           // The store answers with the row as it was before the last write.
	LostIsDone           // A write whose answer was lost is taken for done.
	StuckClock           // A frozen machine's wall clock stands as well, and stays behind.
	WrongDates           // A third of the machines is told dates 20 s in the past.
	TimerSetsBack        // The timer forgets what was granted.
	SweepsInUse          // The sweeper deletes rows that are in use.
	DoubleSettle         // Every reservation is settled twice.
	SecretUnits          // Every request reserves once more, in secret.
	SlowReserve          // Waiting requests wait once more.
	LastingFaults        // The store goes on to fail, now and then.
	LastingCuts          // A machine that was cut off from the store stays so.
)

// What is counted besides the faults of the store.
const (
	countCut         = "fault: cut off from the store"
	countDates       = "fault: date off by 2 s"
	countCrashes     = "fault: crash and restart"
	countFreezes     = "fault: freeze"
	countTerminated  = "fault: ended by SIGTERM"
	countMidway      = "fault: SIGTERM amid requests"
	countIdle        = "fault: idle give-back"
	countStepped     = "fault: wall clock stepped"
	countCuts        = "fault: limit cut"
	countRaises      = "fault: limit raised"
	countRuns        = "fault: run of a timer"
	countRolled      = "fault: row rolled by a timer"
	countProbed      = "breaker: probed by a timer"
	countOverlapping = "fault: timer runs that overlap"
	countSwept       = "fault: row swept away"
	countJoined      = "fault: joined in a storm"
	countHung        = "fault: trial without an answer"
	countTrials      = "breaker: trials"
	countOffTrials   = "breaker: trials with a clock more than a second off"
	countOver        = "settled for more than reserved"
	countForgotten   = "debt forgotten with a lease that ended before its window"
	countPiled       = "crash that stranded more than three chunks, for units that came back"
	countNobody      = "no process there"
)

// Missing returns what has not happened a hundred times: runs without it prove
// nothing.
func Missing(total tally.Counts) []string {
	names := []string{
		countCut, countDates, countCrashes, countFreezes, countTerminated, countMidway, countIdle, countStepped,
		countCuts, countRaises, countRuns, countRolled, countOverlapping, countSwept, countJoined, countHung,
		countTrials, countOver,
	}
	for _, fault := range storeFaults() {
		names = append(names, "store: "+fault.String())
	}
	for _, outcome := range []lease.Outcome{lease.Granted, lease.Unmetered, lease.Full, lease.Contended, lease.Refused} {
		names = append(names, "verdict: "+outcome.String())
	}
	wanted := tally.Counts{}
	for _, name := range names {
		wanted[name] = 100
	}
	return total.Missing(wanted)
}

// Result is what a run came to.
type Result struct {
	Tally   tally.Counts
	Minutes []Figures
	Windows []Window
	Found   []verdict.Violation
	Broken  map[string]int // How often each rule was broken.
}

// stubbornness is the share of late requests that may be refused though others
// hardly use the limit.
const stubbornness = 0.01

// settleUp judges, in a run without faults, that nothing leaks: once everybody has
// given back, each has been granted what it spent, and not a unit more.
func (w *world) settleUp() {
	if w.config.Faults {
		if float64(w.stubborn) > stubbornness*float64(w.late) {
			w.violate(RuleRecovery, "%d of %d requests were refused though more than half of the limit was granted to nobody", w.stubborn, w.late)
		}
		return
	}
	for _, n := range w.all { // One by one, so that none of them gives up for the others.
		n.engine.GiveBack(context.Background())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, limit := range w.config.Limits {
		for _, n := range w.all {
			a := n.account(i, limit.Period.Window(time.Now()))
			// What it did not hear of it cannot give back; what it owes nobody has granted.
			if kept := a.net - a.used; kept > a.lost || -kept > a.owed+a.unmetered {
				w.violate(RuleExact, "%s spent %d of %s and has given back, but %d are granted to it", n.name, a.used, limit.Key, a.net)
			}
			w.figures().Exact += a.used
		}
	}
}

// judgeStranded judges what a crash of the process would strand.
func (w *world) judgeStranded(n *incarnation) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for i, limit := range w.config.Limits {
		present := limit.Period.Window(now)
		var held, largest, returned, lost int64
		for _, a := range n.books[i] {
			if a.window >= present {
				held += max(a.net-a.used, 0)
			}
			if a.window >= present-quota.Window(10*60) {
				largest = max(largest, a.largest)
				lost += a.lost
				returned += a.returned
			}
		}
		if held > 3*largest {
			w.tally[countPiled]++
		}
		if held > 3*largest+returned+lost {
			w.violate(RuleStranded, "%s strands %d of %s by its end; its largest chunk was %d, %d came back to it and %d were lost", n.name, held, limit.Key, largest, returned, lost)
		}
		if limit.Mean > 0 {
			f := w.figures()
			f.Strand = max(f.Strand, float64(held)/float64(limit.Amount))
		}
	}
}

// result collects the figures.
func (w *world) result() *Result {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, fault := range storeFaults() {
		w.tally["store: "+fault.String()] = w.table.Count(fault)
	}
	r := &Result{Windows: w.windows()}
	r.Tally, r.Minutes, r.Found, r.Broken = w.tally, w.minutes, w.found, w.broken
	slices.SortFunc(r.Windows, func(a, b Window) int {
		return cmp.Or(cmp.Compare(a.Limit, b.Limit), cmp.Compare(a.Start, b.Start))
	})
	return r
}
