package e2e_test

import (
	"testing"
	"time"

	"spillway/tests/await"
	"spillway/tests/fakes/azureopenai"
)

// A backend that falls sick is left alone by all instances, whichever of them
// has found it out. After each opening of the breaker one request of a user, of
// one instance, is the trial; beside it the gateways send probes, and no two of
// all these run at once. When the backend is well again the trial closes the breaker
// everywhere.
func TestOneTrialPerOpening(t *testing.T) {
	needsFleet(t)
	f := startFleet(t, fleetOptions{})
	frail := f.backends["frail"]
	t.Cleanup(func() { showRequests(t, frail) })
	frail.Inject(azureopenai.Fault{Kind: azureopenai.FaultStatus})
	l := f.load(t, false, "frail")
	for _, p := range f.instances {
		p.awaitEvent(t, "the breaker has opened", func(e event) bool { return e.Event == "breaker_opened" })
	}
	await.Until(t, time.Now().Add(usualEdge)) // what was on its way has arrived
	before := int64(frail.requests())
	// A trial that takes a while would meet another one.
	frail.Inject(azureopenai.Fault{Kind: azureopenai.FaultDelay, Delay: 200 * time.Millisecond})
	await.That(t, "the fourth opening has come", func() bool {
		for _, p := range f.instances {
			for _, e := range p.events("breaker_opened") {
				if e.Opens >= 4 {
					return true
				}
			}
		}
		return false
	})
	frail.Clear()
	var first time.Time
	for _, p := range f.instances {
		p.awaitEvent(t, "the breaker has closed", func(e event) bool { return e.Event == "breaker_closed" })
		if first.IsZero() {
			first = time.Now()
		}
	}
	spread := time.Since(first)
	allGood(t, l.stop())

	claims, all, failed := make(map[int]int), 0, 0
	for _, p := range f.instances {
		latest := -1 // the opening after which the process has claimed its latest trial
		for _, line := range p.output.Lines() {
			switch e := eventOf(line); {
			case e.Event == "breaker_half_open" && e.Reason == "trial_claimed":
				latest = e.Opens
				claims[latest]++
				all++
			case e.Event == "probe":
				claims[latest]-- // the gateway's own request, beside those of users
			case e.Event == "breaker_opened" && e.Reason == "trial_failed":
				failed++
			}
		}
	}
	refused, atOnce := trials(frail, before)
	if refused > all || refused == 0 {
		t.Errorf("the sick backend has refused %d requests while its breaker was open, for %d trials", refused, all)
	}
	if f.alone() {
		t.Skip("the table is too slow on this machine: instances ran trials of their own")
	}
	for opens, n := range claims {
		if n > 1 {
			t.Errorf("%d trials with users' requests were claimed after opening %d, want at most 1", n, opens)
		}
	}
	if refused != failed {
		t.Errorf("the sick backend has refused %d requests while its breaker was open, for %d trials that failed", refused, failed)
	}
	if atOnce > 1 {
		t.Errorf("%d trials ran at once, want at most 1", atOnce)
	}
	t.Logf("users' trials by opening: %v, of %d in all; closed everywhere %s after it was first", claims, all, spread.Round(time.Millisecond))
}

// trials are the requests after a number that a sick backend has refused, and
// how many of them it has had at once.
func trials(b *backend, after int64) (refused, atOnce int) {
	ends := make(map[int64]time.Time)
	for _, e := range b.Events() {
		if e.Kind == azureopenai.EventRejected && e.Request > after {
			ends[e.Request] = e.Time
		}
	}
	begins := make(map[int64]time.Time)
	for _, r := range b.Requests() {
		if _, ok := ends[r.Number]; ok {
			begins[r.Number] = r.Time
		}
	}
	for _, begin := range begins {
		n := 0
		for other := range begins {
			if !begins[other].After(begin) && ends[other].After(begin) {
				n++
			}
		}
		atOnce = max(atOnce, n)
	}
	return len(begins), atOnce
}
