package sim

import (
	"fmt"
	"net/http"
	"time"

	"spillway/tests/sim/verdict"
)

// The rules.
const (
	RuleRoom      = "no refusal while a member has room"
	RuleOwn       = "no refusal while the consumer's own limit has room"
	RuleLimit     = "no token over a limit"
	RuleRecord    = "one true record for each request"
	RuleRetry     = "an honest waiting time"
	RuleRest      = "everything given back"
	RuleSpill     = "no spilling while a higher priority has room"
	RuleForbidden = "no spilling for those who may not"
	RuleAnswer    = "an answer"
)

// judge looks at a schedule that has been played.
type judge struct {
	*Outcome
	tokens    []*ledger // by member; nil: no limit that the gateway was to keep
	requests  []*ledger // by member
	consumers []own     // by consumer
	health    []health  // by member
	doubt     time.Duration
	origin    time.Time
	found     []verdict.Violation
}

// own are the limits of a consumer; nil: none.
type own struct{ tokens, requests, spill *ledger }

// storeDoubt is the longest that a gateway waits for its store between a
// decision and the request that follows from it: twice for limits, once for the
// trial of a breaker, each 150 ms.
const storeDoubt = 450 * time.Millisecond

// Judge returns what was wrong.
func (out *Outcome) Judge() []verdict.Violation {
	j := &judge{Outcome: out}
	j.origin = j.start()
	if out.Schedule.Store != nil {
		j.doubt = storeDoubt
	}
	j.keepBooks()
	j.records()
	j.limits()
	j.rest()
	for _, r := range out.history.requests {
		j.answer(r)
		j.spills(r)
		switch {
		case r.refusedByPool():
			j.refusal(r)
			j.poolWaiting(r)
		case r.status == http.StatusTooManyRequests:
			j.ownRefusal(r)
		case r.status == http.StatusServiceUnavailable:
			j.refusal(r)
		}
	}
	return j.found
}

// start is the beginning of the bubble: no schedule lasts an hour.
func (j *judge) start() time.Time { return j.ended.Truncate(time.Hour) }

func (j *judge) blame(rule string, at time.Time, format string, args ...any) {
	j.found = append(j.found, verdict.Violation{Rule: rule, At: at.Sub(j.origin), What: fmt.Sprintf(format, args...)})
}

// first is the priority whose members are not spillover.
func (j *judge) first() int {
	first := j.Schedule.Members[0].Priority
	for _, m := range j.Schedule.Members {
		first = min(first, m.Priority)
	}
	return first
}

// spare says why member m could not take request r at a moment, or "" if it had
// room: the consumer may use it, r has not tried it, it has not asked to be left
// alone, it is not sick, and r's charge and one request more fit into its limits
// for certain, with all that was in flight to it counted.
func (j *judge) spare(m int, r *request, at mark) string {
	member, consumer := &j.Schedule.Members[m], &j.Schedule.Consumers[r.consumer]
	own := &j.consumers[r.consumer]
	spills := member.Priority > j.first()
	need := j.need(m, r)
	switch {
	case spills && consumer.NoSpill:
		return "not for this consumer"
	case r.tried(m, at):
		return "tried"
	case j.throttled(m, at.at).After(at.at.Add(-j.doubt)):
		return "throttled"
	case j.health[m].sick(at.at):
		return "sick"
	case spills && own.spill != nil && !j.free(own.spill, j.settledNeed(r, consumer.SpillCap).high, at, r):
		return "the consumer's spillover is spent"
	case !j.free(j.tokens[m], need.high, at, r):
		return "no tokens"
	case !j.free(j.requests[m], 1, at, r):
		return "no requests"
	}
	return ""
}

// free tells whether n units of a limit were free for certain.
func (j *judge) free(l *ledger, n int64, at mark, except *request) bool {
	if l == nil {
		return true
	}
	if j.doubt > 0 && (l.contended(j.history, at.at) || !l.window(at.at).Equal(l.window(at.at.Add(-j.doubt)))) {
		return false
	}
	return l.room(at, j.doubt, except).low-l.lost(j.history, at.at)-j.undecided(l, at, except) >= n
}

// undecided is how many units of a limit may be held at a moment by requests
// that give them back at the same instant: those that reserved it first and find
// that there is no room in the limit that they need besides. Between the two the
// units are not free, for anyone.
func (j *judge) undecided(l *ledger, at mark, except *request) int64 {
	var units int64
	for _, r := range j.history.requests {
		if r == except || r.entered.seq > at.seq || r.done.at.Before(at.at.Add(-j.doubt)) {
			continue
		}
		sent := false
		for i, a := range r.attempts {
			sent = sent || a.start.at.Before(at.at.Add(-j.doubt)) && r.over(i).at.After(at.at.Add(j.doubt))
		}
		if !sent {
			units += j.passing(l, r)
		}
	}
	return units
}

// passing is what a request reserves of a limit before it knows of another.
func (j *judge) passing(l *ledger, r *request) int64 {
	switch own := &j.consumers[r.consumer]; {
	case l == own.spill:
		return j.settledNeed(r, l.amount).high
	case l == own.requests && own.tokens != nil:
		return 1
	}
	for m := range j.tokens {
		if l == j.tokens[m] && j.requests[m] != nil {
			return j.need(m, r).high
		}
	}
	return 0
}

// over is when the request's i-th attempt had come to nothing, or the request
// had ended.
func (r *request) over(i int) mark {
	if i+1 < len(r.attempts) {
		return r.attempts[i+1].start
	}
	return r.done
}

// tried tells whether the request had been sent to the member before.
func (r *request) tried(m int, at mark) bool {
	for _, a := range r.attempts {
		if a.member == m && a.start.seq < at.seq {
			return true
		}
	}
	return false
}

// throttled is until when a member has asked to be left alone, as of a moment.
func (j *judge) throttled(m int, at time.Time) time.Time {
	var until time.Time
	for _, r := range j.history.requests {
		for _, a := range r.attempts {
			if a.member == m && a.status == http.StatusTooManyRequests && !a.end.at.After(at) && a.until.After(until) {
				until = a.until
			}
		}
	}
	return until
}

// refusal judges a 429 for want of room, or a 503: nobody must have had room.
func (j *judge) refusal(r *request) {
	for m := range j.Schedule.Members {
		if j.spare(m, r, r.refused) == "" && r.room[m] {
			j.blame(RuleRoom, r.refused.at, "%s got %d while %s could take its %d tokens: %s",
				r.id, r.status, backend(m), j.need(m, r).high, j.describe(m, r, r.refused))
			return
		}
	}
}

// describe is the state of a member for a person.
func (j *judge) describe(m int, r *request, at mark) string {
	text := fmt.Sprintf("priority %d", j.Schedule.Members[m].Priority)
	if l := j.tokens[m]; l != nil {
		room := l.room(at, j.doubt, r)
		text += fmt.Sprintf(", %d to %d of %d tokens left", room.low, room.high, l.amount)
	}
	if l := j.requests[m]; l != nil {
		text += fmt.Sprintf(", %d of %d requests left", l.room(at, j.doubt, r).low, l.amount)
	}
	return text
}

// ownRefusal judges a 429 of a consumer's own limits.
func (j *judge) ownRefusal(r *request) {
	own := &j.consumers[r.consumer]
	if own.requests == nil && own.tokens == nil {
		j.blame(RuleOwn, r.refused.at, "%s got 429 and its consumer has no limit: %s", r.id, r.body)
		return
	}
	at := r.refused
	if own.tokens != nil && r.call.Max == 0 {
		return // The judge cannot tell what the gateway expected of it.
	}
	if j.free(own.requests, 1, at, r) && j.free(own.tokens, j.guess(r).high, at, r) {
		j.blame(RuleOwn, at.at, "%s got 429 and its consumer had room: %s", r.id, r.body)
	}
	if j.doubt > 0 {
		return
	}
	end := time.Minute - at.at.Sub(at.at.Truncate(time.Minute))
	if told, ok := r.waiting(); ok && (told < end || told > end+time.Millisecond) {
		j.blame(RuleRetry, at.at, "%s was told to wait %v, its window ends in %v", r.id, told, end)
	}
}

// spills judges every attempt on a member of lower priority: no member of a
// higher one must have had room, with what it keeps back counted as taken.
func (j *judge) spills(r *request) {
	for _, a := range r.attempts {
		member := &j.Schedule.Members[a.member]
		if member.Priority == j.first() {
			continue
		}
		if j.Schedule.Consumers[r.consumer].NoSpill {
			j.blame(RuleForbidden, a.start.at, "%s was sent to %s", r.id, backend(a.member))
		}
		for m := range j.Schedule.Members {
			higher := &j.Schedule.Members[m]
			if higher.Priority >= member.Priority || j.spare(m, r, a.start) != "" {
				continue
			}
			if !j.free(j.tokens[m], higher.SpillBelow, a.start, r) {
				continue
			}
			j.blame(RuleSpill, a.start.at, "%s was sent to %s while %s could take its %d tokens: %s",
				r.id, backend(a.member), backend(m), j.need(m, r).high, j.describe(m, r, a.start))
			break
		}
	}
}
