package sim

import (
	"net/http"
	"slices"
	"time"
)

// keepBooks writes the ledgers from the history.
func (j *judge) keepBooks() {
	s := &j.Schedule
	j.tokens, j.requests = make([]*ledger, len(s.Members)), make([]*ledger, len(s.Members))
	for i, m := range s.Members {
		partition := "quota!deployment/" + backend(i) + "/" + deploymentName
		if m.Kind == Metered || m.Kind == Settled {
			j.tokens[i] = &ledger{partition: partition + "/tokens!", amount: m.Tokens, period: time.Minute}
		}
		if m.Requests > 0 {
			j.requests[i] = &ledger{partition: partition + "/requests!", amount: m.perSlice(), period: m.slice()}
		}
	}
	j.consumers = make([]own, len(s.Consumers))
	for i, c := range s.Consumers {
		partition := "quota!consumer/c" + string(rune('0'+i))
		if c.Tokens > 0 {
			j.consumers[i].tokens = &ledger{partition: partition + "/tokens!", amount: c.Tokens, period: time.Minute}
		}
		if c.Requests > 0 {
			j.consumers[i].requests = &ledger{partition: partition + "/requests!", amount: c.Requests, period: time.Minute}
		}
		if c.SpillCap > 0 {
			j.consumers[i].spill = &ledger{partition: partition + "/spillover!", amount: c.SpillCap, period: time.Minute}
		}
	}
	for _, r := range j.history.requests {
		j.bookConsumer(r)
		for i := range r.attempts {
			j.bookAttempt(r, i)
		}
	}
	j.health = make([]health, len(s.Members))
	for m := range s.Members {
		j.health[m] = j.examine(m)
	}
}

// bookConsumer enters a request that its consumer's own limits let through.
func (j *judge) bookConsumer(r *request) {
	reserved := r.reserved()
	if reserved == 0 {
		return
	}
	own := &j.consumers[r.consumer]
	used := exactly(0)
	if r.taken() {
		used = exactly(r.records[0].Tokens.Total())
	}
	h := hold{owner: r, start: r.entered, ended: r.done, over: r.done}
	if len(r.attempts) > 0 {
		h.certain = r.attempts[0].start
	}
	if own.tokens != nil {
		h.held, h.settled = exactly(reserved), used
		own.tokens.add(h)
	}
	if own.requests != nil {
		h.held, h.settled = exactly(1), bounds{min(1, used.low), min(1, used.high)}
		own.requests.add(h)
	}
}

// reserved is what the gateway says that it reserved for the consumer, 0 if the
// request did not come as far.
func (r *request) reserved() int64 {
	if len(r.records) == 0 {
		return 0
	}
	return r.records[0].Estimated
}

// served tells whether a backend's answer went to the client.
func (r *request) served() bool { return len(r.records) > 0 && r.records[0].Served() }

// taken tells whether the request used anything, by its record.
func (r *request) taken() bool {
	return r.served() || len(r.records) > 0 && r.records[0].Tokens.Total() > 0
}

// bookAttempt enters what an attempt took of its member's limits, and of the
// consumer's cap on spillover.
func (j *judge) bookAttempt(r *request, i int) {
	a := r.attempts[i]
	last := i == len(r.attempts)-1
	h := hold{owner: r, start: a.start, certain: a.start, ended: a.end, over: r.over(i)}
	if last && r.served() {
		h.ended = r.done
	}
	member := &j.Schedule.Members[a.member]
	gone := r.left.happened() && !r.left.at.After(a.end.at)
	if l := j.tokens[a.member]; l != nil {
		h.held = j.need(a.member, r)
		switch {
		case a.dial || a.status == http.StatusTooManyRequests:
			h.settled = exactly(0)
		case member.Kind == Metered:
			h.settled = h.held
		case last && r.taken():
			h.settled = exactly(r.records[0].Tokens.Total())
		}
		if gone && !r.served() { // It may not have got as far as the backend.
			h.settled.low = 0
		}
		l.add(h)
	}
	if l := j.requests[a.member]; l != nil {
		h.held, h.settled = exactly(1), exactly(1)
		if a.dial {
			h.settled = exactly(0)
		}
		if gone && !r.served() {
			h.settled.low = 0
		}
		l.add(h)
	}
	if l := j.consumers[r.consumer].spill; l != nil && member.Priority > j.first() {
		h.held, h.settled = j.settledNeed(r, l.amount), exactly(0)
		if last && r.served() {
			h.settled = exactly(r.records[0].Tokens.Total())
		}
		l.add(h)
	}
}

// estimate bounds what the gateway expected the request to take. Without a token
// limit of the consumer its record says so; else that may be a count, or a
// number that was cut to the limit.
func (j *judge) estimate(r *request) bounds {
	if j.Schedule.Consumers[r.consumer].Tokens > 0 || r.reserved() == 0 {
		return j.guess(r)
	}
	return exactly(r.reserved())
}

// guess bounds the estimate of a call by its size alone: an estimate of a prompt
// is within a factor of two of the truth.
func (j *judge) guess(r *request) bounds {
	return bounds{r.call.output(), r.call.output() + 2*prompts[r.call.Prompt].Tokens + 20}
}

// need bounds the charge of a request on a member.
func (j *judge) need(m int, r *request) bounds {
	switch j.Schedule.Members[m].Kind {
	case Metered:
		return exactly(r.call.charge())
	case Settled:
		return j.settledNeed(r, j.Schedule.Members[m].Tokens)
	}
	return exactly(0)
}

// settledNeed bounds what a request needs of a limit that is settled: what was
// estimated, or what was counted where the decision hung on it.
func (j *judge) settledNeed(r *request, amount int64) bounds {
	need := j.estimate(r)
	if r.call.Max > 0 {
		counted := r.call.exact()
		return bounds{min(need.low, counted), max(need.high, counted)}
	}
	// A guess at the output is cut to the limit, the prompt is not; and it may
	// have been counted.
	prompt := prompts[r.call.Prompt].Tokens + frame
	return bounds{0, max(j.guess(r).high, min(need.high+prompt, amount))}
}

// health is when a member may have been taken for ill.
type health struct{ spans []sickness }

type sickness struct{ from, to time.Time }

func (h health) sick(at time.Time) bool {
	for _, s := range h.spans {
		if !at.Before(s.from) && (s.to.IsZero() || !at.After(s.to)) {
			return true
		}
	}
	return false
}

// outcome is how an attempt ended, as a breaker sees it.
type outcome struct {
	start, end time.Time
	good, bad  bool
}

// recovers tells whether a good answer closed a breaker for certain that was open
// since some moment: it followed another good answer, which nothing overlapped, so
// that it brought the trial forward; and when it was asked for no other attempt
// was under way, so it was that trial; and nothing failed until it was there.
func recovers(all []outcome, o outcome, since time.Time) bool {
	var before outcome // the last to have ended before o began
	for _, x := range all {
		switch {
		case x == o:
		case x.bad && x.end.After(o.start) && !x.end.After(o.end):
			return false // It may have opened again.
		case !x.end.After(o.start) && x.end.After(before.end):
			before = x
		case !x.start.After(o.start) && x.end.After(o.start):
			return false
		}
	}
	for _, x := range all {
		if x != before && !x.start.After(before.end) && !x.end.Before(before.start) {
			return false
		}
	}
	return before.good && before.start.After(since) && before.end.Before(o.start)
}

// examine finds out when a breaker of the schedule's settings may have been open:
// from so many failures in a row, or so many within the interval, until a trial
// succeeded for certain. With a store that fails, trials may be denied for longer,
// so nothing ends it.
func (j *judge) examine(m int) health {
	var all []outcome
	for _, r := range j.history.requests {
		for i, a := range r.attempts {
			if a.member != m || !a.end.happened() {
				continue
			}
			last := i == len(r.attempts)-1
			o := outcome{start: a.start.at, end: a.end.at, good: last && r.served()}
			gone := r.left.happened() && (a.status == http.StatusOK && j.Schedule.MaxWait == 0 || !r.left.at.After(a.end.at))
			o.bad = !o.good && a.status != http.StatusTooManyRequests && !(last && gone)
			if o.bad && len(r.records) > 0 && len(r.records[0].Attempts) == len(r.attempts) {
				// A stream is judged by its first events, after its headers.
				o.end = a.start.at.Add(r.records[0].Attempts[i].Duration)
			}
			all = append(all, o)
		}
	}
	slices.SortStableFunc(all, func(a, b outcome) int { return a.end.Compare(b.end) })
	var h health
	row := 0
	var recent []time.Time // of failures
	for _, o := range all {
		open := len(h.spans) > 0 && h.spans[len(h.spans)-1].to.IsZero()
		switch {
		case o.bad:
			row++
			recent = append(recent, o.end)
			for o.end.Sub(recent[0]) > breakerInterval+2*time.Second {
				recent = recent[1:]
			}
			if !open && (row >= j.Schedule.Failures || len(recent) >= 10) {
				h.spans = append(h.spans, sickness{from: o.end})
			}
		case o.good && open && j.doubt == 0:
			if recovers(all, o, h.spans[len(h.spans)-1].from) {
				h.spans[len(h.spans)-1].to = o.end
				row, recent = 0, nil
			}
		case o.good && !open:
			row = 0
		}
	}
	return h
}
