package fleet

import (
	"net/http"
	"strconv"

	"spillway/tests/fakes/azureopenai"
	"spillway/tests/sim/tally"
)

// collect asks the backends what became of each attempt.
func (p *play) collect() {
	for _, server := range p.servers {
		byNumber := make(map[int64]*attempt)
		for _, r := range server.Requests() {
			n, err := strconv.Atoi(r.Header.Get(headerAttempt))
			if err != nil || n >= len(p.history.attempts) {
				continue // It was sent behind the doors' back.
			}
			a := p.history.attempts[n]
			a.arrived = true
			byNumber[r.Number] = a
		}
		for _, e := range server.Events() {
			a := byNumber[e.Request]
			switch {
			case a == nil:
				continue
			case e.Kind == azureopenai.EventAccepted:
				a.accepted, a.charge = true, e.Charge
			}
			a.generated = max(a.generated, e.Generated)
		}
		for kind, n := range server.Stats()[deploymentName].Faults {
			if name := backendFaults[kind]; name != "" {
				p.tally[name] += n
			}
		}
	}
}

// count counts what the run has exercised.
func (p *play) count() {
	for _, f := range tableFaults {
		p.tally[tableFault(f)] += p.faulty.Count(f)
	}
	t := p.tally
	t["seeds"]++
	t["store operations"] += p.operations.Load()
	for _, a := range p.history.attempts {
		if a.status == http.StatusTooManyRequests {
			t[a.form]++
		}
	}
	for _, r := range p.history.requests {
		t["requests"]++
		switch {
		case r.lost:
			t["requests lost in a crash"]++
		case r.left.happened():
			t["requests whose client left"]++
		default:
			t["requests answered "+strconv.Itoa(r.status)]++
		}
	}
	perMille := p.operations.Load() * 1000 / max(int64(len(p.history.requests)), 1)
	t[tally.Most+"store operations per 1,000 requests in one seed"] = perMille
}
