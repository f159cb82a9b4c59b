package swarm

import (
	"strings"
	"time"

	"spillway/shared/lease"
)

// What a process that has met faults of the store may do by itself.
const (
	// longestCall is how long a process waits for one answer of the store.
	longestCall = 140 * time.Millisecond
	// longestShut is how long it leaves a store alone that has failed it.
	longestShut = 5 * time.Second
)

// answered notes that the store has answered a call of a process for a limit. Calls that
// began with the faults still on, or while others of the process had yet to fail, say
// nothing of the time after.
func (w *world) answered(n *incarnation, partition string, began time.Time) {
	if !began.After(w.quiet.Add(longestCall)) || !strings.HasPrefix(partition, "quota!") {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if n.asked.IsZero() {
		n.asked = time.Now()
	}
}

// judgeAlone judges an answer that a process gave without the store, to a request that
// came at a moment. The caller holds mu.
//
// When the faults are over a process does not know. The last call that failed may have
// ended one call after them, and has kept it from the store for so long as that may be.
// Then the first request that its lease does not cover has the store asked, however late
// it comes: until then there was nothing to ask for. That request is answered without
// the store, as are those that come before the answer. After the answer none is: nothing
// fails any more.
func (w *world) judgeAlone(n *incarnation, q *request, what lease.Outcome, came time.Time) {
	if !w.config.Faults {
		return
	}
	key := w.config.Limits[q.limit].Key
	switch {
	case !n.asked.IsZero() && came.After(n.asked):
		w.violate(RuleAlone, "%s says %v of %s at %v, and the store answered it at %v", n.name, what, key, came.Sub(w.start), n.asked.Sub(w.start))
	case came.Before(w.quiet.Add(longestCall + longestShut)):
	case n.alone.IsZero():
		n.alone = time.Now()
	case came.After(n.alone.Add(longestCall)):
		w.violate(RuleAlone, "%s says %v of %s at %v, and has not asked the store for it at %v", n.name, what, key, came.Sub(w.start), n.alone.Sub(w.start))
	}
}

// recovered tells whether a process must have recovered: it is the last half minute, and
// the process has used the store since the faults. The caller holds mu.
func (w *world) recovered(n *incarnation, now time.Time) bool {
	if !w.config.Faults || n.asked.IsZero() || now.Before(w.end.Add(-judged)) {
		return false
	}
	w.late++
	return true
}
