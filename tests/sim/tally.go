package sim

import (
	"fmt"
	"net/http"
	"slices"

	"spillway/tests/fakes/faultstore"
	"spillway/tests/sim/tally"
)

// Tally counts what schedules have exercised.
type Tally map[string]int64

// What is counted besides the faults.
const (
	countSchedules = "schedules"
	countRequests  = "requests"
	countServed    = "served"
	countSpilled   = "spilled"
	countRefused   = "429 for want of a member with room"
	countOwn       = "429 by a consumer's own limit"
	countBroken    = "503"
	countLeft      = "canceled by the client"
	countProbes    = "asked again at the time told"
	countStreams   = "streams"
	countTokens    = "tokens measured"
)

// Add counts a schedule.
func (t Tally) Add(out *Outcome) {
	t[countSchedules]++
	for _, s := range out.stats {
		for kind, n := range s.Faults {
			t["backend: "+string(kind)] += n
		}
	}
	for fault, n := range out.store {
		t["store: "+fault.String()] += n
	}
	j := judge{Outcome: out}
	for _, r := range out.history.requests {
		t[countRequests]++
		if r.call.Stream {
			t[countStreams]++
		}
		if r.probe {
			t[countProbes]++
		}
		switch {
		case len(r.records) == 1 && r.records[0].Status == 499:
			t[countLeft]++
		case r.refusedByPool():
			t[countRefused]++
		case r.status == http.StatusTooManyRequests:
			t[countOwn]++
		case r.status == http.StatusServiceUnavailable:
			t[countBroken]++
		case r.served():
			t[countServed]++
		}
		if r.served() && r.records[0].Measured {
			t[countTokens] += r.records[0].Tokens.Total()
		}
		if n := len(r.attempts); n > 0 && r.served() && out.Schedule.Members[r.attempts[n-1].member].Priority > j.first() {
			t[countSpilled]++
		}
	}
}

// Merge adds another tally.
func (t Tally) Merge(other Tally) {
	for name, n := range other {
		t[name] += n
	}
}

// Missing returns what a run of full length must have exercised and did not
// exercise often enough for its own length: such a run proves nothing.
func (t Tally) Missing() []string {
	const full = 10_000
	want := map[string]int64{countSpilled: 1000, countRefused: 1000, countOwn: 1000, countLeft: 1000, countBroken: 100, countProbes: 100}
	for _, kind := range faultKinds {
		want["backend: "+string(kind)] = 100
	}
	for _, fault := range faultstore.All() {
		want["store: "+fault.String()] = 100
	}
	var missing []string
	for name, n := range want {
		if n = n * t[countSchedules] / full; t[name] < n {
			missing = append(missing, fmt.Sprintf("%s: %d of at least %d", name, t[name], n))
		}
	}
	slices.Sort(missing)
	return missing
}

// String is a table.
func (t Tally) String() string { return tally.Table(t) }
