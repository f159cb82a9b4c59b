package sim

import (
	"net/http"

	"spillway/tests/fakes/faultstore"
	"spillway/tests/sim/tally"
)

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

// tally counts what the schedule has exercised.
func (out *Outcome) tally() tally.Counts {
	t := tally.Counts{countSchedules: 1}
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
	return t
}

// missing returns what a run of full length must have exercised and this one did not
// exercise often enough for its own length: such a run proves nothing.
func missing(total tally.Counts) []string {
	const full = 10_000
	wanted := tally.Counts{countSpilled: 1000, countRefused: 1000, countOwn: 1000, countLeft: 1000, countBroken: 100, countProbes: 100}
	for _, kind := range faultKinds {
		wanted["backend: "+string(kind)] = 100
	}
	for _, fault := range faultstore.All() {
		wanted["store: "+fault.String()] = 100
	}
	for name := range wanted {
		wanted[name] = wanted[name] * total[countSchedules] / full
	}
	return total.Missing(wanted)
}
