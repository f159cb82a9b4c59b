package lease

// Defect is a mistake that an implementation could make. The search must find
// what each leads to; else it would not find it in the implementation either.
type Defect int8

// The defects.
const (
	// Sound is the protocol as it is.
	Sound Defect = iota

	rowRolledBack          // An instance behind the row writes its own window.
	doubtIsSuccess         // Units count as granted although the answer was lost.
	refundIntoAnyWindow    // Units are given back to a row that is in another window.
	refundWhileSpending    // Units on their way back can still be spent.
	refundAgain            // A refund whose answer was lost is tried again.
	settleIntoNewerLease   // A refund goes to the lease of a later window.
	leaseNotExpired        // A lease outlives its window.
	aheadSpentEarly        // Units of the next window are spent in this one.
	aheadCountedTwice      // Units of the next window count twice after the edge.
	aheadNotCounted        // The row does not count what it granted ahead.
	aheadGivenBackNow      // Units of the next window are given back to this one.
	aheadIntoAnyLease      // Units of the next window are added to whatever lease there is.
	aheadOutlives          // Units of a window that was passed over stay.
	recallAnyNonce         // Whoever wrote the row, the pending write counts as done.
	lateAnswerTaken        // The answer to a write that was counted as lost is taken.
	shardsChangeAtOnce     // The number of shards changes within a window.
	shardsNotSettled       // Units are taken from a shard before their number is written down.
	guestOfNoShard         // Units are taken from a shard that the window does not have.
	shareNotDivided        // Every shard grants the whole limit.
	writeWithoutCondition  // A write happens although the row has changed.
	conflictIsSuccess      // Units count as granted although the row had changed.
	conflictBelieved       // A refund that met a conflict is not looked for.
	forgottenIsNone        // A refund that the row has forgotten counts as one that did not happen.
	conflictIntoNewerLease // Units that could not be given back go to the lease of a later window.
	debtForgotten          // What a request took beyond its reservation is not paid.
	exhaustedOutlives      // That a row could not serve holds in the next window too.
	oldRefuses             // That a row could not serve holds for all of its window.
	oldGrants              // Once that is old the row is taken to have room.
	asksAtOnce             // A row that could not serve is asked for every request.
	failedLookIsNone       // A row that could not serve is asked again until that brings something.
	cutIgnored             // A cut of the limit does not act.
	raiseAtOnce            // A raise of the limit acts within the window, although nobody knows when it was set.
	cutNotChecked          // After a cut the lease is spent as before.
	cutNotWritten          // An instance that gives nothing back tells nobody of a cut.
	cutRefundSpent         // What comes back after a cut is spent although the row has granted too much.
	cutNotCheckedAhead     // Units of the next window are spent as if the amount had not been cut.
	cutNotCheckedLate      // Units that arrive after the edge are spent as if the amount had not been cut.
	cutForgotten           // A write that did not happen counts as one that has told of the cut.
	cutSpentMeanwhile      // The lease is spent before the write that tells of the cut has happened.
	betweenUnseen          // Whoever has missed a raise, and its end, takes the amount for the same as before.
	earlierAmountWins      // An amount that was set earlier replaces a later one.

	defects // The number of them.
)
