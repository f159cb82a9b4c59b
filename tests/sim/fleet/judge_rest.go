package fleet

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"time"

	"spillway/tests/sim/tally"
)

// wait is the longest that the table may hold up a request at a limit.
const wait = 150 * time.Millisecond

// unharmed judges runs in which nothing but the table fails, and no limit is
// short: every request is answered, and at once.
func (j *judge) unharmed() {
	if j.Schedule.World == Mixed {
		return
	}
	for _, r := range j.history.requests {
		if r.Audit == MustRefuse || r.Consumer == small {
			continue
		}
		refused := r.status == http.StatusTooManyRequests
		contended := j.contended(r)
		if refused && contended {
			j.Tally["refused for contention"]++
		}
		if refused && (j.Schedule.World == Calm && r.Consumer == byBoth || contended) {
			continue
		}
		if r.status != http.StatusOK {
			j.blame(RuleTable, r.done.at, "%s got %d: %s", r.id, r.status, r.answer)
			continue
		}
		if len(r.attempts) != 1 {
			j.blame(RuleTable, r.done.at, "%s took %d attempts", r.id, len(r.attempts))
			continue
		}
		held := r.attempts[0].asked.at.Sub(r.entered.at)
		name := tally.Most + "held up by the table, in ms"
		j.Tally[name] = max(j.Tally[name], held.Milliseconds())
		allowed := wait
		if contended { // it insists twice at a consumer's limit, rather than refuse what has room
			const insisting = 2 * (150 + 100) * time.Millisecond
			allowed = (allowed + insisting) * time.Duration(j.limitsOn(r))
		}
		if held > allowed {
			j.blame(RuleTable, r.attempts[0].asked.at, "%s was held up for %v", r.id, held)
		}
	}
}

// limitsOn is how many limits a request may wait for, one after another: its
// consumer's, and those of one member of the pool after another, when others'
// writes keep it from what it came for.
func (j *judge) limitsOn(r *request) int {
	n := 0
	count := func(amounts ...int64) {
		for _, amount := range amounts {
			if amount > 0 {
				n++
			}
		}
	}
	count(j.Schedule.Consumers[r.Consumer].Tokens, j.Schedule.Consumers[r.Consumer].Requests)
	for _, b := range j.Schedule.Backends {
		count(b.Tokens, b.Requests)
	}
	return n
}

// contended tells whether other instances, or the table, took a write of the
// request's instance away while it waited. The table works then, and the client
// is told to come back in a moment.
func (j *judge) contended(r *request) bool {
	for _, b := range j.history.rebuffs {
		if b.instance == r.instance && !b.at.Before(r.entered.at) && !b.at.After(r.done.at) {
			return true
		}
	}
	return false
}

// trial is the request of a trial, as its backend saw it.
type trial struct {
	instance, backend int
	alone             bool // claimed without the table
	span                   // at the backend
}

// trials judges that no two trials of a deployment overlap, and that each trial
// has one owner. An instance that is cut off from the table may make its own.
func (j *judge) trials() {
	var all []*trial
	degraded := make(map[int]bool)
	for i := range j.history.lines {
		l := &j.history.lines[i]
		switch l.Event {
		case "breaker_degraded":
			degraded[l.instance] = true
		case "breaker_recovered":
			degraded[l.instance] = false
		case "breaker_half_open":
			if t := j.trial(l); l.Reason == "trial_claimed" && t != nil {
				t.alone = degraded[l.instance]
				all = append(all, t)
			}
		}
	}
	j.Tally["trials"] += int64(len(all))
	for i, t := range all {
		for _, other := range all[:i] {
			cutOff := other.instance != t.instance && (other.alone || t.alone)
			if other.backend != t.backend || cutOff || !other.from.Before(t.to) || !t.from.Before(other.to) {
				continue
			}
			j.blame(RuleTrial, t.from, "%s tries %s from %v to %v, %s from %v to %v", instanceName(t.instance), deploymentID(t.backend),
				t.from.Sub(j.origin), t.to.Sub(j.origin), instanceName(other.instance), other.from.Sub(j.origin), other.to.Sub(j.origin))
		}
	}
	j.owners()
}

// trial finds the request of a trial that was claimed: it follows at once.
func (j *judge) trial(l *line) *trial {
	for _, a := range j.history.attempts {
		if a.instance != l.instance || deploymentID(a.backend) != l.Deployment || a.asked.seq < l.seq || !a.asked.at.Equal(l.at) {
			continue
		}
		t := &trial{instance: l.instance, backend: a.backend, span: span{a.sent.at, a.ended.at}}
		if !a.ended.happened() {
			t.to = j.crashed[l.instance]
		}
		if !a.sent.happened() || j.frozen(l.instance, a.asked.at, t.to) {
			return nil
		}
		return t
	}
	return nil
}

// owners judges by the table's rows that no trial has two owners.
func (j *judge) owners() {
	type number struct {
		row   string
		trial int64
	}
	owners := make(map[number]string)
	for i := range j.history.writes {
		w := &j.history.writes[i]
		if w.key.Partition != "breaker" || w.after["State"] != "half-open" {
			continue
		}
		n := number{w.key.Row, column(w.after, "Trial")}
		nonce := fmt.Sprint(w.after["Nonce"])
		if before, ok := owners[n]; ok && before != nonce {
			j.blame(RuleTrial, w.at, "trial %d of %s has two owners", n.trial, n.row)
		}
		owners[n] = nonce
	}
}

// recovery judges the last window: everything is well again.
func (j *judge) recovery() {
	asked := make(map[int]bool)
	for _, r := range j.sorted() {
		if r.Audit == NotAudited {
			continue
		}
		fresh := !asked[r.instance]
		if len(r.attempts) > 0 {
			asked[r.instance] = true // It has looked at the breakers.
		}
		switch {
		case r.Audit == MustServe && r.status != http.StatusOK, r.Audit == MayRefuse && r.status != http.StatusOK && r.status != http.StatusTooManyRequests:
			j.blame(RuleRecovery, r.done.at, "%s got %d of %s: %s", r.id, r.status, instanceName(r.instance), r.answer)
		case r.Audit == MustRefuse && r.status != http.StatusTooManyRequests:
			j.blame(RuleRecovery, r.done.at, "%s is larger than its consumer's limit and got %d", r.id, r.status)
		case r.Audit == MustServe && !fresh && r.header.Get("X-Spillway-Spillover") != "" && j.ample():
			j.blame(RuleRecovery, r.done.at, "%s spilled at %s, for %s", r.id, instanceName(r.instance), r.header.Get("X-Spillway-Spillover"))
		}
	}
	for i := range j.statuses {
		s := &j.statuses[i]
		if asked[s.instance] && s.Store.Degraded {
			j.blame(RuleRecovery, s.at, "%s takes the table for down", instanceName(s.instance))
		}
		for _, d := range s.Deployments {
			if asked[s.instance] && d.Breaker != "closed" && j.first(d.ID) {
				j.blame(RuleRecovery, s.at, "%s takes %s for %s", instanceName(s.instance), d.ID, d.Breaker)
			}
		}
	}
}

// sorted are the requests in the order of their sending.
func (j *judge) sorted() []*request {
	sorted := slices.Clone(j.history.requests)
	slices.SortFunc(sorted, func(a, b *request) int { return int(a.sent.seq - b.sent.seq) })
	return sorted
}

// first tells whether a deployment is of the first priority.
func (j *judge) first(id string) bool {
	for b := range j.Schedule.Backends {
		if deploymentID(b) == id {
			return j.Schedule.Backends[b].Priority == 1
		}
	}
	return false
}

// ample tells whether the first priority has room for all of the audit.
func (j *judge) ample() bool {
	for _, t := range j.Schedule.Troubles {
		if t.Fault.Limit > 0 {
			return false // Instances may not have heard yet that it is over.
		}
	}
	for b := range j.Schedule.Backends {
		backend := &j.Schedule.Backends[b]
		if backend.Priority == 1 && (backend.Requests > 0 && backend.Requests < never || backend.Tokens > 0 && backend.Tokens < 9000) {
			return false
		}
	}
	return true
}

// conservation judges the rows of the last window, after every instance has
// given back what it held: what stays granted is what was spent.
func (j *judge) conservation() {
	last := j.origin.Add(j.Schedule.Audit)
	for _, row := range j.rows {
		key, length, ok := limitOf(row.Partition)
		w := time.Unix(column(row.Columns, "Window"), 0)
		if !ok || w.Before(last) || length != time.Minute {
			continue
		}
		least, exact := j.spentAtLast(key, last)
		// An instance that has been idle since the table was down decides its next
		// request alone, and debits that with the one after.
		least -= j.unmetered(j.account(key, 0, length), last)
		granted, next := column(row.Columns, "Granted"), column(row.Columns, "NextGranted")
		if granted < least || granted > exact || next != 0 {
			j.blame(RuleRefusal, last, "%d of %s are granted in the last window and %d ahead, %d were spent, and everybody has given back", granted, key, next, exact)
		}
	}
}

// spentAtLast is what was spent of a limit in the last window, and what was
// reserved of that at least.
func (j *judge) spentAtLast(key string, last time.Time) (least, exact int64) {
	for _, r := range j.history.requests {
		if r.entered.at.Before(last) || len(r.records) != 1 {
			continue
		}
		served := r.records[0].Served()
		total := r.records[0].Tokens.Total()
		switch {
		case key == fmt.Sprintf("consumer/c%d/tokens", r.Consumer) && served:
			least, exact = least+r.least(), exact+total
		case key == fmt.Sprintf("consumer/c%d/requests", r.Consumer) && served:
			least, exact = least+1, exact+1
		}
		for n, a := range r.attempts {
			settled := j.Schedule.Backends[a.backend].Settled
			switch {
			case key == "deployment/"+deploymentID(a.backend)+"/requests":
				least, exact = least+1, exact+1
			case key != "deployment/"+deploymentID(a.backend)+"/tokens":
			case settled && n == len(r.attempts)-1 && served:
				least, exact = least+r.least(), exact+total
			case !settled && a.accepted:
				least, exact = least+a.charge, exact+a.charge
			}
		}
	}
	return least, exact + j.probedAtLast(key, last)
}

// probedAtLast is what probes may have spent of a limit in the last window: they count as
// requests do, but one may have been reserved before the window began.
func (j *judge) probedAtLast(key string, last time.Time) (most int64) {
	const tokens = 10 // that a probe reserves
	for _, a := range j.history.attempts {
		if a.request != nil || !a.sent.happened() || a.sent.at.Before(last) {
			continue
		}
		switch key {
		case "deployment/" + deploymentID(a.backend) + "/requests":
			most++
		case "deployment/" + deploymentID(a.backend) + "/tokens":
			most += tokens
		}
	}
	return most
}

// work judges the calls to the table: the grants of a window by the bound of
// guided self-scheduling, and all calls together by the requests.
func (j *judge) work() {
	type window struct {
		key string
		at  int64
	}
	grants := make(map[window]int64)
	for i := range j.history.writes {
		w := &j.history.writes[i]
		key, _, ok := limitOf(w.key.Partition)
		if !ok {
			continue
		}
		if now, next := deltas(w); now > 0 || next > 0 {
			grants[window{key, column(w.after, "Window")}]++
		}
	}
	p := float64(len(j.Schedule.Instances))
	for w, n := range grants {
		most := 2*p*(1+max(0, math.Log(float64(j.amount(w.key))/(2*p)))) + 6*p
		if float64(n) > most {
			j.blame(RuleWork, time.Unix(w.at, 0), "%d grants of %s in one window, the bound is %.0f", n, w.key, most)
		}
	}
	const perRequest, perTick = 14, 60
	allowed := int64(perRequest*len(j.history.requests) + perTick*len(j.Schedule.Ticks))
	if j.operated > allowed {
		j.blame(RuleWork, j.origin.Add(j.Schedule.Stop), "%d calls to the table for %d requests", j.operated, len(j.history.requests))
	}
}

// amount is the amount of a limit.
func (j *judge) amount(key string) int64 {
	for b := range j.Schedule.Backends {
		perSlice, _ := j.Schedule.Backends[b].perSlice()
		switch key {
		case "deployment/" + deploymentID(b) + "/tokens":
			return j.Schedule.Backends[b].Tokens
		case "deployment/" + deploymentID(b) + "/requests":
			return perSlice
		}
	}
	for c := range j.Schedule.Consumers {
		switch key {
		case fmt.Sprintf("consumer/c%d/tokens", c):
			return j.Schedule.Consumers[c].Tokens
		case fmt.Sprintf("consumer/c%d/requests", c):
			return j.Schedule.Consumers[c].Requests
		}
	}
	return 0
}

// deltas are the units that a write took of its row's window, and of the next.
func deltas(w *write) (now, next int64) {
	_, length, _ := limitOf(w.key.Partition)
	at := column(w.after, "Window")
	now, next = column(w.after, "Granted"), column(w.after, "NextGranted")
	switch column(w.before, "Window") {
	case at:
		now -= column(w.before, "Granted")
		next -= column(w.before, "NextGranted")
	case at - int64(length/time.Second):
		now -= column(w.before, "NextGranted")
	}
	return now, next
}
