package lease

import (
	"errors"
	"testing"

	"spillway/tests/model/search"
	"spillway/tests/race"
)

// configs are what is searched, each completely. Together they contain everything
// that can happen in the model; all of it at once would be too many states.
var configs = []Config{
	// One row and everything that can happen to it but late writes.
	{
		Name: "one row", Limit: 3, Windows: 2, Sizes: sizes(1), Settle: true, Give: true,
		Faults: Faults{Crash: 1, Request: 1, Answer: 1},
	},
	{
		Name: "one row, limit of four", Limit: 4, Windows: 2, Sizes: sizes(1), Settle: true, Give: true,
	},
	{
		Name: "requests of two sizes", Limit: 3, Windows: 2, Sizes: sizes(1, 2), Settle: true, Give: true,
		Faults: Faults{Answer: 1},
	},
	{
		Name: "debts", Limit: 3, Windows: 2, Sizes: sizes(1), Settle: true, Give: true,
		Faults: Faults{Debt: 2, Answer: 1},
	},
	{
		Name: "a surplus", Limit: 3, Windows: 2, Sizes: sizes(1), Settle: true, Give: true, Surplus: true,
		Faults: Faults{Answer: 1},
	},
	{
		Name: "a surplus, debts", Limit: 3, Windows: 1, Sizes: sizes(1), Settle: true, Give: true, Surplus: true,
		Faults: Faults{Debt: 1, Answer: 1},
	},
	// Units of the next window.
	{
		Name: "ahead, a surplus", Limit: 3, Windows: 2, Sizes: sizes(1), Ahead: true, Give: true, Surplus: true,
		Faults: Faults{Request: 1},
	},
	{
		Name: "ahead", Limit: 3, Windows: 2, Sizes: sizes(1), Ahead: true, Give: true,
		Faults: Faults{Answer: 1},
	},
	{
		Name: "ahead, a window passed over", Limit: 2, Windows: 3, Skip: true, Sizes: sizes(1), Ahead: true, Give: true,
	},
	{
		Name: "ahead, crashes", Limit: 2, Windows: 2, Sizes: sizes(1), Ahead: true, Give: true,
		Faults: Faults{Crash: 1, Request: 1},
	},
	{
		Name: "ahead, leases die early", Limit: 2, Windows: 2, Sizes: sizes(1), Ahead: true, Give: true, Settle: true,
		Faults: Faults{Die: 1},
	},
	// Shards: their number changes at an edge, up and down, by itself and by what
	// the instances see.
	{
		Name: "one shard, then two", Limit: 4, Windows: 3, Skip: true, Sizes: sizes(1), Give: true,
		Shards: [3]int8{1, 2, 2}, Large: true,
	},
	{
		Name: "one shard, then two, ahead", Limit: 3, Windows: 2, Sizes: sizes(1), Ahead: true, Give: true,
		Shards: [3]int8{1, 2, 2}, Faults: Faults{Crash: 1},
	},
	{
		Name: "two shards, then one, ahead", Limit: 4, Windows: 2, Sizes: sizes(1), Ahead: true, Give: true,
		Shards: [3]int8{2, 1, 2},
	},
	{
		Name: "two shards, answers lost", Limit: 3, Windows: 2, Sizes: sizes(1), Ahead: true, Give: true,
		Shards: [3]int8{2, 2, 1}, Faults: Faults{Answer: 1},
	},
	{
		Name: "shards, crashes", Limit: 2, Windows: 3, Skip: true, Sizes: sizes(1), Give: true,
		Shards: [3]int8{1, 2, 2}, Large: true, Faults: Faults{Crash: 1, Answer: 1},
	},
	{
		Name: "shards, late writes", Limit: 2, Windows: 3, Skip: true, Sizes: sizes(1), Lost: true,
		Shards: [3]int8{2, 1, 2}, Large: true, Faults: Faults{Late: 1},
	},
	{
		Name: "a crowd comes", Limit: 2, Windows: 3, Skip: true, Sizes: sizes(1), Ahead: true,
		Shards: [3]int8{1, 1, 1}, Crowd: true, Faults: Faults{Timer: 1},
	},
	// Rows that could not serve are asked again, for what others gave back.
	{
		Name: "looks", Limit: 3, Windows: 1, Sizes: sizes(1, 2), Look: true, Settle: true, Give: true,
		Faults: Faults{Answer: 1, Request: 1, Debt: 1},
	},
	{
		Name: "looks, over an edge", Limit: 2, Windows: 2, Sizes: sizes(1), Look: true, Settle: true, Give: true,
		Faults: Faults{Answer: 1, Die: 1},
	},
	{
		Name: "looks, ahead", Limit: 2, Windows: 2, Sizes: sizes(1), Look: true, Ahead: true, Give: true,
		Faults: Faults{Crash: 1},
	},
	{
		Name: "looks at shards", Limit: 3, Windows: 2, Sizes: sizes(1), Look: true, Give: true,
		Shards: [3]int8{2, 2, 1}, Faults: Faults{Answer: 1},
	},
	{
		Name: "looks, late writes", Limit: 2, Windows: 2, Sizes: sizes(1), Look: true, Give: true, Lost: true,
		Faults: Faults{Late: 1},
	},
	{
		Name: "looks, a cut and back", Limit: 3, Cut: 1, Since: true, Windows: 1, Sizes: sizes(1), Look: true, Settle: true, Give: true,
		Faults: Faults{Cut: 2},
	},
	// Writes that happen after their client gave up.
	{
		Name: "late writes", Limit: 3, Windows: 2, Sizes: sizes(1), Give: true, Lost: true,
		Faults: Faults{Late: 2, Answer: 1},
	},
	{
		Name: "late writes, crashes", Limit: 2, Windows: 2, Sizes: sizes(1), Give: true, Lost: true,
		Faults: Faults{Late: 2, Crash: 1, Request: 1, Answer: 1},
	},
	{
		Name: "late writes, ahead", Limit: 2, Windows: 2, Sizes: sizes(1), Ahead: true, Give: true, Lost: true,
		Faults: Faults{Late: 1, Timer: 1},
	},
	// Writes that are sent twice on their way, so that the answer says the opposite of what
	// happened.
	{
		Name: "sent twice", Limit: 3, Windows: 2, Sizes: sizes(1), Settle: true, Give: true, Lost: true,
		Faults: Faults{Twice: 2},
	},
	{
		Name: "sent twice, ahead", Limit: 2, Windows: 2, Sizes: sizes(1), Ahead: true, Give: true, Lost: true,
		Faults: Faults{Twice: 1, Crash: 1, Timer: 1},
	},
	{
		Name: "sent twice, answers lost", Limit: 2, Windows: 2, Sizes: sizes(1), Give: true, Lost: true,
		Faults: Faults{Twice: 1, Answer: 1, Late: 1},
	},
	{
		Name: "sent twice, a known cut, and back", Limit: 3, Cut: 1, Since: true, Windows: 1, Sizes: sizes(1), Settle: true, Give: true, Lost: true,
		Faults: Faults{Cut: 2, Twice: 1},
	},
	// The amount changes: a cut acts at once, a raise at the edge.
	{
		Name: "a cut", Limit: 3, Cut: 1, Windows: 2, Sizes: sizes(1), Ahead: true, Faults: Faults{Cut: 2},
	},
	{
		Name: "a raise", Limit: 1, Cut: 2, Windows: 2, Sizes: sizes(1), Ahead: true, Give: true, Faults: Faults{Cut: 2},
	},
	// The amount changes at a known moment, which the instances learn at different times.
	{
		Name: "a known cut, and back", Limit: 3, Cut: 1, Since: true, Windows: 1, Sizes: sizes(1), Settle: true, Give: true, Faults: Faults{Cut: 2, Answer: 1},
	},
	{
		Name: "a known cut, ahead", Limit: 3, Cut: 1, Since: true, Windows: 2, Sizes: sizes(1), Ahead: true, Faults: Faults{Cut: 1},
	},
	{
		Name: "a known cut, late writes", Limit: 3, Cut: 2, Since: true, Windows: 1, Sizes: sizes(1), Settle: true, Lost: true, Faults: Faults{Cut: 1, Late: 1, Crash: 1},
	},
	{
		Name: "a known raise, and back", Limit: 1, Cut: 3, Since: true, Windows: 1, Sizes: sizes(1), Settle: true, Give: true, Faults: Faults{Cut: 2, Request: 1},
	},
}

func sizes(units ...int8) []int8 { return units }

// TestEveryHistoryHoldsTheRules: no state that two instances can reach breaks a
// rule. If one does, the test prints the shortest way to it, which is all there is
// to replay.
func TestEveryHistoryHoldsTheRules(t *testing.T) {
	var results []search.Result
	states := 0
	reduce := race.Enabled || testing.Short()
	for _, c := range configs {
		if reduce {
			c = c.reduced()
		}
		t.Run(c.Name, func(t *testing.T) {
			r := search.Search(Model(c, Sound, 0), search.Options{})
			t.Log(r)
			if r.Violation != nil {
				t.Fatal(r.Violation)
			}
			if !r.Complete {
				t.Fatal("cut off: it takes too much memory")
			}
			results = append(results, r)
			states += r.States
		})
	}
	t.Logf("%d states", states)
	if reduce || len(results) < len(configs) {
		return // Not everything happens in smaller searches, or in some of them.
	}
	var all []string
	for _, labels := range says {
		all = append(all, labels[:]...)
	}
	if missing := search.Missing(append(all, landsLate, timerRolls, amountSet), results...); len(missing) > 0 {
		t.Errorf("void: never happened: %q", missing)
	}
}

// seeded is a defect, a search that must find it, and the rule that it breaks.
type seeded struct {
	name   string
	defect Defect
	config Config
	rule   Rule
}

// seededDefects are the mistakes that the search must find.
func seededDefects() []seeded {
	one := Config{Limit: 2, Windows: 2, Sizes: sizes(1), Settle: true, Give: true}
	lossy := one
	lossy.Faults = Faults{Request: 1, Answer: 1}
	repeated := one
	repeated.Faults.Twice = 1
	crowded := repeated
	crowded.Limit = 3
	owing := one
	owing.Faults.Debt = 1
	ahead := Config{Limit: 2, Windows: 2, Sizes: sizes(1), Ahead: true, Give: true}
	skipping := ahead
	skipping.Windows, skipping.Skip = 3, true
	late := Config{Limit: 2, Windows: 2, Sizes: sizes(1), Lost: true, Faults: Faults{Late: 1}}
	sharded := Config{Limit: 2, Windows: 2, Sizes: sizes(1), Shards: [3]int8{1, 2, 2}, Large: true}
	longer := sharded
	longer.Windows, longer.Skip = 3, true
	cut := Config{Limit: 2, Cut: 1, Windows: 2, Sizes: sizes(1), Faults: Faults{Cut: 1}}
	known := cut
	known.Since = true
	settled := known
	settled.Limit, settled.Settle = 3, true
	cutAhead := known
	cutAhead.Limit, cutAhead.Ahead = 3, true
	raised := known
	raised.Limit, raised.Cut, raised.Faults.Cut = 1, 2, 2
	looking := one
	looking.Look = true
	unsent := known
	unsent.Limit, unsent.Cut, unsent.Faults.Request = 3, 2, 1

	return []seeded{
		{"the row is rolled backwards", rowRolledBack, one, RuleBack},
		{"the row is rolled backwards, to the end", rowRolledBack, one, RuleLimit},
		{"a lost answer counts as success", doubtIsSuccess, lossy, RuleLimit},
		{"a refund goes to a row in another window", refundIntoAnyWindow, one, RuleLimit},
		{"a refund can still be spent", refundWhileSpending, one, RuleLimit},
		{"a refund is tried again after its answer was lost", refundAgain, lossy, RuleLimit},
		{"a refund that found a conflict goes to a newer lease", conflictIntoNewerLease, one, RuleLimit},
		{"a refund that found a conflict is not looked for", conflictBelieved, repeated, RuleLimit},
		{"a refund that the row has forgotten is given back again", forgottenIsNone, crowded, RuleLimit},
		{"a settlement goes to a newer lease", settleIntoNewerLease, one, RuleLimit},
		{"a lease does not expire", leaseNotExpired, one, RuleAfter},
		{"debts are forgotten", debtForgotten, owing, RuleLimit},
		{"units of the next window are spent in this one", aheadSpentEarly, ahead, RuleBefore},
		{"units of the next window count twice at the edge", aheadCountedTwice, ahead, RuleLimit},
		{"the row does not count units of the next window", aheadNotCounted, ahead, RuleLimit},
		{"units of the next window are given back to this one", aheadGivenBackNow, ahead, RuleLimit},
		{"units of the next window go to the lease of this one", aheadIntoAnyLease, ahead, RuleLimit},
		{"units of a window that was passed over are spent", aheadOutlives, skipping, RuleLimit},
		{"another's nonce is taken for one's own", recallAnyNonce, lossy, RuleLimit},
		{"units of a late write are spent although counted as lost", lateAnswerTaken, late, RuleHeld},
		{"a write has no condition", writeWithoutCondition, one, RuleLimit},
		{"a conflict counts as success", conflictIsSuccess, one, RuleLimit},
		{"the number of shards changes within a window", shardsChangeAtOnce, sharded, RuleLimit},
		{"the number of shards is not written down before use", shardsNotSettled, longer, RuleLimit},
		{"a guest takes from a shard that there is not", guestOfNoShard, sharded, RuleLimit},
		{"a shard grants more than its share", shareNotDivided, sharded, RuleLimit},
		{"a shard grants more than its share, at once", shareNotDivided, sharded, RuleShare},
		{"exhausted outlives its window", exhaustedOutlives, one, RuleExhausted},
		{"a row that was full once refuses all through its window", oldRefuses, looking, RuleOld},
		{"a row that was full a while ago is taken to have room", oldGrants, looking, RuleLimit},
		{"a full row is asked for every request", asksAtOnce, looking, RuleAsks},
		{"a full row is asked until it has room", failedLookIsNone, looking, RuleAsks},
		{"a cut does not act", cutIgnored, cut, RuleShare},
		{"a raise acts at once", raiseAtOnce, cut, RuleRaise},
		{"a lease is spent as before after a cut", cutNotChecked, known, RuleCut},
		{"a cut is not told to others", cutNotWritten, unsent, RuleCut},
		{"a refund after a cut is spent", cutRefundSpent, settled, RuleCut},
		{"units of the next window are spent as before after a cut", cutNotCheckedAhead, cutAhead, RuleCut},
		{"units that arrive after a cut are spent as before", cutNotCheckedLate, cutAhead, RuleCut},
		{"a check that did not reach the row counts", cutForgotten, unsent, RuleCut},
		{"a lease is spent before others are told of a cut", cutSpentMeanwhile, cutAhead, RuleCut},
		{"what was in force between two amounts is not thought of", betweenUnseen, raised, RuleCut},
		{"an amount that was set earlier wins", earlierAmountWins, known, RuleLater},
	}
}

// TestSeededDefectsAreFound: the search finds what each mistake leads to, checking
// no other rule than the one that the mistake must break.
func TestSeededDefectsAreFound(t *testing.T) {
	seen := map[Defect]bool{}
	for _, test := range seededDefects() {
		seen[test.defect] = true
		t.Run(test.name, func(t *testing.T) {
			o := search.Options{}
			if race.Enabled || testing.Short() {
				o.MaxStates = 70_000
			}
			r := search.Search(Model(test.config, test.defect, test.rule), o)
			t.Log(r)
			if r.Violation == nil && o.MaxStates > 0 {
				t.Skip("it takes a larger search than this one to find it")
			}
			var broken *Broken
			switch {
			case r.Violation == nil:
				t.Fatal("the search did not find it")
			case !errors.As(r.Violation.Err, &broken) || broken.Rule != test.rule:
				t.Errorf("found as %v, want %v", r.Violation.Err, test.rule)
			}
			t.Log(r.Violation)
		})
	}
	for d := Sound + 1; d < defects; d++ {
		if !seen[d] {
			t.Errorf("defect %d is not seeded", d)
		}
	}
}

// TestFingerprintsLeaveNothingOut: searches that keep whole states reach as many.
func TestFingerprintsLeaveNothingOut(t *testing.T) {
	for _, c := range []Config{
		{Limit: 2, Windows: 2, Sizes: sizes(1), Give: true, Faults: Faults{Answer: 1}},
		{Limit: 2, Windows: 2, Sizes: sizes(1), Ahead: true},
		{Limit: 2, Windows: 2, Sizes: sizes(1), Shards: [3]int8{1, 2, 2}},
	} {
		model := Model(c, Sound, 0)
		compact, exact := search.Search(model, search.Options{}), search.Search(model, search.Options{Exact: true})
		if compact.States != exact.States || compact.Transitions != exact.Transitions || !exact.Complete || !compact.Complete {
			t.Errorf("%v\n%v", compact, exact)
		}
	}
}
