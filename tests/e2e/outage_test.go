package e2e_test

import (
	"strings"
	"testing"
	"time"

	"spillway/tests/await"
	"spillway/tests/fakes/azurite"
)

// A table that is gone for half a minute costs no client anything, whatever the
// policy: requests go where there is room. Under fairShare the limits hold in each
// window of it; under allow each instance counts alone, so that a backend may have
// to refuse some: no more than the units that the instances tell to have granted
// without it. Every instance tells that the table is gone and that it is back, and
// from then on the limits are exact again.
func TestTableOutage(t *testing.T) {
	needsFleet(t)
	const outage = 30 * time.Second
	storage := azurite.Run(t)
	allow := startFleet(t, fleetOptions{policy: "allow", storage: storage.Connection()})
	fair := startFleet(t, fleetOptions{policy: "fairShare", storage: storage.Connection(), instances: 2})
	fleets := []*fleet{allow, fair}
	var loads []*traffic
	for _, f := range fleets {
		loads = append(loads, f.load(t, false, "metered", "paced"))
		await.That(t, "the limits are used", func() bool { return f.used(paced, time.Now()) > 8 })
	}
	// Shares are even where each instance knows of all others.
	fair.awaitExact(t, 1, time.Now().Truncate(slice).Add(slice))
	await.That(t, "the limits are used", func() bool { return fair.used(paced, time.Now()) > 8 })

	storage.Stop()
	gone := time.Now()
	await.Until(t, gone.Add(outage))
	storage.Start()
	for _, f := range fleets {
		for _, p := range f.instances {
			p.awaitEvent(t, "the table is gone", func(e event) bool { return e.Event == "store_degraded" })
			await.That(t, "every instance uses the table again", func() bool { return p.lastOf("store_degraded", "store_recovered") == "store_recovered" })
		}
	}
	back := time.Now()
	whole := back.Truncate(slice).Add(slice)
	for _, f := range fleets {
		f.awaitExact(t, 1, whole)
	}
	for i, f := range fleets {
		all := loads[i].stop()
		allGood(t, all)
		recorded(t, all)
		f.exact(t, always)
		t.Logf("%s: %d requests of %d instances, all served", f.env["POLICY"], len(all), len(f.instances))
	}
	shares(t, fair.history(paced), func(start, end time.Time) bool { return start.After(gone.Add(slice)) && end.Before(gone.Add(outage)) })
}

// shares asserts that instances without a table have not gone beyond a limit in windows
// that judged is true of, and have used one of them up: they began and ended without a
// table, and nobody had taken anything ahead of them, so each instance had its share.
// That no row had granted it explains nothing.
func shares(t *testing.T, h history, judged func(start, end time.Time) bool) {
	t.Helper()
	h.unmetered, h.troubles = nil, nil
	for _, complaint := range h.complaints(judged) {
		t.Errorf("without a table: %s", complaint)
	}
	if h.tests(judged) == 0 {
		t.Error("void: no window began, was used up and ended without a table")
	}
}

// lastOf is which of some events the process has told last; "" if none.
func (p *process) lastOf(names ...string) string {
	last := ""
	for _, line := range p.output.Lines() {
		for _, name := range names {
			if strings.Contains(line, `"event":"`+name+`"`) {
				last = name
			}
		}
	}
	return last
}
