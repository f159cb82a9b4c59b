package sim

import (
	"net/http"
	"strings"
	"time"

	"spillway/functions/console"
	"spillway/shared/usage"
	"spillway/tests/fakes/azureopenai"
)

// limits judges every reservation: what was held and settled at its moment, and
// itself, must not exceed the limit. And no backend must have had to refuse
// anything that the gateway could count.
func (j *judge) limits() {
	named := func(l *ledger, name string) {
		if l == nil {
			return
		}
		for i := range l.holds {
			h := &l.holds[i]
			if !h.certain.happened() || !l.window(h.start.at.Add(-j.doubt)).Equal(l.window(h.certain.at.Add(j.doubt))) {
				continue // It was never sent, or nobody can tell in which window it was reserved.
			}
			if room := l.room(h.certain, j.doubt, h.owner).high; h.held.low > room {
				j.blame(RuleLimit, h.certain.at, "%s got %d of %s, which had %d of %d left", h.owner.id, h.held.low, name, room, l.amount)
				return
			}
		}
	}
	for m := range j.Schedule.Members {
		named(j.tokens[m], backend(m)+"'s tokens")
		named(j.requests[m], backend(m)+"'s requests")
	}
	for c := range j.Schedule.Consumers {
		named(j.consumers[c].tokens, "a consumer's tokens")
		named(j.consumers[c].requests, "a consumer's requests")
		named(j.consumers[c].spill, "a consumer's spillover")
	}
	for _, r := range j.history.requests {
		for _, a := range r.attempts {
			if a.status != http.StatusTooManyRequests || a.injected || j.Schedule.Members[a.member].Kind == Unknown {
				continue
			}
			if !j.crossed(a) {
				j.blame(RuleLimit, a.end.at, "%s was refused by %s for its limit", r.id, backend(a.member))
			}
		}
	}
	j.charged()
}

// crossed tells whether an attempt, in the window of the backend's that refused
// another one, may have been reserved in the window before: the store took its
// time, and the edge came.
func (j *judge) crossed(refused *attempt) bool {
	for _, r := range j.history.requests {
		for _, a := range r.attempts {
			for _, window := range []time.Duration{time.Minute, 10 * time.Second} {
				edge := a.start.at.Truncate(window)
				if a.member == refused.member && edge.Equal(refused.start.at.Truncate(window)) && a.start.at.Sub(edge) < j.doubt {
					return true
				}
			}
		}
	}
	return false
}

// charged holds the ledgers against the backends' own books: no backend may have
// booked more in a minute than its limit, or than the judge knows of.
func (j *judge) charged() {
	for m := range j.Schedule.Members {
		member := &j.Schedule.Members[m]
		if member.Kind != Metered {
			continue
		}
		for start, booked := range j.stats[m].TokensCharged {
			var known int64
			for i := range j.tokens[m].holds {
				h := &j.tokens[m].holds[i]
				if w := j.tokens[m].window(h.start.at); w.Unix() == start {
					known += h.held.most(h.settled).high
				}
			}
			if booked > member.Tokens || booked > known {
				j.blame(RuleLimit, time.Unix(start, 0), "%s booked %d tokens in a minute, its limit is %d, and %d were sent to it",
					backend(m), booked, member.Tokens, known)
			}
		}
	}
}

// records judges the usage records against what clients saw and backends did.
func (j *judge) records() {
	for i := range j.history.strays {
		j.blame(RuleRecord, j.history.strays[i].Start, "a record of no request: %+v", j.history.strays[i])
	}
	for _, r := range j.history.requests {
		if len(r.records) != 1 {
			j.blame(RuleRecord, r.done.at, "%s left %d records", r.id, len(r.records))
			continue
		}
		record := &r.records[0]
		want := r.status
		if r.left.happened() && r.left.seq < r.done.seq {
			want = 499
		}
		if record.Status != want {
			j.blame(RuleRecord, r.done.at, "%s is recorded as %d, and was %d", r.id, record.Status, want)
		}
		if len(record.Attempts) != len(r.attempts) && !r.left.happened() {
			j.blame(RuleRecord, r.done.at, "%s is recorded with %d attempts, and %d were made", r.id, len(record.Attempts), len(r.attempts))
		}
		j.measured(r, record)
	}
}

// measured compares recorded tokens with what was generated. What was counted,
// because no usage came, may be less; a word of the backends' is at most two
// tokens of the gateway's.
func (j *judge) measured(r *request, record *usage.Record) {
	var made *exchange
	for i := range r.hits {
		if hit := &r.hits[i]; backend(hit.member) == record.Backend && (made == nil || hit.number > made.number) {
			made = hit
		}
	}
	want := usage.Tokens{}
	if made != nil {
		want = usage.Tokens{Prompt: prompts[r.call.Prompt].Tokens, Completion: made.generated}
	}
	got := usage.Tokens{Prompt: record.Tokens.Prompt, Completion: record.Tokens.Completion}
	switch {
	case !r.served():
		if got.Completion != 0 || got.Prompt != 0 && !r.left.happened() {
			j.blame(RuleRecord, r.done.at, "%s was not served, and is recorded with %+v", r.id, got)
		}
	case made == nil:
		j.blame(RuleRecord, r.done.at, "%s is recorded as served by %s, which did not", r.id, record.Backend)
	case record.Measured && got != want, got.Completion > 2*want.Completion, got.Prompt > 2*want.Prompt:
		j.blame(RuleRecord, r.done.at, "%s is recorded with %+v, measured %v, and took %+v", r.id, got, record.Measured, want)
	case !record.Measured && record.Status == http.StatusOK && made.finished && !r.aborted:
		j.blame(RuleRecord, r.done.at, "%s was answered to its end, and not measured", r.id)
	}
}

// rest judges what is left when all have ended: nothing in flight, and of each
// limit as much left as the ledger says.
func (j *judge) rest() {
	for _, d := range j.status.Deployments {
		if d.InFlight != 0 {
			j.blame(RuleRest, j.ended, "%s has %d in flight after all have ended", d.ID, d.InFlight)
		}
		for m := range j.Schedule.Members {
			if !strings.HasPrefix(d.ID, backend(m)+"/") || j.doubt > 0 {
				continue
			}
			at := mark{j.ended, j.history.seq + 1}
			for _, limit := range []struct {
				ledger *ledger
				name   string
				left   int64
				shown  bool
			}{
				{j.tokens[m], "tokens", left(d.Tokens), d.Tokens != nil},
				{j.requests[m], "requests", left(d.Requests), d.Requests != nil},
			} {
				if limit.ledger == nil || !limit.shown {
					continue
				}
				if room := limit.ledger.room(at, 0, nil); limit.left < max(0, room.low) || limit.left > max(0, room.high) {
					j.blame(RuleRest, j.ended, "%s says it has %d %s left, and has %d to %d of %d",
						d.ID, limit.left, limit.name, room.low, room.high, limit.ledger.amount)
				}
			}
		}
	}
	for m := range j.stats {
		if n := j.stats[m].InFlight; n != 0 {
			j.blame(RuleRest, j.ended, "%d requests still run at %s", n, backend(m))
		}
	}
}

// left is what the gateway says is left of a limit.
func left(l *console.Limit) int64 {
	if l == nil {
		return 0
	}
	return l.Remaining
}

// answer judges that every request ended in a way that the API knows.
func (j *judge) answer(r *request) {
	switch {
	case !r.done.happened():
		j.blame(RuleAnswer, r.entered.at, "%s never ended", r.id)
	case r.left.happened(), r.aborted:
	case r.status == http.StatusOK, r.status == http.StatusTooManyRequests, r.status == http.StatusServiceUnavailable:
	default:
		j.blame(RuleAnswer, r.done.at, "%s got %d: %s", r.id, r.status, r.body)
	}
}

// poolWaiting judges what a 429 says about when to come back: not later than
// the first member certainly is free again if nobody else asks, and not sooner
// than any can be.
func (j *judge) poolWaiting(r *request) {
	if j.doubt > 0 {
		return
	}
	at := r.refused.at
	soonest, latest := time.Duration(unlimited), time.Duration(unlimited)
	for m := range j.Schedule.Members {
		from, to, ever := j.ready(m, r)
		if ever {
			soonest, latest = min(soonest, from.Sub(at)), min(latest, to.Sub(at))
		}
	}
	told, ok := r.waiting()
	switch {
	case !ok && latest < unlimited:
		j.blame(RuleRetry, at, "%s was not told when to come back, and has room in %v: %s", r.id, latest, r.body)
	case !ok:
	case told > latest+time.Millisecond:
		j.blame(RuleRetry, at, "%s was told to wait %v, and has room in %v", r.id, told, latest)
	case told < soonest-time.Millisecond && soonest < unlimited:
		j.blame(RuleRetry, at, "%s was told to wait %v, and has no room before %v", r.id, told, soonest)
	}
	j.probed(r)
}

// ready bounds when a member is free for a refused request again. ever is false
// if it is not for certain.
func (j *judge) ready(m int, r *request) (from, to time.Time, ever bool) {
	member, consumer := &j.Schedule.Members[m], &j.Schedule.Consumers[r.consumer]
	at := r.refused
	spills := member.Priority > j.first()
	if spills && consumer.NoSpill {
		return from, to, false
	}
	far := at.at.Add(unlimited)
	from = at.at
	to = at.at
	for _, moment := range []struct {
		seen  time.Time
		after *time.Time
	}{{at.at.Add(-1), &from}, {at.at, &to}} {
		// Of a 429 at the same instant the gateway may not have known yet.
		if until := j.throttled(m, moment.seen); until.After(*moment.after) {
			*moment.after = until
		}
	}
	wait := func(l *ledger, need bounds) {
		if l == nil {
			return
		}
		room := l.room(at, 0, nil)
		room.low -= j.undecided(l, at, r)
		if need.low > l.amount { // Never.
			from, to = far, far
		}
		if need.high > l.amount { // Perhaps never.
			to = far
		}
		end := l.end(at.at)
		if need.low > room.high && end.After(from) {
			from = end
		}
		if need.high > room.low && end.After(to) {
			to = end
		}
	}
	wait(j.tokens[m], j.need(m, r))
	wait(j.requests[m], exactly(1))
	if spills {
		wait(j.consumers[r.consumer].spill, j.settledNeed(r, consumer.SpillCap))
	}
	failed := false
	for _, a := range r.attempts {
		failed = failed || a.member == m && a.status != http.StatusTooManyRequests
	}
	if failed || j.health[m].sick(at.at) { // It may be asked at once, or much later.
		from, to = at.at, far
	}
	return from, to, from.Before(far)
}

// probed judges the answer to the same request at the time that a 429 named, if
// the schedule fell silent to ask again, and nothing unforeseeable is in play.
func (j *judge) probed(r *request) {
	told, _ := r.waiting()
	for _, probe := range j.history.requests {
		if !probe.probe || r == probe || !probe.entered.at.Equal(r.refused.at.Add(told)) || probe.call.Prompt != r.call.Prompt || probe.call.Max != r.call.Max {
			continue
		}
		for m := range j.Schedule.Members {
			if j.Schedule.Members[m].Kind == Unknown || j.health[m].sick(probe.entered.at) || r.tried(m, r.refused) {
				return
			}
			if l := j.tokens[m]; l != nil && j.need(m, r).low <= l.amount && j.need(m, r).high > l.amount {
				return // Whether it ever fits is within the error of an estimate.
			}
		}
		for _, other := range j.history.requests {
			for _, a := range other.attempts {
				if other != probe && (a.start.seq > r.refused.seq || a.status != http.StatusOK && !a.end.at.Before(r.refused.at)) {
					return // Somebody else did ask, or was asking and brought bad news.
				}
			}
		}
		if (probe.refusedByPool() || probe.status >= 500) && len(probe.attempts) == 0 {
			j.blame(RuleRetry, probe.refused.at, "%s was told to wait %v, and then got %d", r.id, told, probe.status)
		}
	}
}

// faultKinds are the backends' faults that schedules draw.
var faultKinds = []azureopenai.FaultKind{
	azureopenai.FaultThrottle, azureopenai.FaultStatus, azureopenai.FaultRefuse, azureopenai.FaultReset,
	azureopenai.FaultHangBeforeHeaders, azureopenai.FaultHangAfterHeaders, azureopenai.FaultCut,
	azureopenai.FaultStreamError, azureopenai.FaultMalformedSSE, azureopenai.FaultBadJSON,
	azureopenai.FaultContentType, azureopenai.FaultEmptyStream, azureopenai.FaultRedirect,
}
