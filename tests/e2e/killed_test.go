package e2e_test

import (
	"os"
	"slices"
	"testing"
	"time"

	"spillway/tests/await"
	"spillway/tests/fakes/azureopenai"
)

// An instance that is killed in the middle of streams takes nothing down but
// its own connections. What it held of the limits is lost for the rest of their
// windows, and what it may have taken ahead for the rest of the next; after that
// the others use the whole limits up, and never more.
func TestKilledInstance(t *testing.T) {
	needsFleet(t)
	f := startFleet(t, fleetOptions{latency: azureopenai.Latency{PerToken: 25 * time.Millisecond}})
	l := f.load(t, true, "metered", "paced")
	victim, others := f.instances[0], f.instances[1:]

	// All hold units of both limits, and streams are open everywhere.
	await.That(t, "all instances serve", func() bool {
		seen := make(map[*process]bool)
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, s := range l.all {
			seen[s.to] = seen[s.to] || s.good()
		}
		return len(seen) == len(f.instances)
	})
	killed := time.Now()
	victim.Signal(os.Kill)
	victim.exitCode(t)
	l.aim(others...)

	whole := killed.Truncate(slice).Add(2 * slice)
	f.only(others...).awaitExact(t, 1, whole)
	all := l.stop()

	cut := 0
	rest := slices.DeleteFunc(all, func(s sent) bool {
		if s.to == victim && !s.good() {
			cut++
		}
		return s.to == victim
	})
	allGood(t, rest)
	recorded(t, rest)
	if cut == 0 {
		t.Error("the victim had no stream open when it was killed: the run is void")
	}
	f.exact(t, always)
	t.Logf("%d streams were cut, %d of the others were served whole; %d of %d requests were used in the slice of the kill, %d in the one after",
		cut, len(rest), f.used(paced, killed), sliceRequests, f.used(paced, killed.Add(slice)))
}
