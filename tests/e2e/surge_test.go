package e2e_test

import (
	"testing"
	"time"

	"spillway/tests/await"
)

// At the edge of a minute fifteen instances join the one that runs, under load.
// No window is overdrawn, whichever side of the edge an instance was started on,
// and no client notices.
func TestSurgeOverAnEdge(t *testing.T) {
	needsFleet(t)
	f := startFleet(t, fleetOptions{instances: 1})
	l := f.load(t, false, "metered", "paced")
	next := time.Now().Truncate(time.Minute).Add(time.Minute)
	if time.Until(next) < 5*time.Second { // the one shall have used some of the window
		next = next.Add(time.Minute)
	}
	await.Until(t, next.Add(-time.Second))
	began := time.Now()
	for range 15 {
		f.join(t, nil)
		l.aim(f.instances...)
	}
	started := time.Since(began)
	f.awaitUsed(t, metered, next)
	f.awaitExact(t, 1, time.Now().Truncate(slice).Add(slice))
	all := l.stop()
	allGood(t, all)
	recorded(t, all)
	f.exact(t, always)
	served := make(map[*process]bool)
	for _, s := range all {
		served[s.to] = true
	}
	if len(served) != len(f.instances) || !began.Before(next) {
		t.Errorf("%d of %d instances were asked: the run is void", len(served), len(f.instances))
	}
	t.Logf("15 instances started within %s; %d of %d tokens were used in the minute before, %d in the one after",
		started.Round(time.Millisecond), f.used(metered, began), minuteTokens, f.used(metered, next))
}
