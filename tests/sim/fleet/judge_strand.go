package fleet

import (
	"fmt"
	"time"

	"spillway/tests/sim/tally"
)

// holding is what one instance took of one limit.
type holding struct {
	window  map[int64]int64     // units granted to it, by window
	largest int64               // the largest single grant
	unheard map[int64]int64     // of those, what it never learned of
	decided map[int64]time.Time // when it decided on the last grant, by window
}

// strandings judges each crash: what the instance held of a limit and had not
// spent is stranded until the window ends, and must be little.
//
// An instance takes no chunk while it has enough for two of its largest requests, and
// such a request has hardly ever been larger than its largest chunk: with the last one it
// may hold three, those of the next window among them. After that, requests may end that
// had reserved much and used little, as when a burst of clients leaves. What comes back
// from them the instance could not foresee, and it is not given back at once: the next
// request may want it. What came back before is no excuse: the instance had it when it
// took the last chunk.
func (j *judge) strandings() {
	for instance, at := range j.crashed {
		for key, h := range j.holdings(instance, at) {
			_, length, _ := limitOf("quota!" + key)
			name := key[:len(key)-len("!minute!0")]
			if length != time.Minute {
				name = key[:len(key)-len("!10s!0")]
			}
			w := at.Truncate(length)
			stranded := h.window[w.Unix()] - j.spentBy(instance, name, w, length) - h.unheard[w.Unix()]
			ahead := h.window[w.Add(length).Unix()] - h.unheard[w.Add(length).Unix()]
			j.Tally["crashes that held units"] += min(max(stranded, 0), 1)
			share := tally.Most + "stranded by a crash, in % of the limit"
			j.Tally[share] = max(j.Tally[share], 100*stranded/max(j.amount(name), 1))
			if h.largest > 0 {
				inChunks := tally.Most + "stranded by a crash, in % of the largest grant"
				j.Tally[inChunks] = max(j.Tally[inChunks], 100*(stranded+ahead)/h.largest)
			}
			back := j.backSince(h.decided[w.Unix()], instance, name, w, length)
			if stranded+ahead > 3*h.largest+back {
				j.blame(RuleStranded, at, "the crash of %s strands %d of %s, and %d of the next window; its largest grant was %d, and at most %d came back after the last",
					instanceName(instance), stranded, name, ahead, h.largest, back)
			}
		}
	}
}

// holdings are what an instance took of each limit's shard until a moment.
func (j *judge) holdings(instance int, until time.Time) map[string]*holding {
	all := make(map[string]*holding)
	for i := range j.history.writes {
		w := &j.history.writes[i]
		_, length, ok := limitOf(w.key.Partition)
		if !ok || w.instance != instance || w.at.After(until) {
			continue
		}
		key := w.key.Partition[len("quota!"):]
		h := all[key]
		if h == nil {
			h = &holding{window: make(map[int64]int64), unheard: make(map[int64]int64), decided: make(map[int64]time.Time)}
			all[key] = h
		}
		at := column(w.after, "Window")
		now, next := deltas(w)
		h.take(w, at, now)
		h.take(w, at+int64(length/time.Second), next)
	}
	return all
}

// take notes that a write changed what is held of a window.
func (h *holding) take(w *write, window, units int64) {
	h.window[window] += units
	if units <= 0 {
		return
	}
	h.largest = max(h.largest, units)
	if !w.heard {
		h.unheard[window] += units
	}
	if w.sent.After(h.decided[window]) {
		h.decided[window] = w.sent
	}
}

// use is what a request, or one attempt of it, had of a limit.
type use struct {
	units    int64     // it may have spent, or have had reserved when its instance crashed
	reserved int64     // at most, until it was settled
	from, to time.Time // reserved not before, and settled not after
}

// spentBy is what an instance may have spent of a limit in a window, or have had
// reserved when it crashed.
func (j *judge) spentBy(instance int, key string, w time.Time, length time.Duration) int64 {
	var units int64
	for _, u := range j.uses(instance, key, w, length) {
		units += u.units
	}
	return units
}

// backSince is what may have come back to an instance after a moment, of what was
// reserved before.
func (j *judge) backSince(since time.Time, instance int, key string, w time.Time, length time.Duration) int64 {
	var units int64
	for _, u := range j.uses(instance, key, w, length) {
		if !u.from.After(since) && !u.to.Before(since) {
			units += max(u.reserved-u.units, 0)
		}
	}
	return units
}

// uses are what an instance's requests may have had of a limit in a window.
func (j *judge) uses(instance int, key string, w time.Time, length time.Duration) []use {
	in := func(at time.Time) bool {
		return !at.Add(j.high+time.Second).Before(w) && at.Add(j.low-time.Second).Before(w.Add(length))
	}
	var all []use
	for _, r := range j.history.requests {
		if r.instance != instance || !r.entered.happened() {
			continue
		}
		end, settled := r.entered.at, j.crashed[instance]
		if r.done.happened() {
			end, settled = r.done.at, r.done.at
		}
		if units, reserved, ok := r.ofConsumer(key); ok && (in(r.entered.at) || in(end)) {
			all = append(all, use{units, reserved, r.entered.at, settled})
		}
		for _, a := range r.attempts {
			if units, reserved, ok := j.ofDeployment(a, key); ok && in(a.asked.at) {
				from, _ := a.decided()
				all = append(all, use{units, reserved, from, settled})
			}
		}
	}
	return all
}

// ofConsumer is the most that a request can have used of a limit of its consumer's,
// and have reserved before; false if the limit is none of those.
func (r *request) ofConsumer(key string) (units, reserved int64, ok bool) {
	switch key {
	case fmt.Sprintf("consumer/c%d/tokens", r.Consumer):
		return r.reservable(), r.estimate(), true
	case fmt.Sprintf("consumer/c%d/requests", r.Consumer):
		return 1, 1, true
	default:
		return 0, 0, false
	}
}

// ofDeployment is the most that an attempt can have used of a limit of its
// deployment's, and have reserved before; false if the limit is none of those.
func (j *judge) ofDeployment(a *attempt, key string) (units, reserved int64, ok bool) {
	r := a.request
	switch key {
	case "deployment/" + deploymentID(a.backend) + "/tokens":
		if j.Schedule.Backends[a.backend].Settled {
			return r.reservable(), r.estimate(), true
		}
		charge := (prompts[r.Prompt].Characters+3)/4 + r.Max
		return charge, charge, true
	case "deployment/" + deploymentID(a.backend) + "/requests":
		return 1, 1, true
	default:
		return 0, 0, false
	}
}

// reservable is the most that a request can have used or reserved.
func (r *request) reservable() int64 {
	if len(r.records) == 1 && !r.lost {
		return r.records[0].Tokens.Total()
	}
	return r.estimate()
}

// estimate is the most that a request can have reserved before it was settled.
func (r *request) estimate() int64 {
	return r.Max + 2*prompts[r.Prompt].Tokens + 20
}
